// Finished vCons: the list, and one of them with its waveform, its words and what is known of it.

import { ask } from "./api.js";
import { cells, clock, el, show, size, table, tell, when } from "./dom.js";
import { NEAR, slices } from "./lazy.js";

const PAGE = 100;
const GROUP = 20; // rows of the list that are laid out together
const PART = 8; // lines of a transcript that are laid out together
const ROW = 2.4; // rem that a row of the list is high, about
const WIDTH = 1000;
const HEIGHT = 48;

const NUMBER = /^\+?[\d\s().-]{5,}$/;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export function records(me) {
  const field = (name, label, more) => {
    const input = el("input", { id: name, autocomplete: "off", ...more });
    return { input, row: el("p", {}, el("label", { for: name }, `${label} `), input) };
  };
  const text = field("text", "Name, number or word", { type: "search", maxlength: 200 });
  const since = field("since", "From", { type: "date" });
  const until = field("until", "to", { type: "date" });
  const parts = el("input", { id: "parts", type: "checkbox" });
  const place = el("div");
  const form = el("form", { class: "find", role: "search", onsubmit: (event) => { event.preventDefault(); begin(); } },
    text.row, el("p", {}, parts, el("label", { for: "parts" }, " Parts of words, too: this takes longer")), since.row, until.row, el("button", { class: "go" }, "Find"));
  show(el("h1", {}, "Records"), form, place);
  let stop = () => {};

  function begin() {
    stop();
    stop = () => {};
    const wanted = text.input.value.trim();
    if (UUID.test(wanted.toLowerCase())) location.hash = `#/records/${wanted.toLowerCase()}`;
    else if (wanted || since.input.value || until.input.value) search(place, wanted, parts.checked, day(since.input.value, 0), day(until.input.value, 1));
    else stop = all(place, me.hub);
  }
  stop = all(place, me.hub);
  return () => stop();
}

// The beginning of a day here, so many days later, as a date.
function day(value, later) {
  if (!value) return "";
  const at = new Date(`${value}T00:00`);
  at.setDate(at.getDate() + later);
  return at.toISOString();
}

// As far as somebody looks: older ones come when the end comes near. A few rows each are a group of their own, and what is far
// from the screen is not laid out. The style makes blocks of them for that, so what they are is said by their roles.
// A hub tells from where one came, as it has those of many machines.
function all(place, hub) {
  const more = el("button", { type: "button", hidden: true, onclick: () => load() }, "Older ones");
  const frame = table(hub ? "Records, the last that came first" : "Records, the newest first", hub ? ["Came", "From list", "Forwarded", "Size", "Id"] : ["When", "Delivered", "Size", "Id"], []);
  frame.classList.add("long", ...(hub ? ["came"] : []));
  const list = frame.querySelector("table");
  list.tBodies[0].remove();
  roles(list);
  place.replaceChildren(frame, more);
  const watch = new IntersectionObserver((seen) => { if (seen.at(-1).isIntersecting) load(); }, { rootMargin: NEAR });
  let last = "";
  let loading = false;

  function row(one) {
    const here = ["open", "done", "kept"].includes(one.stage);
    const time = when(one.published);
    const went = hub && !one.sinks ? "" : `${one.delivered} of ${one.sinks}`;
    return cells(here ? el("a", { href: `#/records/${one.uuid}` }, time) : time, ...(hub ? [[one.ingress_list, one.link && `made by ${one.link}`].filter(Boolean).join(", ")] : []),
      here ? went : one.stage === "lost" ? "lost" : hub ? "not kept any more" : "yes; its file is not kept", size(one.bytes), el("code", {}, one.uuid));
  }
  function group(shown) {
    const body = el("tbody", {}, shown);
    body.style.containIntrinsicSize = `auto ${shown.length * ROW}rem`;
    roles(body);
    list.append(body);
  }
  async function load() {
    if (loading) return;
    loading = true;
    watch.unobserve(more);
    try {
      const found = await ask(`/vcons?limit=${PAGE}${last && `&before=${last}`}`);
      for (let at = 0; at < found.length; at += GROUP) group(found.slice(at, at + GROUP).map(row));
      if (!found.length && !last) group([cells(hub ? "No record yet: one is here as soon as a machine has brought it." : "No record yet: a call becomes one when it has ended.")]);
      last = found.at(-1)?.uuid ?? last;
      more.hidden = found.length < PAGE;
      watch.observe(more);
    } catch (why) {
      tell(why.message);
      more.hidden = false;
    }
    loading = false;
  }
  load();
  return () => watch.disconnect();
}

