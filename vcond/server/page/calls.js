// Calls that go on: who, how long, what is said now; one click pauses.

import { ask, follow } from "./api.js";
import { clock, el, show, tell } from "./dom.js";
import { slices } from "./lazy.js";

const LINES = 500; // of one call's words that are kept on the screen

const FLOOR = -60; // dBFS, as the API tells levels
const QUIET = { unknown: "consent not known", asked: "asked, no answer yet", denied: "refused", withdrawn: "consent taken back", granted: "agreed just now" };
const KEPT = { granted: "Agreed", denied: "Refused; kept on another basis", withdrawn: "Took consent back; kept on another basis" };
const AGAIN = 5000; // milliseconds after which it is looked again whether there is a record
const ALL = 30_000; // milliseconds after which all calls are asked for again, whatever was told of them
const SOME = 16; // calls that are asked for by name: more are no URL for every proxy; all, when more have changed

// How loud somebody is: the bar is the RMS, the line the peak. The API tells nothing of who is silent.
function meter() {
  const bar = el("i");
  const line = el("b");
  const shown = el("span", { class: "level", "aria-hidden": "true" }, bar, line);
  let was = null;
  const set = (rms, peak) => {
    const now = rms * 1000 + peak;
    if (now === was) return;
    was = now;
    bar.style.transform = `scaleX(${1 - rms / FLOOR})`;
    line.style.transform = `translateX(${(1 - peak / FLOOR) * 100}%)`;
  };
  set(FLOOR, FLOOR);
  return { shown, set };
}

// What was agreed to, where there is a rule or a word of it; and whether audio and words are kept, which is another thing.
function consent(row, index) {
  const said = row.consent.find((one) => one.party === index);
  if (said === undefined) return null;
  if (!said.kept) return el("span", { class: "badge wrong" }, `Not kept: ${said.rule === "never" ? "a rule forbids it" : QUIET[said.recording]}`);
  const asked = said.rule === "announce" ? "Told of the recording" : "Asked; kept until there is an answer";
  const text = said.recording === "asked" ? asked : KEPT[said.recording];
  const words = said.text ? "" : "no text is made";
  return text || words ? el("span", { class: "badge" }, [text, words].filter(Boolean).join("; ").replace(/^n/, "N")) : null;
}

function party(row, index, meters) {
  const one = row.parties[index];
  const number = one.tel && one.name ? ` ${one.tel}` : "";
  meters[index] = meter();
  return el("span", { class: one.here ? "party" : "party gone" }, el("span", { class: "name" }, one.name || one.tel || "anonymous", el("small", {}, number)),
    one.here ? meters[index].shown : "", one.held ? el("span", { class: "badge hold" }, "On hold") : "", consent(row, index) ?? "");
}

function people(row) {
  const meters = [];
  return { meters, shown: row.parties.map((_, index) => party(row, index, meters)) };
}

function measure(meters, levels = []) {
  const now = new Map(levels.map(([index, ...told]) => [index, told]));
  meters.forEach((one, index) => one.set(...(now.get(index) ?? [FLOOR, FLOOR])));
}

// Levels come as long as anybody is to be heard; when none have come for a while, all are silent.
const SILENT = 1500; // milliseconds: they come once a second at least
function metering(show) {
  let timer = 0;
  return { levels: (told) => { show(told); clearTimeout(timer); timer = setTimeout(() => show({}), SILENT); }, stop: () => clearTimeout(timer) };
}

const LATE = 5; // seconds after which a text is worth a second look

// What is wrong, with the party's name in place of its number, and what to do.
function trouble(row, one) {
  const who = row.parties[one.party];
  const [, text] = (who && /^party \d+(:.*)$/s.exec(one.text)) ?? [];
  return el("li", {}, text ? [el("bdi", {}, who.name || who.tel || "anonymous"), text] : one.text, one.hint ? el("small", {}, ` What to do: ${one.hint}`) : "");
}

function badges(row) {
  const made = [];
  if (row.lag !== null) made.push(el("span", { class: row.lag >= LATE ? "badge pause" : "badge" }, `Text after ${row.lag.toFixed(1)} s`));
  if (row.paused) made.push(el("span", { class: "badge pause" }, `Paused by ${row.paused_by.join(", ") || "someone"}`));
  if (!row.recorded) made.push(el("span", { class: "badge wrong" }, `Not recorded: ${row.not_recorded}`));
  if (row.transcription !== "live") made.push(el("span", { class: "badge" }, { none: "No transcription", finals: "Whole sentences only", deferred: "Text comes later" }[row.transcription]));
  if (!row.answered) made.push(el("span", { class: "badge" }, "Ringing"));
  return made;
}

