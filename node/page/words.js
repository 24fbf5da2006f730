/** All that is said of messages, times and states, in one place. */

/** @typedef {import("./types").Message} Message */
/** @typedef {import("./types").MessageState} MessageState */

const DAY_MS = 86_400_000;
/** What goes through the network. */
export const FILE_BYTES_MAX = 64_000;
const time = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const dayAndMonth = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const withYear = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: "long" });

/** `14:02` @param {string} at */
export const clock = (at) => time.format(new Date(at));

/** `7 Dec`, with the year when it is another one. @param {string | Date} at */
export function date(at) {
	const when = new Date(at);
	return (when.getFullYear() === new Date().getFullYear() ? dayAndMonth : withYear).format(when);
}

/** Today, yesterday, a weekday, or a date. @param {string} at */
export function day(at) {
	const then = new Date(at), now = new Date();
	const days = Math.round((new Date(now.toDateString()).getTime() - new Date(then.toDateString()).getTime()) / DAY_MS);
	if (days === 0) return "Today";
	if (days === 1) return "Yesterday";
	return days > 1 && days < 7 ? weekday.format(then) : date(at);
}

/** Short, for a list: the time today, else the day. @param {string} at */
export const when = (at) => (day(at) === "Today" ? clock(at) : day(at));

/** `3 days ago` @param {string | null} at */
export function ago(at) {
	if (!at) return "never";
	const minutes = Math.floor((Date.now() - new Date(at).getTime()) / 60_000);
	if (minutes < 1) return "just now";
	if (minutes < 60) return count(minutes, "minute") + " ago";
	if (minutes < 1440) return count(Math.floor(minutes / 60), "hour") + " ago";
	return count(Math.floor(minutes / 1440), "day") + " ago";
}

/** `1 peer`, `2 peers` @param {number} number @param {string} noun */
export const count = (number, noun) => `${number.toLocaleString()} ${noun}${number === 1 ? "" : "s"}`;

/** `4.1 MB` @param {number} bytes */
export function size(bytes) {
	const units = ["bytes", "KB", "MB", "GB", "TB"];
	let unit = 0;
	while (bytes >= 1000 && unit < units.length - 1) { bytes /= 1000; unit += 1; }
	return `${unit === 0 || bytes >= 100 ? Math.round(bytes) : bytes.toFixed(1)} ${units[unit]}`;
}

/** `0:12` @param {number} seconds */
export const minutes = (seconds) => `${Math.floor(Math.round(seconds) / 60)}:${String(Math.round(seconds) % 60).padStart(2, "0")}`;

/** As the node says it. @param {number} bytes */
export const tooLarge = (bytes) => `The file has ${bytes.toLocaleString()} bytes; at most ${FILE_BYTES_MAX.toLocaleString()} bytes go through the network, as every node of a shard carries them. Make it smaller, or send it another way.`;

/** `1 day` @param {number} seconds */
export function span(seconds) {
	for (const [length, noun] of /** @type {[number, string][]} */ ([[604800, "week"], [86400, "day"], [3600, "hour"], [60, "minute"]])) {
		if (seconds >= length && seconds % length === 0) return count(seconds / length, noun);
	}
	return count(seconds, "second");
}

/** @param {string | null} reason @param {string} name @returns {string} */
const waits = (reason, name) => ({
	no_peers: "no peers yet",
	waiting_for_keys: `for ${name}'s keys`,
	stamping: "its stamp is being made",
	pushing: "neighbours are asked to take it",
	clock: "the clock is wrong",
	devices_forked: `${name}'s keys may be copied; decide first`,
	unanswered: `too many wait for ${name}'s answer`,
}[reason ?? ""] ?? "");

/** The sentence of a state. @param {MessageState} state @param {string} name the contact's */
export function sentence(state, name) {
	const { parts } = state;
	switch (state.name) {
		case "queued": {
			const why = parts && ["stamping", null].includes(state.reason) ? `${parts.stamped} of ${parts.of} stamps made` : waits(state.reason, name);
			return why ? `Waiting on this computer: ${why}` : "Waiting on this computer";
		}
		case "sent": return parts ? `Left this computer: ${parts.held} of ${parts.of} parts held` : "Left this computer";
		case "held": return `Held by ${count(state.held_by, "node")}${parts?.delivered ? `; ${parts.delivered} of ${parts.of} parts arrived` : ""}`;
		case "delivered": return `Delivered ${clock(state.since)}, ${name}'s device confirmed it`;
		case "read": return `Read ${clock(state.since)}`;
		default: return "Not delivered in four weeks; no node keeps it any more.";
	}
}

/** More about a state, for its details. @param {MessageState} state */
export function explanation(state) {
	if (state.name !== "held") return "";
	const until = state.until ? `, until ${date(state.until)}` : "";
	return `${state.held_by} of your ${count(state.neighbours, "neighbour")} told us they keep the sealed message${until}. They cannot read it or see who it is for.`;
}

