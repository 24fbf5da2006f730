/** Building the page's elements. Text goes in as text and never as HTML. */

import { wordsOf } from "./api.js";

/** @typedef {Node | string | number | null | undefined | false} Child */

/** @param {unknown} value */
const isNothing = (value) => value === null || value === undefined || value === false;
/** @param {(Child | Child[])[]} children @returns {any[]} */
const kids = (children) => children.flat().filter((child) => !isNothing(child));

/**
 * An element (`p`, or `p.hint` with its classes) with properties, attributes (`aria-`, `data-`, `role`...) and listeners
 * (`onclick`...), if it has any, and what is in it. A form is never sent by the browser.
 * @template {string} T
 * @param {T} tag
 * @param {import("./types").Props | Child | Child[]} [props]
 * @param {...(Child | Child[])} children
 * @returns {import("./types").Made<T>}
 */
export function h(tag, props, ...children) {
	const [name, ...classes] = tag.split(".");
	const element = document.createElement(name);
	element.classList.add(...classes);
	const isChild = props?.constructor !== Object;
	for (const [name, value] of isChild ? [] : Object.entries(props)) {
		if (isNothing(value)) continue;
		if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
		else if (name === "class") element.className = value;
		else if (name in element && !name.includes("-") && name !== "list" && name !== "form") /** @type {any} */ (element)[name] = value;
		else element.setAttribute(name, value === true ? "" : String(value));
	}
	if (name === "form") element.addEventListener("submit", (event) => event.preventDefault());
	element.append(...kids(isChild ? [/** @type {Child} */ (props), ...children] : children));
	return /** @type {any} */ (element);
}

/** @param {Element} element @param {...(Child | Child[])} children */
export const fill = (element, ...children) => element.replaceChildren(...kids(children));

/** The first element in `root` that fits. @param {ParentNode} root @param {string} selector @returns {HTMLElement | null} */
export const find = (root, selector) => root.querySelector(selector);

/** Fills anew what has links; the one that has the focus keeps it. @param {HTMLElement} element @param {...(Child | Child[])} children */
export function refill(element, ...children) {
	const focused = element.contains(document.activeElement) && document.activeElement?.getAttribute("href");
	fill(element, ...children);
	if (focused) find(element, `a[href="${focused}"]`)?.focus();
}

/** Does what the node may refuse, and says so, in `note` if there is one; whether it was done. @param {() => any} act @param {HTMLElement} [note] */
export async function attempt(act, note) {
	note?.replaceChildren();
	try { await act(); return true; } catch (error) {
		if (note) note.textContent = wordsOf(error); else alarm(wordsOf(error));
		return false;
	}
}

export const back = () => h("a.button.back", { href: "#/", "aria-label": "Back to the conversations" }, icon("back"));

/** @param {Record<string, any>} [props] */
export const nameBox = (props) => h("input", { type: "text", maxLength: 64, autocomplete: "off", dir: "auto", ...props });

/** @param {"new" | "current"} kind */
export const secret = (kind) => h("input", { type: "password", autocomplete: `${kind}-password`, required: true, maxLength: 1024, minLength: kind === "new" ? 8 : 0 });

const SHAPES = {
	clock: "M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM8 4v4l3 2",
	arrow: "M2 8h11M9 4l4 4-4 4",
	dots: "M4 12h.01M8 12h.01M12 12h.01M6 8h.01M10 8h.01M8 4h.01",
	cross: "M3 3l10 10M13 3 3 13",
	tick: "M2.5 8.5 6.5 12.5 13.5 4",
	read: "M.8.8h14.4v14.4H.8zM3 8.3l2 2.5L8.5 5M7.8 10.3l.4.5L13 5",
	triangle: "M8 2 15 14H1zM8 6.5v3.5M8 12h.01",
	back: "M10 2 4 8l6 6",
	plus: "M8 2v12M2 8h12",
	search: "M7 2a5 5 0 1 0 0 10A5 5 0 0 0 7 2zM11 11l3.5 3.5",
	gear: "M8 5.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5zM8 1v2M8 13v2M1 8h2M13 8h2M3 3l1.5 1.5M11.5 11.5 13 13M13 3l-1.5 1.5M4.5 11.5 3 13",
	people: "M6 3a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5zM1.5 14c0-3 2-4.5 4.5-4.5s4.5 1.5 4.5 4.5M11 4a2 2 0 1 1 0 4M12.5 9.700c1.5.6 2.2 2 2.2 4",
	flock: "M1 6c2-2 3-1 4 1 1-2 3-3 4-1M7 11c2-2 3-1 4 1 1-2 3-3 4-1",
	lock: "M3.5 7h9v7h-9zM5.5 7V4.5a2.5 2.5 0 0 1 5 0V7",
	check: "M8 1l2 2 3-.2.2 3L15 8l-1.8 2 .1 3-3-.2L8 15l-2-2-3 .2-.2-3L1 8l1.8-2-.1-3 3 .2zM5 8l2 2 4-4",
	mute: "M2 6v4h2.5L8 13V3L4.5 6zM11 6l4 4M15 6l-4 4",
	send: "M2 8 14 2l-3 12-3.5-4.5z",
	clip: "M13 7 8 12a3 3 0 0 1-4.5-4.5L9 2a2 2 0 0 1 3 3L6.5 10.5a1 1 0 0 1-1.5-1.5L9.5 4.5",
	mic: "M8 1.5a2 2 0 0 0-2 2v4a2 2 0 0 0 4 0v-4a2 2 0 0 0-2-2zM3.5 7.5a4.5 4.5 0 0 0 9 0M8 12v2.5",
	play: "M4 2.5 13 8l-9 5.5z",
	pause: "M5 3v10M11 3v10",
};