const ROLES = { TABLE: "table", THEAD: "rowgroup", TBODY: "rowgroup", TR: "row", TH: "columnheader", TD: "cell" };
function roles(top) {
  for (const one of [top, ...top.querySelectorAll("*")]) if (one.tagName in ROLES) one.setAttribute("role", ROLES[one.tagName]);
}

// Somebody by the whole number and words are found at once; parts of them by looking into one record after another, the newest first.
function search(place, wanted, parts, since, until) {
  const hits = el("ol", { class: "hits" });
  const far = el("p", { class: "sub", role: "status" }, "Looking");
  const more = el("button", { type: "button", hidden: true, onclick: () => further() }, "Look further back");
  place.replaceChildren(hits, far, more);
  let query = NUMBER.test(wanted) ? { of: wanted } : parts || !/[\p{L}\p{N}]/u.test(wanted) ? { text: wanted } : { words: wanted };
  let before = "";
  let unread = 0;

  async function further() {
    more.disabled = true;
    try {
      let found = await ask("/search", { method: "POST", body: { ...query, since, until, before } });
      if (query.of && !before && !found.vcons.length && !found.next) {
        query = { text: wanted }; // a part of a number, or one of before there was an index
        found = await ask("/search", { method: "POST", body: { ...query, since, until } });
      }
      before = found.next;
      unread += found.unread;
      hits.append(...found.vcons.map(hit));
      far.textContent = `${hits.childElementCount} found. ${before ? `Looked at all since ${when(found.until)}.` : "Looked at all that is kept here."}${unread ? ` ${unread} could not be looked into.` : ""}${found.unindexed ? ` The words of ${found.unindexed} are not indexed, or not yet: look for parts of words to find them.` : ""}`;
    } catch (why) { far.textContent = why.message; }
    more.hidden = !before;
    more.disabled = false;
  }
  further();
}

function hit(one) {
  const names = one.parties.map((who) => [who.name, who.tel].filter(Boolean).join(" ") || "anonymous").join(" and ");
  return el("li", { class: "card" }, el("a", { href: `#/records/${one.uuid}` }, when(one.began)), ` ${names || "A call"}, ${clock(one.seconds)}`,
    one.lines.map((line) => el("p", {}, el("a", { href: `#/records/${one.uuid}/${line.start}`, "aria-label": `Open at ${clock(line.start)}` }, clock(line.start)), ` ${line.name}: ${line.text}`)));
}

const seconds = (date) => Date.parse(date) / 1000;
const list = (value) => (Array.isArray(value) ? value : []);

function stretches(document, zero) {
  const found = [];
  for (const dialog of list(document.dialog)) {
    const open = new Map();
    for (const moment of list(dialog.party_history)) {
      const at = seconds(moment.time) - zero;
      if (moment.event === "hold") open.set(moment.party, at);
      if (moment.event === "unhold" && open.has(moment.party)) {
        found.push({ kind: "hold", party: moment.party, start: open.get(moment.party), stop: at });
        open.delete(moment.party);
      }
    }
    for (const [party, start] of open) found.push({ kind: "hold", party, start, stop: seconds(dialog.start) - zero + dialog.duration });
  }
  const report = list(document.attachments).find((one) => one.purpose === "vcond-capture-report")?.body ?? {};
  for (const one of list(report.pauses)) found.push({ kind: "paused", start: seconds(one.start) - zero, stop: seconds(one.stop) - zero });
  for (const one of list(report.interruptions)) found.push({ kind: "interrupted", start: seconds(one.start) - zero, stop: seconds(one.stop) - zero });
  const from = seconds(report.start) - zero;
  for (const one of list(report.parties)) {
    for (const place of list(one?.lost_at)) found.push({ kind: "lost", party: one.party, start: from + Number(place?.[0]), stop: from + Number(place?.[1]) });
  }
  return { found: found.filter((one) => Number.isFinite(one.start) && Number.isFinite(one.stop)), report };
}

