// @ts-check
/** One conversation: what was said, and what is being written. */

import { Gone, wordsOf } from "./api.js";
import { alarm, announce, ask, button, copy, fill, h, icon } from "./dom.js";
import { avatar } from "./list.js";
import { model } from "./model.js";
import { VirtualList } from "./virtual.js";
import { SHAPE, ago, clock, contactState, day, line, sentence, span, tame } from "./words.js";

/** @typedef {import("./types").Message} Message */

/** Bytes of a text, in UTF-8. The node says it too, but only after it was sent. */
const TEXT_BYTES_MAX = 64_000;
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
  #head = h("header", { class: "chathead" });
  #context = h("div", { class: "context", hidden: true });
  #newer = button("New messages", () => { this.#list.toEnd(); this.seen(); }, { class: "newer", hidden: true });
  #note = h("p", { class: "hint senderline" });
  #timer = 0;

  /** @param {import("./types").Conversation} conversation @param {(route: string) => void} go */
  constructor(conversation, go) {
    this.id = conversation.id;
    this.go = go;
    this.#list = new VirtualList("Messages", () => this.#older());
    this.#input = h("textarea", { rows: 1, placeholder: "Write a message", "aria-label": `Message to ${line(conversation.contact.name)}`, dir: "auto",
      oninput: () => this.#typed(), onkeydown: (/** @type {KeyboardEvent} */ event) => this.#key(event) });
    this.#input.value = sessionStorage.getItem(draftKey(this.id)) ?? "";
    this.#send = h("button", { class: "primary send", "aria-label": "Send" }, icon("send"));
    const form = h("form", { class: "composer", onsubmit: (/** @type {Event} */ event) => { event.preventDefault(); this.#submit(); } }, this.#input, this.#send);
    this.element = h("section", { class: "chat", "aria-label": `Conversation with ${line(conversation.contact.name)}` }, this.#head, this.#list.element, this.#newer, this.#context, form, this.#note);
    this.#list.element.addEventListener("keydown", (event) => this.#listKey(event));
    this.#list.element.addEventListener("scroll", () => { if (this.#list.atEnd) this.seen(); }, { passive: true });
  }

  #list;
  #input;
  #send;

  get #conversation() { return model.conversations.get(this.id); }
  get #contact() { return this.#conversation?.contact; }
  get #name() { return line(this.#contact?.name ?? ""); }

  /** @param {string} message to be shown at once, or "" */
  begin(message) {
    this.#drawHead();
    this.#grow();
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

  async refresh() {
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
      if (detail.from !== "me") announce(`${this.#name}: ${line(detail.text ?? "a message").slice(0, 300)}`);
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
      h("a", { class: "button back", href: "#/", "aria-label": "Back to the conversations" }, icon("back")), avatar(contact.name),
      h("div", { class: "who" }, h("h1", null, h("bdi", null, line(contact.name)), contact.verified_at ? h("span", { class: "verified", title: `Verified ${ago(contact.verified_at)}` }, icon("check"), h("span", { class: "hidden" }, "verified")) : null), h("span", { class: "hint" }, state)),
      contact.expires_s ? h("span", { class: "chip" }, icon("clock"), span(contact.expires_s)) : null,
      h("a", { class: "button", href: `#/contact/${contact.id}` }, "Contact"));
    const forked = contact.state === "forked";
    const cannot = forked || contact.state === "blocked";
    this.#input.disabled = this.#send.disabled = cannot;
    fill(this.#note, forked ? h("a", { href: `#/contact/${contact.id}` }, `Two device lists carry ${this.#name}'s signature: their keys may be copied. Nothing is sent until you decide.`)
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
      if (today !== last) { last = today; rows.push({ key: `day-${message.id}`, version: today, make: () => h("li", { class: "day" }, h("span", null, today)) }); }
      const answered = message.reply_to ? byId.get(message.reply_to) ?? null : null;
      rows.push({ key: message.id, version: versionOf(message, answered), make: () => this.#bubble(message, answered) });
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
    return h("li", { class: "start" }, icon("lock"),
      h("p", null, "Messages are end-to-end encrypted. ", contact?.verified_at ? "You compared security numbers." : "You have not compared security numbers yet. "),
      contact && !contact.verified_at ? h("a", { href: `#/verify/${contact.id}` }, "Compare now") : null);
  }

  /** @param {Message} message @param {Message | null} answered */
  #bubble(message, answered) {
    const own = message.from === "me";
    const who = own ? "You" : this.#name;
    const at = message.received ?? message.created;
    const id = `m-${message.id}`;
    const body = message.deleted ? h("p", { class: "hint" }, "Message deleted")
      : message.text === null ? h("p", { class: "hint" }, "Needs a newer Starling") : h("p", { class: "text", dir: "auto" }, linked(tame(message.text)));
    return h("li", { class: own ? "own" : "theirs", tabindex: "0", id, "aria-labelledby": `${id}-w ${id}-t ${id}-s` },
      h("span", { class: "hidden", id: `${id}-w` }, `${who}, ${clock(at)}`),
      h("div", { class: "bubble" },
        message.reply_to ? h("button", { type: "button", class: "quote", onclick: () => this.go(`/c/${this.id}/${message.reply_to}`) }, answered ? [h("strong", null, answered.from === "me" ? "You" : this.#name), " ", h("span", { dir: "auto" }, line(answered.text ?? "Message deleted").slice(0, 120))] : "An earlier message") : null,
        h("div", { id: `${id}-t` }, body),
        h("div", { class: "meta", id: `${id}-s` }, h("time", { dateTime: at }, clock(at)), message.edited && !message.deleted ? " edited" : null, message.expires_s ? [" ", icon("clock"), h("span", { class: "hidden" }, "disappears")] : null, own ? this.#state(message) : null),
        (message.reactions ?? []).length > 0 ? h("div", { class: "reactions" }, (message.reactions ?? []).map((one) => h("span", { title: one.from === "me" ? "You" : this.#name }, tame(one.emoji), h("span", { class: "hidden" }, one.from === "me" ? " from you" : ` from ${this.#name}`)))) : null),
      button("", (event) => this.#menu(message, /** @type {HTMLElement} */ (event.currentTarget)), { class: "more quiet", "aria-label": `Actions for this message`, "aria-haspopup": "menu", tabindex: "-1" }));
  }

  /** @param {Message} message */
  #state(message) {
    const words = sentence(message.state, this.#name);
    if (isYoung(message)) return h("span", { class: "hidden" }, words);
    return h("a", { class: `delivery ${message.state.name}`, href: `#/message/${message.id}`, title: words, tabindex: "-1" }, icon(SHAPE[message.state.name] ?? "clock"),
      message.state.name === "held" ? String(message.state.held_by) : null, h("span", { class: ["queued", "expired"].includes(message.state.name) ? "why" : "hidden" }, words));
  }

  /** @param {import("./types").Pending} pending */
  #pending(pending) {
    return h("li", { class: "own pending", tabindex: "0" }, h("div", { class: "bubble" }, h("p", { class: "text", dir: "auto" }, tame(pending.text)),
      pending.failed ? h("div", { class: "meta error" }, icon("triangle"), pending.failed, " ", button("Try again", () => void model.retry(this.id, pending)), button("Take back", () => {
        model.drop(this.id, pending);
        if (!this.#input.value) { this.#input.value = pending.text; this.#typed(); }
        this.#input.focus();
      })) : h("div", { class: "meta" }, h("span", { class: "hidden" }, "Being given to the node"))));
  }

  /** @param {Message} message @param {HTMLElement} from */
  #menu(message, from) {
    document.querySelector(".menu")?.remove();
    const own = message.from === "me";
    const alive = !message.deleted && message.text !== null;
    const close = () => { from.closest("li")?.focus(); if (menu.isConnected) menu.remove(); };
    /** @param {string} label @param {() => void} act */
    const item = (label, act) => h("button", { type: "button", role: "menuitem", onclick: () => { menu.remove(); act(); } }, label);
    const menu = h("div", { class: "menu", role: "menu", "aria-label": "Actions for this message", onkeydown: (/** @type {KeyboardEvent} */ event) => {
      const items = /** @type {HTMLElement[]} */ ([...menu.querySelectorAll("button")]);
      const now = items.indexOf(/** @type {HTMLElement} */ (document.activeElement));
      const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
      if (step) { event.preventDefault(); items[(now + step + items.length) % items.length].focus(); }
      if (event.key === "Escape" || event.key === "Tab") { event.preventDefault(); event.stopPropagation(); close(); }
    }, onfocusout: (/** @type {FocusEvent} */ event) => { if (menu.isConnected && !menu.contains(/** @type {Node | null} */ (event.relatedTarget))) queueMicrotask(() => menu.remove()); } },
    alive ? h("div", { class: "row", role: "group", "aria-label": "React" }, REACTIONS.map((emoji) => {
      const mine = (message.reactions ?? []).some((one) => one.from === "me" && one.emoji === emoji);
      return h("button", { type: "button", role: "menuitem", "aria-label": mine ? `Take back ${emoji}` : `React with ${emoji}`, class: mine ? "chosen" : "", onclick: () => { menu.remove(); void this.#try(() => model.react(message, mine ? null : emoji)); } }, emoji);
    })) : null,
    alive ? item("Reply", () => this.#begin(message, null)) : null,
    alive ? item("Copy text", () => void copy(message.text ?? "")) : null,
    own && alive ? item("Edit", () => this.#begin(null, message)) : null,
    item("Details", () => this.go(`/message/${message.id}`)),
    item("Delete...", () => void this.#remove(message)));
    from.after(menu);
    if (menu.getBoundingClientRect().bottom > this.#list.element.getBoundingClientRect().bottom) menu.classList.add("up");
    /** @type {HTMLElement} */ (menu.querySelector("button")).focus();
  }

  /** @param {Message} message */
  async #remove(message) {
    const own = message.from === "me" && !message.deleted;
    const answer = await ask("Delete this message?", [h("p", null, own ? "For both: their node forgets it too, if it has not been copied. Whoever read it has read it." : "It goes from this computer alone.")],
      [["", "Keep"], ["me", "Only here"], ...(own ? /** @type {[string, string, string][]} */ ([["both", "For both", "danger"]]) : [])]);
    if (answer === "me" || answer === "both") await this.#try(() => model.remove(message, answer));
  }

  /** @param {() => Promise<void>} act */
  async #try(act) {
    try { await act(); } catch (error) { alarm(wordsOf(error)); }
  }

  /** @param {Message | null} reply @param {Message | null} edit */
  #begin(reply, edit) {
    if (edit || this.#editing) this.#input.value = edit?.text ?? "";
    [this.#reply, this.#editing] = [reply, edit];
    const about = reply ?? edit;
    this.#context.hidden = !about;
    if (about) fill(this.#context, h("span", null, h("strong", null, edit ? "Editing" : `Answer to ${about.from === "me" ? "yourself" : this.#name}`), " ", h("bdi", null, line(about.text ?? "").slice(0, 100))), button("Cancel", () => this.#begin(null, null), { class: "quiet" }));
    this.#grow();
    this.#input.focus();
  }

  #typed() {
    if (!this.#editing) sessionStorage.setItem(draftKey(this.id), this.#input.value);
    this.#grow();
  }

  #grow() {
    this.#input.style.setProperty("height", "auto");
    this.#input.style.setProperty("height", `${Math.min(this.#input.scrollHeight + 2, innerHeight / 3)}px`);
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
    const row = /** @type {HTMLElement | null} */ (/** @type {Element} */ (event.target).closest("li[data-key]"));
    if (/** @type {Element} */ (event.target).closest(".menu")) return;
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8, Home: -1e9, End: 1e9 }[event.key];
    if (step) { event.preventDefault(); this.#list.moveFocus(step); return; }
    if (!row || event.target !== row) return;
    const message = model.thread(this.id).messages.find((one) => one.id === row.dataset.key);
    if ((event.key === "Enter" || event.key === " ") && message) { event.preventDefault(); this.#menu(message, /** @type {HTMLElement} */ (row.querySelector(".more"))); }
    if (event.key === "Escape") { event.preventDefault(); this.#input.focus(); }
  }

  #submit() {
    const text = this.#input.value.trim();
    if (!text || this.#input.disabled) return;
    const bytes = new TextEncoder().encode(text).length;
    if (bytes > TEXT_BYTES_MAX) return alarm(`The text has ${bytes.toLocaleString()} bytes; ${TEXT_BYTES_MAX.toLocaleString()} fit in a message.`);
    const editing = this.#editing, reply = this.#reply?.id ?? null;
    this.#input.value = "";
    sessionStorage.removeItem(draftKey(this.id));
    this.#begin(null, null);
    if (editing) { if (text !== editing.text) void this.#try(() => model.edit(editing, text)); return; }
    void model.send(this.id, text, reply).then(() => announce("Sent"));
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
  const { name, held_by, since, reason } = message.state;
  return [message.text?.length, message.edited, message.deleted, name, held_by, since, reason, message.expires, isYoung(message), answered?.text?.length, JSON.stringify(message.reactions ?? [])].join("|");
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
  return h("a", { href: address, target: "_blank", rel: "noopener noreferrer", onclick: async (/** @type {Event} */ event) => {
    event.preventDefault();
    const answer = await ask("Leave this page?", [h("p", null, "The site learns your address: "), h("p", null, h("strong", null, host)), h("p", { class: "wrap" }, h("code", null, address))], [["", "Stay"], ["copy", "Copy the link"], ["open", "Open", "primary"]]);
    if (answer === "open") window.open(address, "_blank", "noopener,noreferrer");
    if (answer === "copy") void copy(address);
  } }, address);
}