function pauseButton(row, me, after) {
  if (!me.may("operate") || !row.recorded) return null;
  const act = row.paused ? "resume" : "pause";
  const label = row.paused ? "Resume recording" : "Pause recording";
  return el("button", {
    type: "button", class: row.paused ? "go" : "", onclick: async () => {
      try {
        const now = await ask(`/calls/${row.call}/${act}`, { method: "POST", body: {} });
        tell(now.paused ? "Recording is paused." : "Recording goes on.");
      } catch (why) { tell(why.message); }
      after();
    },
  }, label);
}

// What is loaded again when something has happened, not more often than every 200 ms, and with many calls less often: where 200 go
// on something always has, and the daemon that answers is the one that records. A call is seen within a second all the same.
// One load at a time: an answer that is overtaken would show what is over.
function refreshing(load, count = () => 0) {
  let waits = false;
  let more = false;
  let begun = false;
  async function run() {
    more = false;
    try { await load(); } finally { waits = false; }
    if (more) refresh();
  }
  function refresh() {
    more = true;
    if (waits) return;
    waits = true;
    setTimeout(run, begun ? Math.min(200 + 3 * count(), 700) : 0);
    begun = true;
  }
  return refresh;
}

export function calls(me) {
  const list = el("ul", { class: "cards" });
  const none = el("p", { class: "none" }, "No call goes on. A new one appears here by itself.");
  const heading = el("h1", {}, "Calls");
  show(heading, none, list);
  const cards = new Map();
  const of = new Map(); // by element
  const shown = slices((item) => draw(of.get(item)));

  function card(row) {
    const said = el("div", { class: "said" });
    const head = el("div", { class: "head" }, row.parties.map((one) => one.name || one.tel).join(" and "));
    const flags = el("ul", { class: "flags", "aria-label": "What is wrong" });
    const item = el("li", { class: "card", id: `call-${row.call}` }, head, flags, said);
    const made = { item, head, flags, said, time: el("span", { class: "time" }), lines: new Map(), heard: new Set(), row, text: "", at: 0, meters: [], stale: true };
    cards.set(row.call, made);
    of.set(item, made);
    shown.add(item);
    return made;
  }

  function drop(made) {
    shown.drop(made.item);
    of.delete(made.item);
    cards.delete(made.row.call);
    made.item.remove();
  }

  // All that has changed of it since it was last drawn.
  function draw(made) {
    if (made.stale) fill(made);
    made.stale = false;
    for (const party of made.heard) put(made, party);
    made.heard.clear();
    time(made);
  }

  function fill(made) {
    const { meters, shown: who } = people(made.row);
    made.meters = meters;
    made.head.replaceChildren(
      el("a", { href: `#/calls/${made.row.call}`, class: "parties" }, who.length ? who : "A call", " "),
      made.time, el("span", { class: "badges" }, badges(made.row)), pauseButton(made.row, me, () => again(made.row.call)) ?? "");
    made.flags.replaceChildren(...made.row.flags.map((one) => trouble(made.row, one)));
    made.flags.hidden = !made.row.flags.length;
  }

  const changed = new Set();
  let every = true; // whether all are asked for next, and not only those that have changed
  function again(call) {
    if (call) changed.add(call);
    else every = true;
    refresh();
  }

  async function load() {
    const some = every || changed.size > SOME ? null : [...changed];
    every = false;
    changed.clear();
    let rows;
    try { rows = await ask(some ? `/calls?only=${some.join()}` : "/calls"); } catch (why) {
      every = true; // the next time
      tell(why.message);
      return;
    }
    const here = new Set(rows.map((row) => row.call));
    for (const call of some ?? [...cards.keys()]) if (cards.has(call) && !here.has(call)) drop(cards.get(call));
    const fresh = [];
    for (const row of rows) {
      const made = cards.get(row.call) ?? card(row);
      const text = JSON.stringify({ ...row, seconds: 0 });
      if (text !== made.text) {
        Object.assign(made, { row, text, at: performance.now() - row.seconds * 1000, stale: true });
        shown.again(made.item);
      }
      if (!made.item.isConnected) fresh.unshift(made.item);
    }
    list.prepend(...fresh);
    none.hidden = cards.size > 0;
    heading.textContent = cards.size ? `Calls: ${cards.size}` : "Calls";
  }
  const refresh = refreshing(load, () => cards.size);

  function time(made) {
    made.time.textContent = clock((performance.now() - made.at) / 1000);
  }
  function beat() {
    for (const item of shown.here) time(of.get(item));
  }

  function words(kind, line) {
    const made = cards.get(line.call);
    if (made === undefined) return;
    const one = made.lines.get(line.party) ?? { text: "" };
    made.lines.set(line.party, one);
    one.name = line.name || `Party ${line.party}`;
    if (line.text || kind === "final") one.text = line.text || one.text;
    one.kind = kind;
    made.heard.add(line.party);
    shown.again(made.item);
  }
  function put(made, party) {
    const one = made.lines.get(party);
    if (one.row === undefined) {
      one.row = el("p", {}, el("b"), " ", el("span"));
      made.said.append(one.row);
    }
    one.row.firstChild.textContent = `${one.name}:`;
    one.row.lastChild.textContent = one.text;
    one.row.classList.toggle("partial", one.kind === "partial");
  }

  const heard = metering((levels) => {
    for (const item of shown.here) {
      const made = of.get(item);
      measure(made.meters, levels[made.row.call]);
    }
  });
  const stop = follow((kind, line) => {
    if (kind === "levels") heard.levels(line);
    else if (kind === "partial" || kind === "final") words(kind, line);
    else again(line.call);
  });
  const timers = [setInterval(beat, 1000), setInterval(again, ALL)];
  refresh();
  return () => { stop(); heard.stop(); shown.stop(); timers.forEach(clearInterval); };
}

