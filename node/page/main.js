// @ts-check
/** The frame of the page: which screen is shown, the list beside it, keys that work everywhere, notifications. */

import { Chat } from "./chat.js";
import { announce, button, fill, h, icon } from "./dom.js";
import { flock } from "./flock.js";
import { ChatList } from "./list.js";
import { model } from "./model.js";
import { notifyOf, title } from "./notify.js";
import { addView, contactView, inviteView, requestsView, verifyView } from "./people.js";
import { settingsView, shortcutsView } from "./settings.js";
import { lockedView, loginView, onboarding, wantsOnboarding } from "./start.js";
import { detailsView } from "./details.js";

const app = /** @type {HTMLElement} */ (document.getElementById("app"));
const list = new ChatList();
const pane = h("main", { id: "pane", tabindex: "-1" });
const bar = h("div", { class: "bar", role: "alert", hidden: true });
const nav = h("nav", { "aria-label": "Starling" });
const side = h("div", { class: "side" }, list.element, nav);
const frame = h("div", { class: "frame" }, side, pane);
/** @type {Chat | null} */
let chat = null;
let shownPhase = "";

/** Goes to a screen. @param {string} route */
export function go(route) {
  if (location.hash === `#${route}`) show(); else location.hash = route;
}

/** @returns {string[]} */
const route = () => location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);

/** @param {HTMLElement} view @param {string} name */
function put(view, name) {
  chat = null;
  fill(pane, view);
  pane.dataset.view = name;
}

function empty() {
  if (model.conversations.size > 0) {
    return h("section", { class: "empty" }, icon("flock"), h("h1", null, "Choose a conversation."), h("p", { class: "hint" }, "Ctrl+K searches, ? shows all keys."));
  }
  return h("section", { class: "empty" }, icon("flock"), h("h1", null, "Nobody can find you unless you invite them."),
    h("div", { class: "row" }, button("Invite a friend", () => go("/invite"), { class: "primary" }), button("I have an invite", () => go("/add"))));
}

function show() {
  if (model.phase !== "open" && model.phase !== "gone") return;
  const [name, id = "", more = ""] = route();
  frame.dataset.route = name || "home";
  const conversation = model.conversations.get(id);
  const byContact = () => model.conversations.get(id.replace("p_", "c_"));
  switch (name) {
    case "c":
      if (!conversation) return put(empty(), "home");
      if (chat?.id !== id) {
        const next = new Chat(conversation, go);
        put(next.element, "chat");
        chat = next;
        chat.begin(more);
      } else if (more) chat.begin(more);
      break;
    case "invite": put(inviteView(), name); break;
    case "add": put(addView(go), name); break;
    case "requests": put(requestsView(go), name); break;
    case "contact": { const one = byContact(); put(one ? contactView(one, go) : empty(), name); break; }
    case "verify": { const one = byContact(); put(one ? verifyView(one.contact, go) : empty(), name); break; }
    case "message": put(detailsView(id, go), name); break;
    case "flock": put(flock(), name); break;
    case "settings": put(settingsView(go), name); break;
    case "keys": put(shortcutsView(), name); break;
    default: put(empty(), "home");
  }
  list.select(name === "c" ? id : "");
  drawNav();
}

function drawNav() {
  const [name] = route();
  /** @param {string} to @param {string} label @param {Parameters<typeof icon>[0]} shape @param {number} [number] */
  const link = (to, label, shape, number = 0) => h("a", { href: `#/${to}`, "aria-current": name === to ? "page" : null },
    icon(shape), h("span", null, label), number > 0 ? h("span", { class: "badge" }, number) : null);
  const focused = /** @type {HTMLElement | null} */ (nav.contains(document.activeElement) ? document.activeElement : null)?.getAttribute("href");
  fill(nav, link("", "Chats", "send", model.unread()), link("requests", "Requests", "people", model.requests.length), link("flock", "Flock", "flock"), link("settings", "Settings", "gear"));
  if (focused) /** @type {HTMLElement | null} */ (nav.querySelector(`a[href="${focused}"]`))?.focus();
}