/** @type {Record<string, "clock" | "arrow" | "dots" | "tick" | "read" | "triangle">} */
export const SHAPE = { queued: "clock", sent: "arrow", held: "dots", delivered: "tick", read: "read", expired: "triangle" };

/** The order of states: none goes back, but that a late receipt turns "expired" into "delivered". */
const ORDER = ["queued", "sent", "held", "expired", "delivered", "read"];

/** Whether `next` may be shown after `now`. @param {MessageState} now @param {MessageState} next */
export const isForward = (now, next) => ORDER.indexOf(next.name) >= ORDER.indexOf(now.name);

/** One step of a message's life. @param {import("./types").TraceLine} line @param {string} name */
export function step(line, name) {
	switch (line.step) {
		case "queued": return "written to disk";
		case "waiting": return `waits: ${waits(line.reason, name) || "a moment"}`;
		case "sealed": return `sealed into ${size(line.bytes ?? 0)}`;
		case "stamped": return `its stamp took ${((line.took_ms ?? 0) / 1000).toFixed(2)} s`;
		case "pushed": return "given to a neighbour";
		case "taken": return "the neighbour took it";
		case "not_taken": return "the neighbour did not take it";
		case "came_back": return "came back from the network";
		case "held": return `held by ${line.held_by ?? 0} of ${count(line.neighbours ?? 0, "neighbour")}`;
		case "pushed_again": return "sent again, the same bytes";
		case "sealed_again": return "sealed anew";
		case "delivered": return `delivered: ${name}'s device confirmed it`;
		case "read": return `read by ${name}`;
		case "expired": return "no node keeps it any more";
		case "next_try": return line.next_try ? `next try at ${clock(line.next_try)}, ${day(line.next_try)}` : "next try later";
		default: return line.step;
	}
}

/** @param {import("./types").Contact} contact @param {number} asked nodes that are connected */
export function contactState(contact, asked) {
	const name = line(contact.name);
	switch (contact.state) {
		case "invited": return "invited, has not answered";
		case "waiting_for_keys": {
			const late = Date.now() - new Date(contact.added).getTime() > DAY_MS;
			return `waiting for ${name}'s keys: ${asked ? `asked ${count(asked, "node")}. ${name}'s node must come online once${late ? `, or ask ${name} for a new invite` : ""}` : "no peers yet"}`;
		}
		case "forked": return "two device lists carry their signature: decide before anything is sent";
		case "blocked": return "blocked";
		default: return "";
	}
}

/** @param {string} name */
export const forked = (name) => `Two device lists carry ${name}'s signature: their keys may be copied. Nothing is sent until you decide.`;

/** @param {import("./types").Status | null} status */
export function nodeState(status) {
	return status && { online: `Online, ${count(status.peers?.connected ?? 0, "peer")}`, joining: "Looking for peers", alone: "Alone: no peer found yet", locked: "Locked", starting: "Starting", stopping: "Stopping" }[status.state];
}

/** @param {string} reach */
export function reach(reach) {
	switch (reach) {
		case "direct": return "Others can reach this node directly.";
		case "punchable": return "Others can reach this node through a hole in its NAT.";
		case "relayed": return "Others reach this node through another one.";
		case "outgoing_only": return "Nobody outside your network can reach this node yet: it works on this Wi-Fi only.";
		default: return "It is not known yet whether anybody outside your network can reach this node: be sure of this Wi-Fi only.";
	}
}

// Controls but line breaks and tabs; marks that turn the direction of what follows.
const HARMFUL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069\ufeff]/gu;
const PILED = /(\p{M}{8})\p{M}+/gu;

/** Somebody's text or name, so that it stays in its place. @param {string} text */
export const tame = (text) => text.replace(HARMFUL, "").replace(PILED, "$1");

/** The same in one line. @param {string} text */
export const line = (text) => tame(text).replace(/\s+/gu, " ");

/** What a file is. @param {{kind: string, name: string, voice: import("./types").Voice | null}} file */
export const fileWords = ({ kind, name, voice }) => kind === "picture" ? "Picture" : voice ? `Voice note ${minutes(voice.duration_ms / 1000)}` : `File ${line(name)}`;

/** What a message says, in one line. @param {Message} message */
export function said(message) {
	if (message.deleted) return "Message deleted";
	if (message.text === null) return "Needs a newer Starling";
	return [...message.attachments.map(fileWords), line(message.text)].filter(Boolean).join(": ");
}

/** The same in a list. @param {Message} message */
export const preview = (message) => (message.from === "me" && !message.deleted && message.text !== null ? "You: " : "") + said(message).slice(0, 120);
