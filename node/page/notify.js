/** Notifications: asked for at the first message in the background, never at load. What they show is chosen here. */

import { model } from "./model.js";
import { line, said } from "./words.js";

const KEY = "starling-notifications";

/** `name`, `text`, `nothing` or `off`. */
export const chosen = () => localStorage.getItem(KEY) ?? "name";
/** @param {string} choice */
export const choose = (choice) => localStorage.setItem(KEY, choice);

/** `(3) Starling` */
export function title() {
	const unread = model.phase === "open" ? model.unread() : 0;
	document.title = unread > 0 ? `(${unread}) Starling` : "Starling";
}

/** @param {import("./types").Message} message @param {boolean} seen @param {(route: string) => void} go */
export function notifyOf(message, seen, go) {
	const conversation = model.conversations.get(message.conversation);
	if (seen || !conversation || conversation.muted || message.from === "me" || chosen() === "off" || !("Notification" in window)) return;
	if (!document.hidden && document.hasFocus()) return;
	if (Notification.permission === "default") { void Notification.requestPermission(); return; }
	if (Notification.permission !== "granted") return;
	const name = line(conversation.contact.name);
	const [head, body] = chosen() === "text" ? [name, said(message).slice(0, 200)] : chosen() === "name" ? [`${name}: new message`, ""] : ["New message", ""];
	const note = new Notification(head, { body, tag: message.conversation, icon: "/page/icon.svg" });
	note.onclick = () => { window.focus(); go(`/c/${message.conversation}`); note.close(); };
}
