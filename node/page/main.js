/** The frame of the page: which screen is shown, the list beside it, keys that work everywhere, notifications. */

import { Chat } from "./chat.js";
import { announce, button, fill, find, h, icon, refill } from "./dom.js";
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
const bar = h("div.bar", { role: "alert", hidden: true });
const nav = h("nav", { "aria-label": "Starling" });
const side = h("div.side", list.element, nav);
const frame = h("div.frame", side, pane);
/** @type {Chat | null} */
let chat = null;
let shownPhase = "";

/** Goes to a screen. @param {string} route */
export function go(route) {
	if (location.hash === `#${route}`) show(); else location.hash = route;
}

/** @returns {string[]} */
const route = () => location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);

function leave() {
	chat?.end();
	chat = null;
}

/** @param {HTMLElement} view @param {string} name */
function put(view, name) {
	leave();
	fill(pane, view);
	pane.dataset.view = name;
}

function empty() {
	if (model.conversations.size > 0) {
		return h("section.empty", icon("flock"), h("h1", "Choose a conversation."), h("p.hint", "Ctrl+K searches, ? shows all keys."));
	}
	return h("section.empty", icon("flock"), h("h1", "Nobody can find you unless you invite them."),
		h("div.row", button("Invite a friend", () => go("/invite"), "primary"), button("I have an invite", () => go("/add"))));
}

function show() {
	if (model.phase !== "open" && model.phase !== "gone") return;
	const [name, id = "", more = ""] = route();
	frame.dataset.route = name || "home";
	const conversation = model.conversations.get(id);
	if (name === "c") {
		if (!conversation) return put(empty(), "home");
		if (chat?.id !== id) {
			const next = new Chat(conversation, go);
			put(next.element, "chat");
			chat = next;
			chat.begin(more);
		} else if (more) chat.begin(more);
	} else {
		const known = model.conversations.get(id.replace("p_", "c_"));
		/** @type {Record<string, () => HTMLElement | undefined>} */
		const views = { invite: inviteView, add: () => addView(go), requests: () => requestsView(go), contact: () => known && contactView(known, go), verify: () => known && verifyView(known.contact, go),
			message: () => detailsView(id, go), flock, settings: () => settingsView(go), keys: shortcutsView };
		put((Object.hasOwn(views, name) && views[name]()) || empty(), Object.hasOwn(views, name) ? name : "home");
	}
	list.select(name === "c" ? id : "");
	drawNav();
}

function drawNav() {
	const [name] = route();
	/** @param {string} to @param {string} label @param {Parameters<typeof icon>[0]} shape @param {number} [number] */
	const link = (to, label, shape, number = 0) => h("a", { href: `#/${to}`, "aria-current": name === to ? "page" : null },
		icon(shape), h("span", label), number > 0 && h("span.badge", number));
	refill(nav, link("", "Chats", "send", model.unread()), link("requests", "Requests", "people", model.requests.length), link("flock", "Flock", "flock"), link("settings", "Settings", "gear"));
}

function drawPhase() {
	bar.hidden = model.phase !== "gone";
	if (model.phase === "gone") {
		fill(bar, h("strong", "Node stopped."), " Start it: ", h("code", "starling"),
			h("span.quiet", { "aria-hidden": "true" }, `  Next try in ${Math.max(0, model.retryIn)} s. `),
			button("Try now", () => model.connect()), chat && h("span", " What you write is kept in this tab."));
	}
	if (model.phase === shownPhase) return;
	const before = shownPhase;
	shownPhase = model.phase;
	switch (model.phase) {
		case "signed_out": leave(); fill(app, loginView()); break;
		case "locked": leave(); fill(app, lockedView()); break;
		case "gone":
			// Whatever was being looked at stays, with the bar above it.
			if (before !== "open") fill(app, bar); else app.prepend(bar);
			break;
		case "open":
			if (wantsOnboarding()) { fill(app, bar, onboarding(() => { fill(app, bar, frame); show(); })); break; }
			if (before !== "gone" || !app.contains(frame)) { fill(app, bar, frame); show(); } else { announce("The node is back"); void chat?.refresh(); }
			break;
		default: fill(app, h("p.loading", "One moment..."));
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

onhashchange = () => { show(); if (!chat) pane.focus({ preventScroll: true }); };
document.onvisibilitychange = () => { if (!document.hidden) chat?.seen(); };
onfocus = () => chat?.seen();

/** @param {Element | null} element */
const isText = (element) => element instanceof HTMLInputElement || element instanceof HTMLTextAreaElement || element instanceof HTMLSelectElement;

document.onkeydown = (event) => {
	if (model.phase !== "open" || document.querySelector("dialog[open]")) return;
	const ctrl = event.ctrlKey || event.metaKey;
	const single = !isText(document.activeElement) && !ctrl && !event.altKey && localStorage.getItem("starling-single-keys") !== "off";
	if (ctrl && event.key === "k") { event.preventDefault(); list.focusSearch(); }
	else if (event.key === "F6") {
		event.preventDefault();
		const stops = [find(list.element, "[tabindex='0'],input"), find(pane, "li[tabindex='0'],.scroll"), find(pane, "textarea") ?? find(pane, "input,button")].filter(Boolean);
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
};

drawPhase();
void model.start();