// What is drawn as lost, in words: for a screen reader, and to go there by keys. Of `count` places the record has the longest.
function losses(name, places, count, seek) {
  if (!places.length) return "";
  const number = Math.max(count, places.length);
  const lost = places.reduce((sum, one) => sum + one.stop - one.start, 0);
  const more = number > places.length ? `, without the shortest ${number - places.length}` : "";
  return el("details", { class: "losses" }, el("summary", {}, el("bdi", {}, name), `: audio lost in ${number === 1 ? "one place" : `${number} places`}, ${lost.toFixed(2)} s${more}`),
    el("ul", {}, places.map((one) => el("li", {}, el("button", { type: "button", class: "plain", "aria-label": `Go to ${clock(one.start)}`, onclick: () => seek(one.start) }, clock(one.start)), ` ${(one.stop - one.start).toFixed(2)} s`))));
}

function waveform(peaks, marks, length) {
  const middle = HEIGHT / 2;
  const step = WIDTH / peaks.length;
  const up = peaks.map((peak, at) => `${(at * step).toFixed(1)} ${(middle - peak * middle).toFixed(1)}`);
  const down = peaks.map((peak, at) => `${(at * step).toFixed(1)} ${(middle + peak * middle).toFixed(1)}`).reverse();
  const drawn = el("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true", class: "wave" });
  for (const one of marks) {
    const x = Math.max(0, one.start / length) * WIDTH;
    drawn.append(el("rect", { class: one.kind, x, y: 0, width: Math.max(1, Math.min(one.stop / length, 1) * WIDTH - x), height: HEIGHT },
      el("title", {}, `${one.kind} ${clock(one.start)} to ${clock(one.stop)}`)));
  }
  drawn.append(el("path", { class: "sound", d: `M${up.join("L")}L${down.join("L")}Z` }));
  return drawn;
}

function download(uuid, what, label) {
  return el("li", {}, el("a", { href: `api/v1/vcons/${uuid}${what}`, download: "" }, label));
}

export function record(me, uuid, at) {
  const heading = el("h1", {}, "Record");
  show(el("p", {}, el("a", { href: "#/records" }, "All records")), heading, el("p", { class: "none" }, "Loading"));
  let stop = () => {};
  open(me, uuid, heading, Number(at) || 0).then((done) => { stop = done; }, (why) => {
    show(el("p", {}, el("a", { href: "#/records" }, "All records")), heading, el("p", { class: "wrong" }, why.message));
  });
  return () => stop();
}

function findings(found) {
  return found.length ? [el("details", { open: true, class: "wrong" }, el("summary", {}, `This vCon has ${found.length} findings`), el("ul", {}, found.slice(0, 50).map((one) => el("li", {}, `${one.level}: ${one.path}: ${one.message}`))))] : [];
}

