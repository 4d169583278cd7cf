// A figure as it was in the last minutes: a line, and beside it in words. What it was is in this browser only.

import { el } from "./dom.js";

const MOST = 60; // values that are kept
const WIDTH = 240;
const HEIGHT = 48;

// `name` of what is drawn, `say` of a value in words; `line`: a value that is marked, as the one from which on it is too much.
export function chart(name, say, line = 0) {
  const values = []; // null where there was none
  const told = el("figcaption");
  const drawn = el("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  const shown = el("figure", { class: "chart" }, told, drawn);

  function add(value) {
    values.push(Number.isFinite(value) ? value : null);
    if (values.length > MOST) values.shift();
    const known = values.filter((one) => one !== null);
    const top = Math.max(line * 1.25, ...known, 0.001);
    const x = (at) => (((MOST - values.length + at) / (MOST - 1)) * WIDTH).toFixed(1);
    const y = (one) => (HEIGHT - 1 - (one / top) * (HEIGHT - 2)).toFixed(1);
    const path = values.map((one, at) => (one === null ? "" : `${at && values[at - 1] !== null ? "L" : "M"}${x(at)} ${y(one)}h0`)).join("");
    drawn.replaceChildren(line ? el("path", { class: "limit", d: `M0 ${y(line)}H${WIDTH}` }) : "", el("path", { class: "value", d: path }));
    const now = values.at(-1);
    told.textContent = `${name}: ${now === null ? "none now" : `${say(now)} now`}${known.length > 1 ? `, ${say(Math.max(...known))} at most in what is drawn` : ""}`;
  }
  return { shown, add };
}
