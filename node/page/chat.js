/** One conversation: what was said, and what is being written. */
/** @import { Attached, Attachment, Conversation, Message, Pending } from "./types.d.ts" */

import { Gone, blob, wordsOf } from "./api.js";
import { prepare } from "./attach.js";
import { alarm, announce, ask, attempt, back, button, chooser, copy, fill, find, h, icon } from "./dom.js";
import { fileView } from "./file.js";
import { avatar } from "./list.js";
import { model } from "./model.js";
import { VirtualList } from "./virtual.js";
import { frames, record } from "./voice.js";
import { SHAPE, ago, clock, contactState, day, fileWords, forked, line, said, sentence, size, span, tame } from "./words.js";


/** Bytes of a text, in UTF-8. The node says it too, but only after it was sent. */
const TEXT_BYTES_MAX = 64_000, CAPTION_BYTES_MAX = 1024;
const REACTIONS = ["👍", "❤️", "😂", "😮", "😢", "🙏"];
/** A message waits so long before it says so. */
const QUIET_MS = 3000;
/** How long a contact's new device is news. */
const NEWS_MS = 3 * 86_400_000;
const LINK = /https?:\/\/[^\s<>"'`\u200b-\u200f]+[^\s<>"'`.,;:!?)\]}\u200b-\u200f]/giu;

const enterSends = () => localStorage.getItem("starling-enter") !== "line";
/** @param {string} id */
const draftKey = (id) => `starling-draft-${id}`;

export class Chat {
	/** @type {Message | null} */
	#reply = null;
	/** @type {Message | null} */
	#editing = null;
	/** Files of the messages that are in the document. @type {Map<string, ReturnType<typeof fileView>>} */
	#files = new Map();
	/** @type {ReturnType<typeof record> | null} */
	#recorder = null;
	#canRecord = false;
	/** What is being made ready. @type {File | null} */
	#chosen = null;
	/** What is ready. @type {ReturnType<typeof fileView> | null} */
	#ready = null;
	#attached = h("div.context", { hidden: true });
	#chooser = chooser((files) => this.#attach(files));
	#clip = button(icon("clip"), () => this.#chooser.click(), { "aria-label": "Attach a picture or a file" });
	#mic = button(icon("mic"), () => this.#record(), { class: "send", "aria-label": "Record a voice note" });
	#head = h("header.chathead");
	#context = h("div.context", { hidden: true });
	#newer = button("New messages", () => { this.#list.toEnd(); this.seen(); }, { class: "newer", hidden: true });
	#senderline = h("p.hint.senderline");
	#timer = 0;

	/** @param {Conversation} conversation @param {(route: string) => void} go */
	constructor(conversation, go) {
		this.id = conversation.id;
		this.go = go;
		this.#list = new VirtualList("Messages", () => this.#older(), (key) => this.#close(key));
		this.#input = h("textarea", { rows: 1, placeholder: "Write a message", "aria-label": `Message to ${line(conversation.contact.name)}`, dir: "auto",
			oninput: () => this.#typed(), onkeydown: (event) => this.#key(event), onpaste: (event) => {
				const files = [...event.clipboardData?.files ?? []];
				if (files.length > 0 && !event.clipboardData?.getData("text/plain")) { event.preventDefault(); void this.#attach(files); }
			} });
		this.#input.value = sessionStorage.getItem(draftKey(this.id)) ?? "";
		this.#send = h("button.primary.send", { "aria-label": "Send" }, icon("send"));
		this.#form = h("form.composer", { onsubmit: () => { this.#submit(); } }, this.#clip, this.#chooser, this.#input, this.#mic, this.#send);
		/** @param {DragEvent} event */
		const drag = (event) => {
			if (!event.dataTransfer?.types.includes("Files")) return;
			event.preventDefault();
			this.element.classList.toggle("dropping", event.type === "dragover");
			void this.#attach([...event.dataTransfer.files]);
		};
		this.element = h("section.chat", { "aria-label": `Conversation with ${line(conversation.contact.name)}`, ondragover: drag, ondragleave: drag, ondrop: drag }, this.#head, this.#list.element, this.#newer, this.#context, this.#attached, this.#form, this.#senderline);
		void frames.then((duration) => { this.#canRecord = duration > 0; this.#controls(); });
		this.#list.element.onkeydown = (event) => this.#listKey(event);
		this.#list.element.addEventListener("scroll", () => { if (this.#list.atEnd) this.seen(); }, { passive: true });
	}

	#list;
	#input;
	#send;
	#form;

	get #conversation() { return model.conversations.get(this.id); }
	get #contact() { return this.#conversation?.contact; }
	get #name() { return line(this.#contact?.name ?? ""); }

	/** @param {string} message to be shown at once, or "" */
	begin(message) {
		this.#drawHead();
		this.#grow();
		this.#drawAttached();
		const thread = model.thread(this.id);
		if (!thread.loaded) setTimeout(() => { if (!model.thread(this.id).loaded) this.#list.element.classList.add("skeleton"); }, 150);
		void (async () => {
			try {
				if (!thread.loaded) await model.load(this.id); else this.#draw();
				this.#list.element.classList.remove("skeleton");
				if (message) {
					if (await model.loadUntil(this.id, message)) { this.#draw(); this.#list.reveal(message); } else announce("This message is not there any more");
				} else if (matchMedia("(min-width: 640px)").matches && !message) this.#input.focus();
				this.seen();
			} catch (error) { if (!(error instanceof Gone)) alarm(wordsOf(error)); }
		})();
	}

	/** It is no longer shown: lets go of the files, and of the microphone. */
	end() {
		this.#recorder?.cancel();
		this.#chosen = null;
		this.#ready?.end();
		for (const key of [...this.#files.keys()]) this.#close(key);
	}

	async refresh() {
		// What could not be read while the node was gone is read again.
		for (const [key, { failed }] of this.#files) if (failed) this.#close(key);
		try { await model.load(this.id); } catch { /* The bar tells. */ }
		this.#drawHead();
	}

	/** What the person sees is read. */
	seen() {
		if (document.hidden || !document.hasFocus() || !this.#list.atEnd || !this.element.isConnected) return;
		this.#newer.hidden = true;
		model.markRead(this.id);
	}

	/** @param {string} what @param {any} detail */
	changed(what, detail) {
		if (what === "message" && detail.conversation === this.id) {
			const atEnd = this.#list.atEnd;
			this.#draw();
			if (detail.from !== "me") announce(`${this.#name}: ${said(detail).slice(0, 300)}`);
			if (atEnd) this.seen(); else this.#newer.hidden = false;
		} else if (what === "thread" && detail === this.id) this.#draw();
		else if (what === "state" && detail.conversation === this.id) {
			this.#draw();
			const { state } = detail;
			if (state.name === "expired") alarm(`A message to ${this.#name} was not delivered in four weeks.`);
		} else if (what === "list" || what === "status" || what === "all") this.#drawHead();
	}

	#drawHead() {
		const contact = this.#contact, conversation = this.#conversation;
		if (!contact || !conversation) return;
		const state = contactState(contact, model.status?.peers?.connected ?? 0) || (contact.last_heard ? `heard ${ago(contact.last_heard)}` : "not heard yet");
		fill(this.#head,
			back(), avatar(contact.name),
			h("div.who", h("h1", h("bdi", line(contact.name)), contact.verified_at && h("span.verified", { title: `Verified ${ago(contact.verified_at)}` }, icon("check"), h("span.hidden", "verified"))), h("span.hint", state)),
			contact.expires_s && h("span.chip", icon("clock"), span(contact.expires_s)),
			h("a.button", { href: `#/contact/${contact.id}` }, "Contact"));
		this.#input.disabled = this.#send.disabled = this.#mic.disabled = ["forked", "blocked"].includes(contact.state);
		this.#controls();
		fill(this.#senderline, contact.state === "forked" ? h("a", { href: `#/contact/${contact.id}` }, forked(this.#name))
			: contact.state === "blocked" ? "Blocked. Nothing of theirs is shown."
				: contact.mark_lost ? h("a", { href: `#/verify/${contact.id}` }, `${this.#name} was verified, and has a new account since. Compare again.`)
				: contact.devices_changed && Date.now() - new Date(contact.devices_changed).getTime() < NEWS_MS ? `${this.#name} added a device; their number is unchanged.`
					: model.status?.sender_hidden === false ? "Few peers: your node is visible as the sender to its neighbours." : "");
	}

	#draw() {
		const thread = model.thread(this.id);
		/** @type {import("./virtual.js").Row[]} */
		const rows = [];
		let last = "";
		if (!thread.before && thread.loaded) rows.push({ key: "start", version: String(thread.messages.length === 0), make: () => this.#start() });
		const byId = new Map(thread.messages.map((one) => [one.id, one]));
		for (const message of thread.messages) {
			const today = day(message.received ?? message.created);
			if (today !== last) { last = today; rows.push({ key: `day-${message.id}`, version: today, make: () => h("li.day", h("span", today)) }); }
			const answered = message.reply_to ? byId.get(message.reply_to) ?? null : null;
			rows.push({ key: message.id, version: `${versionOf(message, answered)}|${this.#files.get(message.id)?.failed ?? false}`, make: () => this.#bubble(message, answered) });
		}
		for (const pending of thread.pending) {
			rows.push({ key: pending.client_id, version: String(pending.failed), make: () => this.#pending(pending) });
		}
		this.#list.set(rows);
		// States that said nothing for the first moments speak up.
		clearTimeout(this.#timer);
		if (thread.messages.slice(-20).some((one) => isYoung(one))) this.#timer = setTimeout(() => this.#draw(), QUIET_MS);
	}

	#start() {
		const contact = this.#contact;
		return h("li.start", icon("lock"),
			h("p", "Messages are end-to-end encrypted. ", contact?.verified_at ? "You compared security numbers." : "You have not compared security numbers yet. "),
			contact && !contact.verified_at && h("a", { href: `#/verify/${contact.id}` }, "Compare now"));
	}

	/** @param {Message} message @param {Message | null} answered */
	#bubble(message, answered) {
		const own = message.from === "me";
		const who = own ? "You" : this.#name;
		const at = message.received ?? message.created;
		const id = `m-${message.id}`;
		const [file] = message.attachments;
		if (!file) this.#close(message.id);
		const { name, parts, held_by } = message.state, words = sentence(message.state, this.#name), young = isYoung(message);
		const progress = ["queued", "sent"].includes(name) && parts;
		const body = file && !message.text ? null : message.deleted ? h("p.hint", "Message deleted")
			: message.text === null ? h("p.hint", "Needs a newer Starling") : h("p.text", { dir: "auto" }, linked(tame(message.text)));
		return h("li", { class: own ? "own" : "theirs", tabindex: "0", id, "aria-labelledby": `${id}-w ${id}-t ${id}-s` },
			h("span.hidden", { id: `${id}-w` }, `${who}, ${clock(at)}`),
			h("div.bubble",
				message.reply_to && button(answered ? [h("strong", answered.from === "me" ? "You" : this.#name), " ", h("bdi", said(answered).slice(0, 120))] : "An earlier message", () => this.go(`/c/${this.id}/${message.reply_to}`), "quote"),
				h("div", { id: `${id}-t`, role: file && "group", "aria-label": file ? said(message) : null }, file && this.#file(message, file), body),
				own && progress && !young && h("progress.parts", { max: 2 * progress.of, value: progress.stamped + progress.held, "aria-label": "Progress", "aria-valuetext": words }),
				h("div.meta", { id: `${id}-s` }, h("time", { dateTime: at }, clock(at)), message.edited && !message.deleted && " edited", message.expires_s && [" ", icon("clock"), h("span.hidden", "disappears")], !own ? null : young ? h("span.hidden", words)
					: h("a", { class: `delivery ${name}`, href: `#/message/${message.id}`, title: words, tabindex: "-1" }, icon(SHAPE[name] ?? "clock"), name === "held" && held_by, h("span", { class: progress || ["queued", "expired"].includes(name) ? "why" : "hidden" }, words))),
				message.reactions.length > 0 && h("div.reactions", message.reactions.map((one) => h("span", { title: one.from === "me" ? "You" : this.#name }, tame(one.emoji), h("span.hidden", one.from === "me" ? " from you" : ` from ${this.#name}`))))),
			button("", (event) => this.#menu(message, /** @type {HTMLElement} */ (event.currentTarget)), { class: "more quiet", "aria-label": `Actions for this message`, "aria-haspopup": "menu", tabindex: "-1" }));
	}

	/** @param {Message} message @param {Attachment} file */
	#file(message, file) {
		let view = this.#files.get(message.id);
		if (!view) this.#files.set(message.id, view = fileView(file, message.from === "me" ? "Your picture" : `Picture from ${this.#name}`, () => blob(file.id), () => this.#draw()));
		return view.element;
	}

	/** @param {string} key */
	#close(key) {
		this.#files.get(key)?.end();
		this.#files.delete(key);
	}

	/** @param {Pending} pending */
	#pending(pending) {
		return h("li.own.pending", { tabindex: "0" }, h("div.bubble", pending.file && h("p.hint", fileWords(pending.file)), h("p.text", { dir: "auto" }, tame(pending.text)),
			pending.failed ? h("div.meta.error", icon("triangle"), pending.failed, " ", button("Try again", () => model.retry(this.id, pending)), button("Take back", () => {
				model.drop(this.id, pending);
				if (!this.#input.value) { this.#input.value = pending.text; this.#typed(); }
				this.#take(null, model.thread(this.id).file ?? pending.file);
			})) : h("div.meta", h("span.hidden", "Being given to the node"))));
	}

	/** @param {Message} message @param {HTMLElement} from */
	#menu(message, from) {
		document.querySelector(".menu")?.remove();
		const own = message.from === "me";
		const alive = !message.deleted && message.text !== null;
		const close = () => { from.closest("li")?.focus(); if (menu.isConnected) menu.remove(); };
		/** @param {string} label @param {() => void} act */
		const item = (label, act) => h("button", { type: "button", role: "menuitem", onclick: () => { menu.remove(); act(); } }, label);
		const menu = h("div.menu", { role: "menu", "aria-label": "Actions for this message", onkeydown: (event) => {
			const items = [...menu.querySelectorAll("button")], now = items.findIndex((one) => one === document.activeElement);
			const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
			if (step) { event.preventDefault(); items[(now + step + items.length) % items.length].focus(); }
			if (event.key === "Escape" || event.key === "Tab") { event.preventDefault(); event.stopPropagation(); close(); }
		}, onfocusout: (event) => { if (menu.isConnected && !menu.contains(/** @type {Node | null} */ (event.relatedTarget))) queueMicrotask(() => menu.remove()); } },
		alive && h("div.row", { role: "group", "aria-label": "React" }, REACTIONS.map((emoji) => {
			const mine = message.reactions.some((one) => one.from === "me" && one.emoji === emoji);
			return h("button", { type: "button", role: "menuitem", "aria-label": mine ? `Take back ${emoji}` : `React with ${emoji}`, class: mine ? "chosen" : "", onclick: () => { menu.remove(); void attempt(() => model.react(message, mine ? null : emoji)); } }, emoji);
		})),
		alive && item("Reply", () => this.#begin(message, null)),
		message.text && item("Copy text", () => copy(message.text ?? "")),
		message.attachments.length > 0 && item("Save the file", () => this.#files.get(message.id)?.save()),
		own && alive && message.attachments.length === 0 && item("Edit", () => this.#begin(null, message)),
		item("Details", () => this.go(`/message/${message.id}`)),
		item("Delete...", () => this.#remove(message)));
		from.after(menu);
		if (menu.getBoundingClientRect().bottom > this.#list.element.getBoundingClientRect().bottom) menu.classList.add("up");
		find(menu, "button")?.focus();
	}

	/** @param {Message} message */
	async #remove(message) {
		const own = message.from === "me" && !message.deleted;
		const answer = await ask("Delete this message?", [h("p", own ? "For both: their node forgets it too, if it has not been copied. Whoever read it has read it." : "It goes from this computer alone.")],
			[["", "Keep"], ["me", "Only here"], ...(own ? /** @type {[string, string, string][]} */ ([["both", "For both", "danger"]]) : [])]);
		if (answer === "me" || answer === "both") await attempt(() => model.remove(message, answer));
	}

	/** @param {Message | null} reply @param {Message | null} edit */
	#begin(reply, edit) {
		if (edit || this.#editing) this.#input.value = edit?.text ?? "";
		[this.#reply, this.#editing] = [reply, edit];
		const about = reply ?? edit;
		this.#context.hidden = !about;
		if (about) fill(this.#context, h("span", h("strong", edit ? "Editing" : `Answer to ${about.from === "me" ? "yourself" : this.#name}`), " ", h("bdi", said(about).slice(0, 100))), button("Cancel", () => this.#begin(null, null), "quiet"));
		this.#grow();
		this.#input.focus();
	}

	#typed() {
		if (!this.#editing) sessionStorage.setItem(draftKey(this.id), this.#input.value);
		this.#grow();
	}

	#grow() {
		this.#controls();
		this.#input.style.height = "auto";
		this.#input.style.height = `${Math.min(this.#input.scrollHeight + 2, innerHeight / 3)}px`;
	}

	/** An empty composer offers the microphone instead of sending. */
	#controls() {
		const isEmpty = !this.#input.value.trim() && !this.#editing && !this.#chosen && !model.thread(this.id).file;
		this.#mic.hidden = !(this.#canRecord && isEmpty);
		this.#send.hidden = !this.#mic.hidden;
		this.#clip.disabled = this.#input.disabled || Boolean(this.#editing);
	}

	/** @param {File[]} files */
	async #attach([file, ...more]) {
		if (!file || this.#clip.disabled || this.#recorder) return;
		const thread = model.thread(this.id);
		this.#take(file, thread.file);
		const ready = await prepare(file).catch((error) => alarm(wordsOf(error)));
		if (this.#chosen !== file) return;
		this.#take(null, ready ?? thread.file);
		if (ready) announce(`${fileWords(ready)} attached`);
		if (ready && more.length > 0) alarm("A message has one file: the first one is here.");
	}

	/** @param {File | null} chosen @param {Attached | null} ready */
	#take(chosen, ready) {
		this.#chosen = chosen;
		model.thread(this.id).file = ready;
		this.#drawAttached();
		this.#input.focus();
	}

	/** What will go with the text. */
	#drawAttached() {
		const { file } = model.thread(this.id);
		this.#ready?.end();
		this.#ready = file && fileView(file, "Your picture", async () => file.blob, () => {});
		this.#attached.hidden = !file && !this.#chosen;
		fill(this.#attached, this.#chosen || !file ? h("span", "The file is being made ready...") : [file.kind === "file" ? icon("clip") : this.#ready?.element, h("span", `${fileWords(file)}, ${size(file.blob.size)}`)],
			button("Remove", () => this.#take(null, null), "quiet"));
		this.#controls();
	}

	#record() {
		const recorder = this.#recorder = record((note, send) => {
			this.#recorder = null;
			recorder.element.replaceWith(this.#form);
			// What is not to be seen any more is not to go with the next text.
			if (send || this.element.isConnected) this.#take(null, note);
			if (note && send) this.#submit();
		});
		this.#form.replaceWith(recorder.element);
	}

	/** @param {KeyboardEvent} event */
	#key(event) {
		if (event.key === "Enter" && !event.isComposing && (enterSends() ? !event.shiftKey : event.ctrlKey)) { event.preventDefault(); this.#submit(); }
		else if (event.key === "Escape" && (this.#reply || this.#editing)) { event.preventDefault(); this.#begin(null, null); }
		else if (event.key === "ArrowUp" && this.#input.value === "") {
			const last = model.thread(this.id).messages.findLast((one) => one.from === "me" && !one.deleted);
			if (last) { event.preventDefault(); this.#list.reveal(last.id); }
		}
	}

	/** @param {KeyboardEvent} event */
	#listKey(event) {
		const target = /** @type {Element} */ (event.target), row = target.closest("li");
		if (target.closest(".menu")) return;
		const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8, Home: -1e9, End: 1e9 }[event.key];
		if (step) { event.preventDefault(); this.#list.moveFocus(step); return; }
		if (!row || target !== row) return;
		const message = model.thread(this.id).messages.find((one) => one.id === row.dataset.key);
		if ((event.key === "Enter" || event.key === " ") && message) { event.preventDefault(); this.#menu(message, /** @type {HTMLElement} */ (find(row, ".more"))); }
		if (event.key === "Escape") { event.preventDefault(); this.#input.focus(); }
	}

	#submit() {
		const editing = this.#editing, reply = this.#reply?.id ?? null, thread = model.thread(this.id);
		const text = this.#input.value.trim(), file = editing ? null : thread.file;
		if (!text && !file || this.#input.disabled) return;
		if (this.#chosen) return announce("The file is not ready yet");
		const bytes = new TextEncoder().encode(text).length, most = file ? CAPTION_BYTES_MAX : TEXT_BYTES_MAX;
		if (bytes > most) return alarm(`The text has ${bytes.toLocaleString()} bytes; ${most.toLocaleString()} fit ${file ? "beside a file" : "in a message"}.`);
		this.#input.value = "";
		sessionStorage.removeItem(draftKey(this.id));
		this.#begin(null, null);
		if (editing) { if (text !== editing.text) void attempt(() => model.edit(editing, text)); return; }
		if (file) this.#take(null, null);
		void model.send(this.id, text, reply, file).then((given) => given && announce("Sent"));
		this.#list.toEnd();
	}

	#older() {
		if (model.thread(this.id).before) void model.loadOlder(this.id).catch(() => {});
	}
}

/** @param {Message} message */
const isYoung = (message) => message.from === "me" && message.state.name === "queued" && Date.now() - new Date(message.created).getTime() < QUIET_MS;

/** All of a message that its row shows. @param {Message} message @param {Message | null} answered */
function versionOf(message, answered) {
	const { state, reactions, attachments, text, edited, deleted, expires } = message;
	return JSON.stringify([state, reactions, attachments.length, text?.length, edited, deleted, expires, isYoung(message), answered?.text?.length]);
}

/** Text with its web addresses as links, which ask before they lead out. @param {string} text @returns {(string | Node)[]} */
function linked(text) {
	const parts = [];
	let from = 0;
	for (const found of text.matchAll(LINK)) {
		parts.push(text.slice(from, found.index), link(found[0]));
		from = found.index + found[0].length;
	}
	parts.push(text.slice(from));
	return parts;
}

/** @param {string} address */
function link(address) {
	let host = "";
	try { host = new URL(address).host; } catch { return document.createTextNode(address); }
	return h("a", { href: address, target: "_blank", rel: "noopener noreferrer", onclick: async (event) => {
		event.preventDefault();
		const answer = await ask("Leave this page?", [h("p", "The site learns your address: "), h("p", h("strong", host)), h("p.wrap", h("code", address))], [["", "Stay"], ["copy", "Copy the link"], ["open", "Open", "primary"]]);
		if (answer === "open") window.open(address, "_blank", "noopener,noreferrer");
		if (answer === "copy") void copy(address);
	} }, address);
}