function drawPhase() {
  bar.hidden = model.phase !== "gone";
  if (model.phase === "gone") {
    fill(bar, h("strong", null, "Node stopped."), " Start it: ", h("code", null, "starling"),
      h("span", { class: "quiet", "aria-hidden": "true" }, `  Next try in ${Math.max(0, model.retryIn)} s. `),
      button("Try now", () => void model.connect()), chat ? h("span", null, " What you write is kept in this tab.") : null);
  }
  if (model.phase === shownPhase) return;
  const before = shownPhase;
  shownPhase = model.phase;
  switch (model.phase) {
    case "signed_out": chat = null; fill(app, loginView()); break;
    case "locked": chat = null; fill(app, lockedView()); break;
    case "gone":
      // Whatever was being looked at stays, with the bar above it.
      if (before !== "open") fill(app, bar); else app.prepend(bar);
      break;
    case "open":
      if (wantsOnboarding()) { fill(app, bar, onboarding(() => { fill(app, bar, frame); show(); })); break; }
      if (before !== "gone" || !app.contains(frame)) { fill(app, bar, frame); show(); } else { announce("The node is back"); void chat?.refresh(); }
      break;
    default: fill(app, h("p", { class: "loading" }, "One moment..."));
  }
}

model.addEventListener("changed", (event) => {
  const { what, detail } = /** @type {CustomEvent} */ (event).detail;
  if (what === "phase" || what === "retry") drawPhase();
  list.draw();
  if (what === "all" && model.phase === "open" && app.contains(frame)) { drawNav(); const [name, id] = route(); if (name === "c" && model.conversations.has(id)) void chat?.refresh(); else show(); }
  if (what === "status" || what === "list" || what === "requests" || what === "message") drawNav();
  // A conversation that was asked for before it was known.
  if (what === "list" && route()[0] === "c" && !chat && model.conversations.has(route()[1]) && app.contains(frame)) show();
  if (what === "requests" && route()[0] === "requests") show();
  if (what === "invites" && route()[0] === "invite") pane.dispatchEvent(new CustomEvent("invites", { detail }));
  if (what === "status" && route()[0] === "flock") pane.dispatchEvent(new CustomEvent("status"));
  chat?.changed(what, detail);
  if (what === "message") notifyOf(detail, chat?.id === detail.conversation && document.hasFocus(), go);
  title();
});

addEventListener("hashchange", () => { show(); if (!chat) pane.focus({ preventScroll: true }); });
document.addEventListener("visibilitychange", () => { if (!document.hidden) chat?.seen(); });
addEventListener("focus", () => chat?.seen());

/** @param {Element | null} element */
const isText = (element) => element instanceof HTMLInputElement || element instanceof HTMLTextAreaElement || element instanceof HTMLSelectElement;

document.addEventListener("keydown", (event) => {
  if (model.phase !== "open" || document.querySelector("dialog[open]")) return;
  const ctrl = event.ctrlKey || event.metaKey;
  const single = !isText(document.activeElement) && !ctrl && !event.altKey && localStorage.getItem("starling-single-keys") !== "off";
  if (ctrl && event.key === "k") { event.preventDefault(); list.focusSearch(); }
  else if (event.key === "F6") {
    event.preventDefault();
    const stops = /** @type {(HTMLElement | null)[]} */ ([list.element.querySelector("[tabindex='0'],input"), pane.querySelector("li[tabindex='0'],.scroll"), pane.querySelector("textarea,input,button")]).filter(Boolean);
    const now = stops.findIndex((stop) => stop?.contains(document.activeElement) || stop === document.activeElement);
    stops[(now + 1 + (event.shiftKey ? stops.length - 2 : 0)) % stops.length]?.focus();
  } else if (event.altKey && (event.key === "ArrowUp" || event.key === "ArrowDown")) {
    event.preventDefault();
    const next = list.neighbour(event.key === "ArrowDown" ? 1 : -1, event.shiftKey);
    if (next) go(`/c/${next}`);
  } else if (event.key === "Escape" && !event.defaultPrevented) {
    const [name] = route();
    if (name && name !== "c") history.length > 1 ? history.back() : go("/");
    else if (list.searching) list.clearSearch();
  } else if (single && event.key === "?") go("/keys");
  else if (single && event.key === "/") { event.preventDefault(); list.focusSearch(); }
});

drawPhase();
void model.start();
