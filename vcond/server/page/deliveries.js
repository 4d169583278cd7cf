// Dead letters and what waits, and how the daemon is.

import { ask } from "./api.js";
import { chart } from "./chart.js";
import { cells, el, show, size, table, tell, when } from "./dom.js";

// The first click asks, the second does it.
function sure(label, question, act) {
  const button = el("button", { type: "button" }, label);
  button.addEventListener("click", () => {
    if (button.textContent === question) act();
    else {
      button.textContent = question;
      button.classList.add("danger");
    }
  });
  button.addEventListener("blur", () => { button.textContent = label; button.classList.remove("danger"); });
  return button;
}

export function deliveries(me) {
  const place = el("div");
  show(el("h1", {}, "Deliveries"), place);

  async function act(path, said) {
    try { await ask(path, { method: "POST", body: {} }); tell(said); } catch (why) { tell(why.message); }
    load();
  }

  async function load() {
    try {
      const [dead, undelivered, sinks] = await Promise.all([ask("/dead-letters"), ask("/outbox"), ask("/sinks")]);
      const waiting = undelivered.filter((one) => one.state !== "dead");
      place.replaceChildren(
        el("h2", {}, "Dead letters"),
        dead.length ? table("Refused for good: they wait for you", ["What to do", "Sink", "Why", "The receiver's answer", "vCon"], dead.map((one) => cells(
          el("span", { class: "acts" },
            el("button", { type: "button", class: "go", onclick: () => act(`/outbox/${one.uuid}/retry`, "It is sent again.") }, "Send again"),
            sure("Give up", "Really give up?", () => act(`/outbox/${one.uuid}/discard`, "It is given up."))), one.sink, one.reason, one.answer, el("code", {}, one.uuid)))) : el("p", { class: "none" }, "None: every receiver takes what it gets."),
        el("h2", {}, "Waiting"),
        waiting.length ? table("Not delivered everywhere yet", ["vCon", "Sink", "State", "Tries", "Next try", "Size"], waiting.map((one) => cells(
          el("code", {}, one.uuid), one.sink, `${one.state}${one.reason ? `: ${one.reason}` : ""}`, String(one.attempts), when(one.next_try), size(one.bytes)))) : el("p", { class: "none" }, "Nothing waits."),
        el("h2", {}, "Sinks"),
        sinks.length || !me.hub ? table("Receivers of vCons", ["Sink", "State", "Why", "What mends it"], sinks.map((one) => cells(one.sink, one.state, `${one.reason} ${one.detail}`, one.fix))) : el("p", { class: "none" }, "None is configured: what comes is kept here, and not forwarded."));
    } catch (why) { tell(why.message); }
  }
  load();
  const timer = setInterval(load, 10_000);
  return () => clearInterval(timer);
}

const LOOK = 5000; // milliseconds

export function system(me) {
  const place = el("div");
  const busy = chart("Load", (value) => `${Math.round(value * 100)} % of what there is time for`, 1);
  const lag = chart("Text comes", (value) => `${value.toFixed(1)} s after it was said`);
  const late = chart("Put off until there is time", (value) => `${Math.round(value)} s of speech`);
  show(el("h1", {}, "System"), place);

  function capturing(told, speech) {
    return [
      el("h2", {}, "Adapters"),
      table("Systems that calls come from", ["Adapter", "State", "What it says"], Object.entries(told.adapters).map(([name, one]) => cells(name, one.attached ? "attached" : "NOT attached", one.detail))),
      el("h2", {}, "Speech"),
      speech.engine ? el("div", { class: "charts" }, busy.shown, lag.shown, late.shown) : "",
      el("dl", {}, Object.entries(speech).flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, typeof value === "object" ? JSON.stringify(value) : String(value))])),
    ];
  }
  function taking(told) {
    return [el("h2", {}, "Hub"), el("p", {}, "Takes vCons at ", el("code", {}, told.hub))];
  }

  async function load() {
    try {
      const told = await ask("/status");
      const wrong = Object.entries(told.ready);
      const { load: share, lag: behind, deferred_seconds: off, ...speech } = told.speech ?? {};
      busy.add(share);
      lag.add(behind ?? NaN);
      late.add(off);
      place.replaceChildren(
        wrong.length ? el("ul", { class: "findings wrong" }, wrong.map(([part, what]) => el("li", {}, `${part}: ${what}`))) : el("p", { class: "none" }, "All is well."),
        ...(me.hub ? taking(told) : capturing(told, speech)),
        el("h2", {}, "Room"),
        el("dl", {}, Object.entries(told.pressure).flatMap(([name, one]) => [el("dt", {}, name), el("dd", {}, one.detail)])),
        el("p", { class: "sub" }, `vcond ${told.version}`));
    } catch (why) { tell(why.message); }
  }
  load();
  const timer = setInterval(load, LOOK);
  return () => clearInterval(timer);
}
