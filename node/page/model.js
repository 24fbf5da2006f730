/** What this tab knows: read once, then kept up by the node's events. Views listen to `changed`. */
/** @import { Attached, Contact, Conversation, Message, MessageState, NodeEvent, Pending, Request, Status, Thread } from "./types.d.ts" */

import { Gone, Refused, call, callWithSeq, get, hooks, post, session, setSession, wordsOf } from "./api.js";
import { isForward } from "./words.js";


const PAGE = 100;
const RETRY_S = [1, 2, 5, 10];
/** Answers that may be out of date before one is taken as it is. */
const FRESH_TRIES = 10;
/** The node closes the socket with it when this session was ended. */
const SESSION_ENDED = 4401;

class Model extends EventTarget {
	/** `starting`, `signed_out`, `locked`, `gone`, `open`. */
	phase = "starting";
	/** @type {Status | null} */
	status = null;
	/** @type {{name: string, no_passphrase_accepted: boolean, read_receipts: boolean}} */
	settings = { name: "", no_passphrase_accepted: false, read_receipts: false };
	/** @type {Map<string, Conversation>} */
	conversations = new Map();
	/** @type {Request[]} */
	requests = [];
	/** @type {Map<string, Thread>} */
	threads = new Map();
	/** Seconds until the next try, while the node is gone. */
	retryIn = 0;
	/** Number of the newest event that was seen. */
	#seq = 0;
	#generation = 0;
	/** @type {WebSocket | null} */
	#socket = null;
	#tries = 0;
	/** @type {number | undefined} */
	#statusTimer;
	/** @type {Map<string, number>} */
	#refresh = new Map();
	/** @type {Promise<unknown>} */
	#given = Promise.resolve();

	/** @param {string} what @param {any} [detail] */
	tell(what, detail) {
		this.dispatchEvent(new CustomEvent("changed", { detail: { what, detail } }));
	}

