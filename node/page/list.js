/** The conversations, last activity first, and the search over them and over all that was said. */
/** @import { Conversation, Message } from "./types.d.ts" */

import { get, wordsOf } from "./api.js";
import { fill, find, h, icon, refill } from "./dom.js";
import { model } from "./model.js";
import { SHAPE, line, nodeState, preview, said, sentence, tame, when } from "./words.js";

const SEARCH_WAIT_MS = 120;

export class ChatList {
	#head = h("header.listhead");
	#items = h("ul.chats", { "aria-label": "Conversations" });
	#found = h("div.found", { hidden: true });
	#count = h("p.hidden", { role: "status" });
	#selected = "";
	#timer = 0;
	#asked = 0;
	#frame = 0;
	#search = h("input", { type: "search", placeholder: "Search", "aria-label": "Search people and messages", autocomplete: "off",
		oninput: () => { clearTimeout(this.#timer); this.#timer = setTimeout(() => this.#find(), SEARCH_WAIT_MS); this.draw(); },
		onkeydown: (event) => {
			if (event.key === "ArrowDown") { event.preventDefault(); find(this.element, ".chats a, .found a")?.focus(); }
			if (event.key === "Escape" && this.searching) { event.preventDefault(); this.clearSearch(); }
		} });

	constructor() {
		this.element = h("section.list", { "aria-label": "Conversations" }, this.#head,
			h("div.searchbox", { role: "search" }, icon("search"), this.#search), this.#count, this.#items, this.#found);
		this.element.onkeydown = (event) => {
			if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
			const links = /** @type {NodeListOf<HTMLElement>} */ (this.element.querySelectorAll(".chats a, .found a"));
			const now = [...links].findIndex((one) => one === document.activeElement);
			if (now < 0) return;
			event.preventDefault();
			const next = now + (event.key === "ArrowDown" ? 1 : -1);
			if (next < 0) this.#search.focus(); else links[next]?.focus();
		};
	}

	get searching() { return this.#search.value.trim() !== ""; }
	focusSearch() { if (location.hash.length > 2 && matchMedia("(max-width: 639px)").matches) location.hash = "/"; this.#search.focus(); this.#search.select(); }
	clearSearch() { this.#search.value = ""; void this.#find(); this.draw(); this.#search.focus(); }

	/** @param {string} id */
	select(id) { this.#selected = id; this.draw(); }

	/** The conversation before or after the one that is shown. @param {number} step @param {boolean} unreadOnly */
	neighbour(step, unreadOnly) {
		const all = model.sorted();
		const now = all.findIndex((one) => one.id === this.#selected);
		for (let place = now + step; place >= 0 && place < all.length; place += step) {
			if (!unreadOnly || all[place].unread > 0) return all[place].id;
		}
		return null;
	}

	/** Once a frame is enough. */
	draw() {
		if (!this.#frame) this.#frame = requestAnimationFrame(() => { this.#frame = 0; this.#draw(); });
	}

	#draw() {
		const own = model.settings.name || "You";
		const state = nodeState(model.status);
		const serious = model.status?.warnings.filter((one) => one.code !== "no_passphrase") ?? [];
		fill(this.#head,
			h("div.who", h("strong", { dir: "auto" }, tame(own)), h("span", { class: `state ${model.status?.state ?? ""}` }, state)),
			h("a.button", { href: "#/invite" }, "Invite"), h("a.button", { href: "#/add", "aria-label": "Add somebody by an invite" }, icon("plus")));
		if (serious.length > 0) this.#head.append(h("a.warn", { href: "#/settings" }, icon("triangle"), serious[0].message));
		const words = this.#search.value.trim().toLowerCase();
		const shown = model.sorted().filter((one) => !words || one.contact.name.toLowerCase().includes(words));
		refill(this.#items, shown.map((one) => this.#item(one)));
	}

	/** @param {Conversation} one */
	#item(one) {
		const { contact, last_message: last, unread } = one;
		const own = last?.from === "me";
		const words = last ? preview(last) : contact.state === "ready" ? "Say hello" : contact.state === "waiting_for_keys" ? "Waiting for their keys" : contact.state;
		return h("li", h("a", { href: `#/c/${one.id}`, "aria-current": one.id === this.#selected ? "true" : null },
			avatar(contact.name),
			h("span.name", { dir: "auto" }, line(contact.name), contact.verified_at && h("span.verified", icon("check"), h("span.hidden", "verified")),
				one.muted && h("span", icon("mute"), h("span.hidden", "muted"))),
			h("time", { dateTime: contact.last_activity }, when(contact.last_activity)),
			h("span.preview", { dir: "auto" }, own && last && [icon(SHAPE[last.state.name] ?? "clock"), h("span.hidden", `${sentence(last.state, contact.name)}. `)], words),
			unread > 0 && h("span", { class: one.muted ? "badge muted" : "badge" }, unread > 99 ? "99+" : unread, h("span.hidden", " unread"))));
	}

	async #find() {
		const words = this.#search.value.trim();
		this.#found.hidden = words === "";
		if (!words) return fill(this.#found);
		const asked = ++this.#asked;
		try {
			const { messages, before } = await get(`/v1/search?limit=30&q=${encodeURIComponent(words.slice(0, 80))}`);
			if (asked !== this.#asked) return;
			this.#count.textContent = messages.length === 0 ? "No messages found" : `${messages.length}${before ? " or more" : ""} messages found`;
			fill(this.#found, h("h2", messages.length === 0 ? "No messages found" : "Messages"), h("ul", messages.map((/** @type {Message} */ one) => this.#hit(one, words))),
				before && h("p.hint", "There are more. Another word narrows it down."));
		} catch (error) {
			if (asked === this.#asked) fill(this.#found, h("p.hint", wordsOf(error)));
		}
	}

	/** @param {Message} message @param {string} words */
	#hit(message, words) {
		const name = model.conversations.get(message.conversation)?.contact.name ?? "Removed contact";
		const text = said(message);
		const word = words.toLowerCase().split(/\s+/u)[0];
		const at = text.toLowerCase().indexOf(word);
		const start = Math.max(0, at - 24);
		return h("li", h("a", { href: `#/c/${message.conversation}/${message.id}` },
			h("span.name", { dir: "auto" }, message.from === "me" ? `You to ${line(name)}` : line(name)),
			h("time", { dateTime: message.created }, when(message.created)),
			h("span.preview", { dir: "auto" }, start > 0 ? "..." : "", text.slice(start, Math.max(at, 0)), at >= 0 && h("mark", text.slice(at, at + word.length)), text.slice(Math.max(at, 0) + (at >= 0 ? word.length : 0), start + 120))));
	}
}

/** The first letter of a name, on a colour that is always the same for it. @param {string} name */
export function avatar(name) {
	let sum = 0;
	for (const letter of name) sum = (sum * 31 + (letter.codePointAt(0) ?? 0)) % 997;
	return h("span", { class: `avatar c${sum % 6}`, "aria-hidden": "true" }, [...tame(name).trim()][0]?.toUpperCase() ?? "?");
}

