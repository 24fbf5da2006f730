// @ts-check
/** Building the page's elements. Text goes in as text and never as HTML. */

/** @typedef {Node | string | number | null | undefined | false} Child */

/**
 * An element with properties, attributes (`aria-`, `data-`, `role`...) and listeners (`onclick`...).
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, any> | null} [props]
 * @param {...(Child | Child[])} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name in element && !name.includes("-") && name !== "list" && name !== "form") /** @type {any} */ (element)[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, children);
  return element;
}

/** @param {Element} element @param {(Child | Child[])[]} children */
export function append(element, children) {
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
}

/** @param {Element} element @param {...(Child | Child[])} children */
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
}

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
  more: "M3 8h.01M8 8h.01M13 8h.01",
  lock: "M3.5 7h9v7h-9zM5.5 7V4.5a2.5 2.5 0 0 1 5 0V7",
  check: "M8 1l2 2 3-.2.2 3L15 8l-1.8 2 .1 3-3-.2L8 15l-2-2-3 .2-.2-3L1 8l1.8-2-.1-3 3 .2zM5 8l2 2 4-4",
  mute: "M2 6v4h2.5L8 13V3L4.5 6zM11 6l4 4M15 6l-4 4",
  send: "M2 8 14 2l-3 12-3.5-4.5z",
};

/**
 * A shape of one colour. It says nothing to screen readers: words stand beside it.
 * @param {keyof typeof SHAPES} name
 */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("icon");
  if (name === "tick" || name === "cross" || name === "dots") svg.classList.add("bold");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", SHAPES[name]);
  svg.append(path);
  return svg;
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
  fill(region, h("span", null, text), h("button", { type: "button", class: "quiet", "aria-label": "Close this note", onclick: () => alarm("") }, "Close"));
}

/**
 * A button.
 * @param {string} label @param {(event: Event) => void} act @param {Record<string, any>} [props]
 */
export function button(label, act, props = {}) {
  return h("button", { type: "button", ...props, onclick: act }, label);
}

/**
 * A labelled field.
 * @param {string} label @param {HTMLElement} control @param {string} [hint]
 */
export function field(label, control, hint) {
  if (!control.id) control.id = `f${Math.random().toString(36).slice(2, 9)}`;
  const note = hint ? h("span", { class: "hint", id: `${control.id}-h` }, hint) : null;
  if (note) control.setAttribute("aria-describedby", note.id);
  return h("div", { class: "field" }, h("label", { for: control.id }, label), control, note);
}

/**
 * Asks a person a question, modally; the value of the button that was chosen, or "" when it was closed.
 * @param {string} title @param {(Child | Child[])[]} body @param {[string, string, string?][]} choices value, label, class
 * @returns {Promise<string>}
 */
export function ask(title, body, choices) {
  const id = `d${Math.random().toString(36).slice(2, 9)}`;
  const before = /** @type {HTMLElement | null} */ (document.activeElement);
  const dialog = h("dialog", { "aria-labelledby": id },
    h("h2", { id }, title), ...body,
    h("div", { class: "row end" }, choices.map(([value, label, kind]) => button(label, () => dialog.close(value), { class: kind ?? "" }))));
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => { dialog.remove(); before?.focus(); resolve(dialog.returnValue); }, { once: true });
  });
}

/** Puts text on the clipboard and says so. @param {string} text */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    announce("Copied");
    return true;
  } catch {
    alarm("The browser does not let this page use the clipboard. Mark the text and copy it yourself.");
    return false;
  }
}
