"use strict";
// The page for people. Everything that is secret is in the fragment of the URL, which browsers send to nobody:
// #token=...&call=...&name=...&role=...&tel=...  With a signed token only the token is needed.
(() => {
  const MOST_LINES = 500;
  const at = (id) => document.getElementById(id);
  const settings = JSON.parse(at("settings").textContent);
  const given = new URLSearchParams(location.hash.slice(1));
  const token = given.get("token") || "";
  const signed = token.split(".").length === 3;
  const endpoint = location.pathname.slice(0, location.pathname.length - settings.page.length) + settings.path;
  let agreed = null, call = null, known = null;

  const say = (text) => { at("status").textContent = text; };
  const complain = (text) => { at("problem").textContent = text; };
  // A button says what it does next; so it needs no aria-pressed, which would say the opposite of its words.
  const LABELS = {
    mute: ["Mute microphone", "Unmute microphone"],
    pause: ["Pause recording", "Resume recording"],
  };
  const pressed = (id) => at(id).classList.contains("on");
  const press = (id, on) => {
    at(id).classList.toggle("on", on);
    at(id).textContent = LABELS[id][Number(on)];
  };
  const title = (text) => {
    at("title").textContent = text;
    document.title = text;
  };
  const STATUS = {
    connecting: "Connecting.",
    connected: "Connected.",
    shaky: "The connection is shaky.",
    reconnecting: "The connection was lost. Connecting again.",
  };
  const DENIED = {
    NotAllowedError: "The microphone was denied. Allow it in your browser and try again.",
    NotFoundError: "There is no microphone.",
    NotReadableError: "The microphone is used by another program.",
  };

  // The same person after a reload; a signed token says itself who it is for.
  function party() {
    let mine = sessionStorage.getItem("vcond-party");
    if (!mine) {
      mine = crypto.randomUUID();
      sessionStorage.setItem("vcond-party", mine);
    }
    return mine;
  }

  function who() {
    if (signed) return {};
    const words = { name: at("name").value.trim(), party: given.get("party") || party() };
    for (const word of ["call", "role", "tel"]) words[word] = given.get(word);
    return words;
  }

  function meter(stream) {
    const audio = new AudioContext();
    const listener = audio.createAnalyser();
    listener.fftSize = 2048;
    audio.createMediaStreamSource(stream).connect(listener);
    const samples = new Float32Array(listener.fftSize);
    const timer = setInterval(() => {
      listener.getFloatTimeDomainData(samples);
      const power = samples.reduce((sum, one) => sum + one * one, 0) / samples.length;
      at("level").value = Math.max(-60, 10 * Math.log10(power + 1e-9));
    }, 100);
    return () => { clearInterval(timer); audio.close(); };
  }

  // Recording.

  const named = (state, index) => {
    if (index === null) return "the operator";
    return index === state.you ? "you" : speaker(index, (state.parties[index] || {}).name);
  };
  const speaker = (index, name) => name || "Speaker " + (index + 1);

  function recorded(state) {
    known = state;
    const paused = state.paused.length > 0;
    const names = state.paused.map((index) => named(state, index));
    const text = paused ? "Recording is paused by " + names.join(" and ") + ". Nothing that anybody says is kept."
      : "This call is being recorded.";
    if (at("recording").textContent !== text) at("recording").textContent = text;
    at("recording").classList.toggle("paused", paused);
    // whoever paused ends it; a pause of somebody who has left is ended by whoever is here
    press("pause", state.paused.includes(state.you) || state.resumable);
  }

  // Captions: lines in the order of their beginnings; what is being said stands below until it is said.

  function caption(line) {
    for (const old of [...at("speaking").children]) {
      const before = line.kind === "partial" || Number(old.dataset.start) <= line.start;
      if (old.dataset.party === String(line.party) && before) old.remove();
    }
    if (!line.text) return;
    const row = document.createElement("p");
    const name = document.createElement("b");
    name.textContent = speaker(line.party, line.name) + ": ";
    row.append(name, line.text);
    row.dataset.start = line.start;
    row.dataset.party = line.party;
    at("said").hidden = false;
    if (line.kind === "partial") {
      at("speaking").append(row);
      return;
    }
    const log = at("captions");
    const below = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    let before = log.lastElementChild;
    while (before && Number(before.dataset.start) > line.start) before = before.previousElementSibling;
    if (before) before.after(row); else log.prepend(row);
    while (log.childElementCount > MOST_LINES) log.firstElementChild.remove();
    if (below) log.scrollTop = log.scrollHeight;
  }

  // The call.

  async function open() {
    known = null;
    const clean = given.get("processing") !== "off";
    const stream = await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: clean, noiseSuppression: clean, autoGainControl: clean, channelCount: 1 },
    });
    const { iceServers } = settings;
    const one = vcond.publish({ endpoint, token, stream, who: who(), agreed, iceServers });
    const mine = { stream, one, stop: meter(stream) };
    call = mine;
    one.addEventListener("status", ({ detail }) => say(STATUS[detail]));
    one.addEventListener("call", ({ detail }) => recorded(detail));
    one.addEventListener("caption", ({ detail }) => caption(detail));
    one.addEventListener("over", ({ detail }) => { if (call === mine) over(detail); });
    await one.ready;
  }

  function over(why) {
    call.stop();
    call.stream.getTracks().forEach((track) => track.stop());
    call = null;
    at("during").hidden = true;
    at("before").hidden = false;
    at("start").disabled = false;
    at("speaking").replaceChildren();
    press("mute", false);
    title("Join the call");
    say(why ? "Not connected." : "You hung up. You may close this page.");
    complain(why);
    at("start").focus();
  }

  at("before").addEventListener("submit", async (event) => {
    event.preventDefault();
    at("start").disabled = true;
    complain("");
    say("Connecting.");
    try {
      await open();
      at("captions").replaceChildren();
      at("said").hidden = true;
      at("recording").textContent = "This call is being recorded.";
      at("recording").classList.remove("paused");
      press("pause", false);
      if (known) recorded(known);
      at("before").hidden = true;
      at("during").hidden = false;
      title("In the call");
      at("mute").focus();
    } catch (error) {
      if (call) over("");
      say("Not connected.");
      complain(DENIED[error.name] || error.message);
      at("start").disabled = false;
    }
  });

  at("consent").addEventListener("change", () => { agreed = at("consent").checked ? performance.now() : null; });

  at("mute").addEventListener("click", () => {
    const on = !pressed("mute");
    press("mute", on);
    call.one.mute(on);
    say(on ? "Your microphone is muted." : "Your microphone is open.");
  });

  at("pause").addEventListener("click", async () => {
    const mine = call, on = !pressed("pause");
    complain("");
    at("pause").setAttribute("aria-busy", "true");
    const done = await (on ? mine.one.pause() : mine.one.resume());
    at("pause").removeAttribute("aria-busy");
    if (call !== mine) return;
    if (on && !done) complain("The recording could not be paused. What is said now is kept.");
    if (!on && !done) complain("The recording is still paused: by somebody else as well, or the server did not answer.");
    if (done && !known) press("pause", on);  // where no captions come through, nothing else says it
    if (done && !known) at("recording").textContent = on ? "Recording is paused by you." : "This call is being recorded.";
  });

  at("hangup").addEventListener("click", () => {
    call.one.hangUp();
  });

  at("name").value = given.get("name") || "";
  at("named").hidden = signed;
  at("text").textContent = settings.consent;
  at("asked").hidden = !settings.consent;
  at("consent").required = Boolean(settings.consent);
  if (!navigator.mediaDevices) complain("Browsers open a microphone only on pages with https://.");
  else if (!token) complain("This link is not complete: it has no token. Ask whoever sent it for a new one.");
  at("before").hidden = !navigator.mediaDevices || !token;
})();