	/** @param {string} phase */
	#enter(phase) {
		if (this.phase === phase) return;
		this.phase = phase;
		this.tell("phase");
	}

	/** Signs in by the code in the address, if there is one, and begins. */
	async start() {
		hooks.signedOut = () => this.#signedOut();
		const code = new URLSearchParams(location.hash.slice(1)).get("k");
		if (code) {
			history.replaceState(null, "", "/");
			try {
				setSession(await post("/v1/sessions", { code }), false);
			} catch (error) {
				if (error instanceof Refused && !session()) { this.loginError = error; return this.#signedOut(); }
				if (error instanceof Gone) return this.#gone();
			}
		}
		if (!session()) return this.#signedOut();
		await this.connect();
	}

	/** @type {Refused | null} */
	loginError = null;

	#signedOut() {
		this.#generation += 1;
		this.#socket?.close();
		setSession(null, false);
		this.conversations.clear();
		this.threads.clear();
		this.#enter("signed_out");
	}

	/** Reads everything, then follows the events from there. */
	async connect() {
		const generation = ++this.#generation;
		const stale = () => generation !== this.#generation;
		this.#socket?.close();
		try {
			const { state } = await get("/v1/health");
			if (stale()) return;
			if (state === "locked") return this.#locked();
			if (state === "starting" || state === "stopping") return this.#gone();
			const [list, requests, status, settings] = await Promise.all([
				callWithSeq("GET", "/v1/conversations"), get("/v1/requests"), get("/v1/status"), get("/v1/settings")]);
			if (stale()) return;
			this.#seq = list.seq ?? 0;
			this.conversations = new Map(list.body.conversations.map((/** @type {Conversation} */ one) => [one.id, one]));
			this.requests = requests.requests;
			this.status = status;
			this.settings = settings;
			// What was read before is read anew when it is looked at; what was being sent stays.
			for (const [id, thread] of this.threads) {
				thread.loaded = false;
				if (!this.conversations.has(id)) this.threads.delete(id);
			}
			await this.#follow(generation);
			if (stale()) return;
			this.#tries = 0;
			this.#enter("open");
			this.tell("all");
			for (const [id, thread] of this.threads) for (const one of thread.pending) if (!one.failed) void this.#deliver(id, one);
		} catch (error) {
			if (!stale()) this.#failed(error);
		}
	}

	/** @param {unknown} error */
	#failed(error) {
		if (error instanceof Refused && error.code === "locked") this.#locked();
		else if (error instanceof Refused && error.status === 401) this.#signedOut();
		else this.#gone();
	}

	#locked() {
		const generation = ++this.#generation;
		this.conversations.clear();
		this.threads.clear();
		this.requests = [];
		this.#enter("locked");
		this.tell("all");
		// Another tab or the command line may open it.
		const look = async () => {
			if (generation !== this.#generation) return;
			try {
				const { state } = await get("/v1/health");
				if (generation !== this.#generation) return;
				if (state !== "locked" && state !== "starting") return void this.connect();
			} catch { return this.#gone(); }
			setTimeout(look, 1500);
		};
		setTimeout(look, 1500);
	}

	#gone() {
		const generation = ++this.#generation;
		this.#socket?.close();
		this.retryIn = RETRY_S[Math.min(this.#tries, RETRY_S.length - 1)];
		this.#tries += 1;
		this.#enter("gone");
		this.tell("retry");
		const tick = () => {
			if (generation !== this.#generation) return;
			this.retryIn -= 1;
			this.tell("retry");
			if (this.retryIn <= 0) void this.connect(); else setTimeout(tick, 1000);
		};
		setTimeout(tick, 1000);
	}

	/** @param {number} generation */
	async #follow(generation) {
		const { ticket } = await post("/v1/events/ticket");
		if (generation !== this.#generation) return;
		const socket = new WebSocket(`ws://${location.host}/v1/events/ws?ticket=${ticket}&since=${this.#seq}`);
		this.#socket = socket;
		socket.onmessage = ({ data }) => {
			for (const text of String(data).split("\n")) if (text && generation === this.#generation) this.#event(JSON.parse(text));
		};
		socket.onclose = ({ code }) => {
			if (generation !== this.#generation) return;
			if (code === SESSION_ENDED) this.#signedOut(); else void this.connect();
		};
	}

	/** @param {NodeEvent} event */
	#event({ seq, type, data }) {
		if (type === "events.gap") return void this.connect();
		this.#seq = seq;
		switch (type) {
			case "message.received": return this.#received(data);
			case "message.changed": return this.#changed(data);
			case "message.state": return this.#moved(data);
			case "message.deleted": return this.#deleted(data);
			case "conversation.read": return this.#read(data);
			case "contact.added": case "contact.ready": case "contact.changed": return this.#contact(data);
			case "contact.removed": {
				const id = data.id.replace("p_", "c_");
				this.conversations.delete(id);
				this.threads.delete(id);
				return this.tell("list");
			}
			case "contact.requested": this.requests = [...this.requests.filter((one) => one.id !== data.id), data]; return this.tell("requests");
			case "invite.created": case "invite.used": case "invite.expired": return this.tell("invites", { type, invite: data });
			case "node.state":
				if (this.status) this.status.state = data.state;
				if (data.state === "locked") return this.#locked();
				this.#askStatus();
				return this.tell("status");
			case "node.peers":
				if (this.status?.peers) Object.assign(this.status.peers, data);
				return this.tell("status");
			case "node.reach": case "node.warning": case "settings.changed": return this.#askStatus();
			default:
		}
	}

	/** Reads the status soon, once for many reasons. */
	#askStatus() {
		clearTimeout(this.#statusTimer);
		this.#statusTimer = setTimeout(() => void this.refreshStatus(), 200);
	}

	async refreshStatus() {
		try {
			[this.status, this.settings] = await Promise.all([get("/v1/status"), get("/v1/settings")]);
			this.tell("status");
		} catch { /* The socket tells when the node is gone. */ }
	}

	/** Takes up a contact that a call answered, before its event comes. @param {Contact} contact */
	learn(contact) { this.#contact(contact); }

	/** @param {Contact} contact */
	#contact(contact) {
		const known = this.conversations.get(contact.conversation);
		if (known) known.contact = contact;
		else this.conversations.set(contact.conversation, { id: contact.conversation, contact, last_message: null, unread: 0, read_up_to: null, muted: false });
		this.requests = this.requests.filter((one) => one.account !== contact.account);
		this.#askStatus();
		this.tell("list");
	}

	/** @param {Message} message */
	#received(message) {
		const conversation = this.conversations.get(message.conversation);
		if (!conversation) return;
		conversation.last_message = message;
		conversation.contact.last_activity = message.received ?? message.created;
		if (message.from !== "me") { conversation.unread += 1; conversation.contact.last_heard = message.received; }
		const thread = this.threads.get(message.conversation);
		if (thread?.loaded && !thread.messages.some((one) => one.id === message.id)) thread.messages.push(message);
		// It is placed by its writer's count, which the node knows.
		if (thread?.loaded) this.#refreshSoon(message.conversation);
		this.tell("message", message);
	}

	/** @param {Message} message */
	#changed(message) {
		const conversation = this.conversations.get(message.conversation);
		if (conversation?.last_message?.id === message.id) conversation.last_message = message;
		const thread = this.threads.get(message.conversation);
		const place = thread?.messages.findIndex((one) => one.id === message.id) ?? -1;
		if (thread && place >= 0) thread.messages[place] = message;
		this.tell("thread", message.conversation);
	}

	/** @param {{id: string, conversation: string, state: MessageState}} data */
	#moved({ id, conversation, state }) {
		const thread = this.threads.get(conversation);
		const message = thread?.messages.find((one) => one.id === id);
		const newest = this.conversations.get(conversation)?.last_message;
		for (const known of [message, newest?.id === id ? newest : undefined]) if (known && isForward(known.state, state)) known.state = state;
		// Written elsewhere: by the command line, or in another tab.
		if (!message && thread?.loaded && state.name === "queued") this.#refreshSoon(conversation);
		if (newest?.id !== id && state.name === "queued") void this.#newest(conversation);
		this.tell("state", { id, conversation, state });
	}

	/** @param {string} conversation */
	async #newest(conversation) {
		try {
			const { messages } = await this.#fresh(`/v1/conversations/${conversation}/messages?limit=1`);
			const known = this.conversations.get(conversation);
			const last = messages.at(-1);
			if (known && last) {
				known.last_message = last;
				known.contact.last_activity = last.received ?? last.created;
				if (last.from === "me") known.unread = 0;
				this.tell("list");
			}
		} catch { /* The next one comes. */ }
	}

	/** @param {{id: string, conversation: string}} data */
	#deleted({ id, conversation }) {
		const thread = this.threads.get(conversation);
		if (thread) thread.messages = thread.messages.filter((one) => one.id !== id);
		const known = this.conversations.get(conversation);
		if (known?.last_message?.id === id) { known.last_message = null; void this.#newest(conversation); }
		this.tell("thread", conversation);
	}

	/** @param {{id: string, read_up_to: string | null, muted: boolean}} marks */
	#read(marks) {
		const conversation = this.conversations.get(marks.id);
		if (!conversation) return;
		Object.assign(conversation, { read_up_to: marks.read_up_to, muted: marks.muted });
		if (conversation.last_message && marks.read_up_to === conversation.last_message.id) conversation.unread = 0;
		this.tell("list");
	}

	/** @param {string} id */
	#refreshSoon(id) {
		clearTimeout(this.#refresh.get(id));
		this.#refresh.set(id, setTimeout(() => void this.load(id), 150));
	}

	/** @param {string} id @returns {Thread} */
	thread(id) {
		let thread = this.threads.get(id);
		if (!thread) this.threads.set(id, thread = { messages: [], before: null, loaded: false, pending: [], file: null });
		return thread;
	}

	/**
	 * An answer that is not older than the events that were seen: one that was on its way while something changed would
	 * undo that here.
	 * @param {string} path
	 */
	async #fresh(path) {
		for (let tries = 0; ; tries += 1) {
			const { body, seq } = await callWithSeq("GET", path);
			if ((seq ?? 0) >= this.#seq || tries >= FRESH_TRIES) return body;
		}
	}

	/** The newest messages of a conversation, and what is known before them. @param {string} id */
	async load(id) {
		const { messages, before } = await this.#fresh(`/v1/conversations/${id}/messages?limit=${PAGE}`);
		const thread = this.thread(id);
		const first = messages[0];
		const place = first ? thread.messages.findIndex((one) => one.id === first.id) : -1;
		if (thread.loaded && place > 0) {
			thread.messages = [...thread.messages.slice(0, place), ...messages];
		} else {
			thread.messages = messages;
			thread.before = before;
		}
		thread.loaded = true;
		this.#accepted(thread);
		this.tell("thread", id);
	}

	/** @param {string} id */
	async loadOlder(id) {
		const thread = this.thread(id);
		if (!thread.before) return;
		const asked = thread.before;
		thread.before = null;
		try {
			const { messages, before } = await this.#fresh(`/v1/conversations/${id}/messages?limit=500&before=${asked}`);
			const known = new Set(thread.messages.map((one) => one.id));
			thread.messages = [...messages.filter((/** @type {Message} */ one) => !known.has(one.id)), ...thread.messages];
			thread.before = before;
		} catch (error) {
			thread.before = asked;
			throw error;
		}
		this.tell("thread", id);
	}

	/** Reads back until a message is there. @param {string} id @param {string} message */
	async loadUntil(id, message) {
		const thread = this.thread(id);
		if (!thread.loaded) await this.load(id);
		while (thread.before && !thread.messages.some((one) => one.id === message)) await this.loadOlder(id);
		return thread.messages.some((one) => one.id === message);
	}

	/** @param {Thread} thread */
	#accepted(thread) {
		const accepted = new Set(thread.messages.map((one) => one.client_id));
		thread.pending = thread.pending.filter((one) => !accepted.has(one.client_id));
	}

	/** @param {string} id @param {string} text @param {string | null} replyTo @param {Attached | null} file */
	send(id, text, replyTo, file) {
		const pending = { client_id: crypto.randomUUID(), text, reply_to: replyTo, file, failed: null, at: new Date().toISOString() };
		this.thread(id).pending.push(pending);
		this.tell("thread", id);
		return this.#deliver(id, pending);
	}

	/** @param {string} id @param {Pending} pending */
	retry(id, pending) {
		pending.failed = null;
		this.tell("thread", id);
		return this.#deliver(id, pending);
	}

	/** @param {string} id @param {Pending} pending */
	drop(id, pending) {
		const thread = this.thread(id);
		thread.pending = thread.pending.filter((one) => one !== pending);
		this.tell("thread", id);
	}

	/** One after the other, in the order in which they were written; whether the node has it. @param {string} id @param {Pending} pending */
	#deliver(id, pending) { return this.#given = this.#given.then(() => this.#give(id, pending)); }

	/** Safe to repeat: the node knows the `client_id`. @param {string} id @param {Pending} pending */
	async #give(id, pending) {
		if (this.phase !== "open" || !this.thread(id).pending.includes(pending)) return;
		try {
			const { client_id, text, reply_to, file } = pending;
			const attachments = file ? [{ blob: (await call("POST", "/v1/blobs", file.blob)).id, name: file.name, ...(file.voice ? { voice: file.voice } : {}) }] : [];
			const message = await post(`/v1/conversations/${id}/messages`, { client_id, text, reply_to, attachments });
			const thread = this.thread(id);
			if (!thread.messages.some((one) => one.id === message.id)) thread.messages.push(message);
			this.#accepted(thread);
			const conversation = this.conversations.get(id);
			if (conversation) {
				Object.assign(conversation, { last_message: message, unread: 0 });
				conversation.contact.last_activity = message.created;
			}
			this.tell("thread", id);
			return true;
		} catch (error) {
			// With the node gone it waits in this tab, and goes when the node is back.
			if (error instanceof Gone) return this.#failed(error);
			pending.failed = wordsOf(error);
			this.tell("thread", id);
		}
	}

	/** @param {string} id */
	markRead(id) {
		const conversation = this.conversations.get(id);
		if (!conversation || conversation.unread === 0) return;
		// The one that came last, wherever it was placed: ids count up.
		const upTo = this.threads.get(id)?.messages.filter((one) => one.from !== "me").map((one) => one.id).sort((a, b) => a.length - b.length || (a < b ? -1 : 1)).at(-1);
		if (!upTo) return;
		conversation.unread = 0;
		this.tell("list");
		void call("PUT", `/v1/conversations/${id}/read`, { up_to: upTo }).catch(() => {});
	}

	/** @param {string} id @param {{muted: boolean}} change */
	async changeConversation(id, change) {
		this.#read(await call("PATCH", `/v1/conversations/${id}`, change));
	}

	/** @param {Contact} contact @param {Record<string, any>} change */
	async changeContact(contact, change) {
		const answer = await call("PATCH", `/v1/contacts/${contact.id}`, change);
		this.#contact(answer.contact);
	}

	/** @param {Message} message @param {string | null} emoji */
	async react(message, emoji) { await this.#own(message, "PUT", "/reaction", { emoji }); }

	/** @param {Message} message @param {string} text */
	async edit(message, text) { await this.#own(message, "PATCH", "", { text }); }

	/** A change of one's own; if something else came before its answer, that is newer. @param {Message} message @param {string} method @param {string} what @param {object} body */
	async #own(message, method, what, body) {
		const seq = this.#seq, path = `/v1/messages/${message.id}`, answer = await call(method, path + what, body);
		this.#changed(seq === this.#seq ? answer : await this.#fresh(path));
	}

	/** @param {Message} message @param {"me" | "both"} whom */
	async remove(message, whom) {
		await call("DELETE", `/v1/messages/${message.id}?for=${whom}`);
		if (whom === "me") this.#deleted(message); else await this.load(message.conversation);
	}

	/** Conversations, last activity first. */
	sorted() {
		return [...this.conversations.values()].sort((a, b) => b.contact.last_activity.localeCompare(a.contact.last_activity) || a.id.localeCompare(b.id));
	}

	unread() {
		return this.sorted().reduce((sum, one) => sum + (one.muted ? 0 : one.unread), 0);
	}
}

export const model = new Model();
