// Where we are, and who we are.

import { ask } from "./api.js";
import { call, calls } from "./calls.js";
import { deliveries, system } from "./deliveries.js";
import { el, show, tell } from "./dom.js";
import { record, records } from "./records.js";

const SECTIONS = [
  { name: "calls", label: "Calls", role: "watch", view: calls, one: call, live: true },
  { name: "records", label: "Records", role: "read", view: records, one: record },
  { name: "deliveries", label: "Deliveries", role: "operate", view: deliveries },
  { name: "system", label: "System", role: null, view: system },
];
let leave = () => {};
let route = () => {}; // shows what the address says; nothing before somebody is logged in

addEventListener("hashchange", () => route(true));
addEventListener("loggedout", () => {
  if (document.getElementById("nav").childElementCount) login("You were logged out: the session has ended, or vcond was restarted.");
});

function login(said) {
  leave();
  leave = route = () => {};
  document.getElementById("nav").replaceChildren();
  document.getElementById("who").replaceChildren();
  const field = el("input", { id: "token", type: "password", autocomplete: "off", required: true });
  const form = el("form", { onsubmit: async (event) => {
    event.preventDefault();
    const answer = await fetch("login", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ token: field.value.trim() }) });
    if (answer.ok) start();
    else login((await answer.json()).error);
  } }, el("p", {}, el("label", { for: "token" }, "Token "), field), el("button", { class: "go" }, "Log in"));
  show(el("h1", {}, "Log in"), el("p", {}, "Run ", el("code", {}, "vcond page"), " on this machine for a link, or give a token of ", el("code", {}, "vcond token create"), "."), form);
  tell(said);
  field.focus();
}

async function start() {
  let who;
  try { who = await ask("/me"); } catch (why) {
    login(why.status === 401 ? "" : why.message);
    return;
  }
  const me = { ...who, may: (role) => role === null || who.roles.includes(role) || who.roles.includes("admin") };
  const sections = SECTIONS.filter((one) => me.may(one.role) && !(one.live && me.hub)); // no call goes on at a hub
  const brand = me.hub ? "vcond hub" : "vcond";
  document.getElementById("brand").textContent = brand;
  document.getElementById("dot").hidden = me.hub;
  const links = sections.map((one) => el("a", { href: `#/${one.name}` }, one.label));
  document.getElementById("nav").replaceChildren(...links);
  document.getElementById("who").replaceChildren(el("span", {}, me.name), el("button", { type: "button", class: "plain", onclick: async () => {
    await fetch("logout", { method: "POST" });
    location.reload();
  } }, "Log out"));
  route = (moved) => {
    const [, name, id, at] = location.hash.split("/");
    const found = sections.find((one) => one.name === name) ?? sections[0];
    leave();
    tell("");
    links.forEach((link, at) => link.toggleAttribute("aria-current", sections[at] === found));
    links[sections.indexOf(found)].setAttribute("aria-current", "page");
    document.title = `${found.label}, ${brand}`;
    leave = id && found.one ? found.one(me, decodeURIComponent(id), at) : found.view(me);
    if (moved) document.getElementById("main").focus({ preventScroll: true });
    scrollTo(0, 0);
  };
  route(false);
}

start();