export function call(me, id) {
  const heading = el("h1", {}, "Call");
  const about = el("div", { class: "head" });
  const log = el("div", { class: "log", role: "log", "aria-label": "What is said", tabindex: 0 });
  const history = el("ol", { class: "history" });
  const found = el("ul", { class: "findings" });
  show(el("p", {}, el("a", { href: "#/calls" }, "All calls")), heading, about, found, el("h2", {}, "What is said"), log,
    el("h2", {}, "What happened"), history);
  const open = new Map(); // by party, the line that still grows
  let names = [];
  let meters = [];
  let told = false; // what was said before this was opened
  let over = false;
  let unkept = ""; // why nothing of it is
  let recorded = false;
  let left = false;
  let timer = 0;

  function put(party, name, text, start, kind) {
    const low = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    let line = open.get(party);
    if (line === undefined) {
      line = el("p", {}, el("time", {}, clock(start)), " ", el("b", {}, `${name || names[party] || `Party ${party}`}:`), " ", el("span"));
      open.set(party, line);
      log.append(line);
      if (log.childElementCount > LINES) log.firstElementChild.remove();
    }
    line.lastElementChild.textContent = text;
    line.classList.toggle("partial", kind === "partial");
    if (kind === "final") {
      open.delete(party);
      if (!text) line.remove();
    }
    if (low) log.scrollTop = log.scrollHeight;
  }

  async function load() {
    let row;
    try { row = await ask(`/calls/${encodeURIComponent(id)}`); } catch (why) {
      if (why.status === 404 && !over) {
        over = true;
        note(unkept ? `Nothing of it was kept: ${unkept}` : me.may("read") ? "When there is a record of it, it can be opened here." : "");
        look();
      } else if (why.status !== 404) tell(why.message);
      return;
    }
    unkept = row.recorded ? "" : row.not_recorded;
    names = row.parties.map((one) => one.name || one.tel);
    heading.textContent = names.join(" and ") || "Call";
    const who = people(row);
    meters = who.meters;
    about.replaceChildren(el("span", { class: "parties" }, who.shown), el("span", { class: "badges" }, badges(row)), pauseButton(row, me, refresh) ?? "");
    const wrong = row.findings.filter((one) => one.wrong);
    const now = row.flags.filter((flag) => !wrong.some((one) => one.code === flag.code && (one.party === flag.party || one.party === null)));
    found.replaceChildren(...[...now, ...wrong].map((one) => trouble(row, one)));
    history.replaceChildren(...row.history.map((one) => el("li", {}, el("time", {}, clock(one.at)), " ", el("bdi", {}, names[one.party] || `Party ${one.party}`), `: ${one.event}`)));
    if (!told) for (const line of row.speech) if (line.text) put(line.party, "", line.text, line.start, "final");
    told = true;
  }
  function note(...more) {
    about.replaceChildren(el("span", { class: "badge" }, "This call is over"), ...more.filter(Boolean).map((one) => el("span", {}, one)));
  }
  // Until it is published there is none to open, and of a call that nobody answered or that was forgotten there never is.
  async function look() {
    clearTimeout(timer);
    if (left || recorded || unkept || !me.may("read")) return;
    const rows = await ask("/vcons?limit=100").catch(() => []);
    if (rows.some((one) => one.uuid === id)) openable();
    else timer = setTimeout(look, AGAIN);
  }
  function openable() {
    over = recorded = true;
    note(me.may("read") ? el("a", { href: `#/records/${id}`, id: "recorded" }, "Open its record") : "");
  }
  const refresh = refreshing(load);
  const heard = metering((levels) => measure(meters, levels[id]));
  const stop = follow((kind, line) => {
    if (kind === "levels") heard.levels(line);
    else if (line.call !== undefined && line.call !== id) return;
    else if (kind === "event" && line.text === "published") openable();
    else if (kind === "partial" || kind === "final") put(line.party, line.name, line.text, line.start, kind);
    else refresh();
  });
  refresh();
  return () => { left = true; clearTimeout(timer); stop(); heard.stop(); };
}