/** @param {string} tag @param {Record<string, string | number>} attributes @param {...(Node | string)} children */
export function svg(tag, attributes, ...children) {
	const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
	for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
	element.append(...children);
	return element;
}

/**
 * A shape of one colour. It says nothing to screen readers: words stand beside it.
 * @param {keyof typeof SHAPES} name
 */
export function icon(name) {
	return svg("svg", { viewBox: "0 0 16 16", "aria-hidden": "true", class: ["tick", "cross", "dots"].includes(name) ? "icon bold" : "icon" }, svg("path", { d: SHAPES[name] }));
}

/** Says something once to who listens, and shows nothing. @param {string} text */
export function announce(text) {
	const region = /** @type {HTMLElement} */ (document.getElementById("polite"));
	region.textContent = "";
	setTimeout(() => { region.textContent = text; }, 30);
}

/** Shows trouble until something else is shown, and says it. @param {string} text */
export function alarm(text) {
	const region = /** @type {HTMLElement} */ (document.getElementById("alert"));
	if (!text) { region.replaceChildren(); return; }
	fill(region, h("span", text), h("button.quiet", { type: "button", "aria-label": "Close this note", onclick: () => alarm("") }, "Close"));
}

/** A button, with its class or its properties. @param {Child | Child[]} label @param {(event: Event) => void} act @param {Record<string, any> | string} [props] */
export const button = (label, act, props) => h("button", { type: "button", ...(typeof props === "string" ? { class: props } : props), onclick: act }, label);

/** Has files chosen, when it is clicked. @param {(files: File[]) => any} act @param {string} [accept] */
export function chooser(act, accept = "") {
	const input = h("input.hidden", { type: "file", accept, tabindex: "-1", "aria-hidden": "true", onchange: () => {
		const files = [...input.files ?? []];
		input.value = "";
		act(files);
	} });
	return input;
}

/**
 * A labelled field.
 * @param {string} label @param {HTMLElement} control @param {string} [hint]
 */
export function field(label, control, hint) {
	if (!control.id) control.id = `f${Math.random().toString(36).slice(2, 9)}`;
	const note = hint ? h("span.hint", { id: `${control.id}-h` }, hint) : null;
	if (note) control.setAttribute("aria-describedby", note.id);
	return h("div.field", h("label", { for: control.id }, label), control, note);
}

/**
 * Asks a person a question, modally; the value of the button that was chosen, or "" when it was closed.
 * @param {string | Node} title @param {(Child | Child[])[]} body @param {[string, string, string?][]} choices value, label, class
 * @returns {Promise<string>}
 */
export function ask(title, body, choices) {
	const id = `d${Math.random().toString(36).slice(2, 9)}`;
	const before = /** @type {HTMLElement | null} */ (document.activeElement);
	const dialog = h("dialog", { "aria-labelledby": id },
		h("h2", { id }, title), ...body,
		h("div.row.end", choices.map(([value, label, kind]) => button(label, () => dialog.close(value), kind))));
	document.body.append(dialog);
	dialog.showModal();
	return new Promise((resolve) => { dialog.onclose = () => { dialog.remove(); before?.focus(); resolve(dialog.returnValue); }; });
}

/** Puts text on the clipboard and says so. @param {string} text */
export async function copy(text) {
	try {
		await navigator.clipboard.writeText(text);
		announce("Copied");
	} catch { alarm("The browser does not let this page use the clipboard. Mark the text and copy it yourself."); }
}