async function open(me, uuid, heading, begin) {
  const [vcon, status] = await Promise.all([ask(`/vcons/${uuid}/outline`), ask("/status").catch(() => ({}))]);
  const wrong = el("div");
  ask(`/vcons/${uuid}/findings`).then((found) => wrong.append(...findings(found)), (why) => tell(why.message));
  const parties = list(vcon.parties);
  const name = (at) => parties[at]?.name || parties[at]?.tel || parties[at]?.sip || (at === undefined ? "" : `Party ${at}`);
  const sounding = list(vcon.dialog).map((dialog, index) => ({ dialog, index })).filter(({ dialog }) => dialog.type === "recording" && dialog.audio);
  const zero = Math.min(...list(vcon.dialog).map((dialog) => seconds(dialog.start)).filter(Number.isFinite));
  const { found, report } = stretches(vcon, zero);
  heading.textContent = parties.filter((one) => one.type !== "bot").map((one) => one.name || one.tel || one.sip || "anonymous").join(" and ") || "Record";
  const length = Math.max(1, ...list(vcon.dialog).map((dialog) => seconds(dialog.start) - zero + (dialog.duration ?? 0)).filter(Number.isFinite));

  // Every recording of the call is one element; all are played together.
  const sounds = sounding.map(({ dialog, index }) => ({
    audio: el("audio", { preload: "metadata", src: `api/v1/vcons/${uuid}/audio/${index}` }),
    start: seconds(dialog.start) - zero,
  }));
  const now = el("output", { class: "time", id: "now" }, "00:00");
  const slider = el("input", { type: "range", id: "seek", min: 0, max: length.toFixed(2), step: 0.05, value: 0, "aria-label": "Position in the call" });
  const play = el("button", { type: "button", id: "play", class: "go" }, "Play");
  let playing = false;
  let frame = 0;
  const position = () => (sounds.length ? sounds[0].audio.currentTime + sounds[0].start : 0);

  function seek(at) {
    for (const { audio, start } of sounds) audio.currentTime = Math.max(0, at - start);
    draw(at);
  }
  async function set(on) {
    playing = on;
    play.textContent = on ? "Stop" : "Play";
    if (on) {
      await Promise.all(sounds.map(({ audio }) => audio.play())).catch((why) => tell(why.message));
      frame = requestAnimationFrame(follow);
    } else {
      for (const { audio } of sounds) audio.pause();
      cancelAnimationFrame(frame);
    }
  }
  function follow() {
    draw(position());
    if (playing) frame = requestAnimationFrame(follow);
  }
  play.addEventListener("click", () => set(!playing));
  slider.addEventListener("input", () => seek(Number(slider.value)));
  for (const { audio } of sounds) audio.addEventListener("ended", () => set(false));

  const words = [];
  const lines = new Map(); // by element, a line: its words are elements of their own near the screen only, as to lay many out takes long
  const text = el("div", { class: "transcript", tabindex: 0, role: "region", "aria-label": "Transcript" });
  const shown = slices((part) => { for (const row of part.children) fill(row); }, text, (part) => {
    if (part.contains(document.activeElement) || !getSelection().isCollapsed) return; // somebody reads or copies there
    for (const row of part.children) if (lines.get(row).filled) empty(row);
  });
  function write(row, ...said) {
    const line = lines.get(row);
    line.filled = said.length > 1;
    row.replaceChildren(el("button", { type: "button", class: "plain", "aria-label": `Play from ${clock(line.at)}`, onclick: () => { seek(line.at); set(true); } }, clock(line.at)), " ",
      el("b", {}, `${line.name}:`), " ", ...said);
  }
  function empty(row) {
    const { words: said } = lines.get(row);
    for (const word of said) word.shown = null;
    write(row, said.map((word) => word.text).join(" "));
  }
  function fill(row) {
    const line = lines.get(row);
    if (line.filled) return;
    const said = [];
    for (const word of line.words) {
      word.shown = el("span", { class: word.sure < 0.5 ? "word unsure" : word.sure < 0.8 ? "word fair" : "word", onclick: () => { seek(word.start); set(true); } }, word.text);
      word.shown.classList.toggle("now", word === lit);
      said.push(word.shown, " ");
    }
    write(row, ...said);
  }
  for (const analysis of list(vcon.analysis)) {
    if (analysis.type !== "wtf_transcription" || typeof analysis.body !== "object") continue;
    const shift = seconds(vcon.dialog?.[analysis.dialog]?.start) - zero || 0;
    const all = new Map(list(analysis.body.words).map((word) => [word.id, word]));
    for (const segment of list(analysis.body.segments)) {
      const row = el("p", {}, `${clock(segment.start + shift)} ${name(segment.speaker)}: ${segment.text}`);
      const own = list(segment.words).map((id) => all.get(id)).filter(Boolean);
      const said = (own.length ? own : [segment]).map((one) => ({ text: one.text, sure: one.confidence ?? 1, start: one.start + shift, stop: one.end + shift, row, shown: null }));
      lines.set(row, { at: segment.start + shift, name: name(segment.speaker), words: said, filled: false });
      words.push(...said);
    }
  }
  const rows = [...lines.keys()];
  for (let at = 0; at < rows.length; at += PART) {
    const part = el("div", { class: "part" }, rows.slice(at, at + PART));
    text.append(part);
    shown.add(part);
  }
  words.sort((a, b) => a.start - b.start);
  let lit = null;
  const cursors = [];
  function draw(at) {
    now.textContent = clock(at);
    if (document.activeElement !== slider || playing) slider.value = at;
    for (const line of cursors) line.style.transform = `translateX(${(at / length) * 100}%)`;
    const word = words.findLast((one) => one.start <= at + 0.02 && at < one.stop);
    if (word === lit) return;
    lit?.shown?.classList.remove("now");
    lit = word ?? lit;
    if (word === undefined) return;
    fill(word.row);
    word.shown.classList.add("now");
    if (playing) word.shown.scrollIntoView({ block: "nearest" });
  }

  const waves = el("div", { class: "waves" });
  for (const { dialog, index } of sounding) {
    const each = el("div", { class: "each" });
    waves.append(each);
    ask(`/vcons/${uuid}/peaks/${index}?count=1000`).then(({ channels, seconds: long }) => {
      const start = seconds(dialog.start) - zero;
      channels.forEach((peaks, channel) => {
        const owner = channels.length > 1 || list(dialog.parties).length === 1 ? list(dialog.parties)[channel] : undefined;
        const marks = found.filter((one) => one.party === undefined || one.party === owner || owner === undefined).map((one) => ({ ...one, start: one.start - start, stop: one.stop - start }));
        const line = el("div", { class: "line" });
        cursors.push(line);
        const drawn = el("div", { class: "channel", onclick: (event) => {
          const box = event.currentTarget.getBoundingClientRect();
          seek(((event.clientX - box.left) / box.width) * length);
        } }, waveform(peaks, marks, long), line);
        drawn.style.marginLeft = `${(start / length) * 100}%`;
        drawn.style.width = `${(long / length) * 100}%`;
        each.append(el("p", {}, owner === undefined ? "All" : name(owner)), drawn);
      });
    }, (why) => tell(why.message));
  }

  const marks = found.sort((a, b) => a.start - b.start);
  const moments = list(vcon.dialog).flatMap((dialog) => list(dialog.party_history)).map((one) => ({ at: seconds(one.time) - zero, text: `${name(one.party)}: ${one.event}${one.button ? ` ${one.button}` : ""}` }));
  for (const dialog of list(vcon.dialog)) if (dialog.type === "transfer") moments.push({ at: seconds(dialog.start) - zero, text: `${name(dialog.transferor)} transferred ${name(dialog.transferee)} to ${name(dialog.transfer_target)}` });
  moments.sort((a, b) => a.at - b.at);

  show(
    el("p", {}, el("a", { href: "#/records" }, "All records")), heading,
    el("p", { class: "sub" }, `${when(vcon.created_at)}${vcon.subject ? `, ${vcon.subject}` : ""}, ${clock(length)}`),
    wrong,
    sounds.length ? el("div", { class: "player" }, play, now, slider) : el("p", { class: "none" }, "There is no recording inside this vCon."),
    waves,
    marks.length ? el("p", { class: "legend" }, [...new Set(marks.map((one) => one.kind))].map((kind) => el("span", { class: `key ${kind}` }, kind))) : "",
    ...list(report.parties).map((one) => losses(name(one?.party), marks.filter((mark) => mark.kind === "lost" && mark.party === one?.party), Number(one?.lost_places) || 0, seek)),
    el("h2", {}, "What was said"), words.length ? text : el("p", { class: "none" }, "There is no transcript."),
    el("h2", {}, "What happened"), el("ol", { class: "history" }, moments.map((one) => el("li", {}, el("time", {}, clock(one.at)), ` ${one.text}`))),
    el("h2", {}, "How it was captured"),
    el("ul", { class: "findings" }, list(report.notes).length ? report.notes.map((note) => el("li", {}, note)) : el("li", {}, report.complete ? "Nothing is missing." : "There is no capture report.")),
    el("h2", {}, "Take it along"),
    el("ul", {}, download(uuid, "", "The vCon (JSON)"), status.signs ? download(uuid, "/signed", "The vCon, signed") : "", download(uuid, "/transcript?form=text", "The words as text"), download(uuid, "/transcript?form=vtt", "as WebVTT"), download(uuid, "/transcript?form=srt", "as SubRip"),
      sounding.map(({ dialog, index }) => download(uuid, `/audio/${index}`, `Audio, ${list(dialog.parties).map(name).join(" and ")} (WAV)`))),
  );
  seek(begin);
  return () => { set(false); shown.stop(); };
}
