// @ts-check
/** Inviting, adding, requests, a contact, and comparing numbers. */

import { Refused, call, get, post, wordsOf } from "./api.js";
import { alarm, announce, ask, button, copy, field, fill, h, icon } from "./dom.js";
import { avatar } from "./list.js";
import { model } from "./model.js";
import { ago, clock, contactState, date, line, reach, span } from "./words.js";

/** @typedef {import("./types").Contact} Contact */
/** @typedef {(route: string) => void} Go */

/** @param {string} text */
export const heading = (text) => h("header", { class: "viewhead" }, h("a", { class: "button back", href: "#/", "aria-label": "Back to the conversations" }, icon("back")), h("h1", null, text));

/** A picture that the node drew. @param {string} svg @param {string} alt */
function picture(svg, alt) {
  const url = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
  return h("img", { class: "qr", src: url, alt, onload: () => URL.revokeObjectURL(url) });
}

export function inviteView() {
  const name = h("input", { type: "text", maxLength: 64, autocomplete: "off", dir: "auto" });
  const expires = h("select", null, [["3600", "1 hour"], ["86400", "1 day"], ["604800", "7 days"], ["2592000", "30 days"]].map(([value, label]) => h("option", { value, selected: value === "604800" }, label)));
  const made = h("div", { "aria-live": "polite" });
  const list = h("div");
  const view = h("section", { class: "view" }, heading("Invite a friend"),
    h("form", { class: "inline", onsubmit: async (/** @type {Event} */ event) => {
      event.preventDefault();
      try {
        show(await post("/v1/invites", { for: name.value.trim() || null, expires_s: Number(expires.value) }));
        name.value = "";
        void draw();
      } catch (error) { alarm(wordsOf(error)); }
    } }, field("For whom?", name, "Only you see this name: whoever uses the invite appears under it."), field("Valid for", expires), h("button", { class: "primary" }, "Make an invite")),
    made, h("h2", null, "Invites you made"), list);
  /** @param {import("./types").Invite} invite */
  const show = (invite) => fill(made, h("div", { class: "panel" },
    h("h2", null, invite.for ? `For ${line(invite.for)}` : "For one person"),
    invite.qr_svg ? picture(invite.qr_svg, "QR code of the invite") : null,
    h("textarea", { class: "link", readOnly: true, rows: 4, value: invite.link, "aria-label": "The invite", onfocus: (/** @type {Event} */ event) => /** @type {HTMLTextAreaElement} */ (event.target).select() }),
    h("div", { class: "row" }, button("Copy the invite", () => void copy(invite.link), { class: "primary" })),
    h("p", null, `For one person. Valid until ${date(invite.expires)}, ${clock(invite.expires)}. Send it by a way you trust: whoever uses it first becomes '${line(invite.for ?? "your contact")}'.`),
    h("p", { class: "hint" }, reach(invite.reach), invite.reach === "direct" ? null : [" See: ", h("a", { href: "#/flock" }, "starling doctor"), "."], invite.names_own_address ? " The invite names this node's address." : "")));
  const draw = async () => {
    try {
      const { invites } = await get("/v1/invites");
      const words = { open: "not used yet", used: "used", revoked: "withdrawn", expired: "over" };
      fill(list, invites.length === 0 ? h("p", { class: "hint" }, "None yet.") : h("ul", { class: "plain" }, invites.slice().reverse().map((/** @type {import("./types").Invite} */ one) => h("li", null,
        h("span", { dir: "auto" }, one.for ? line(one.for) : "For one person"), " ", h("span", { class: "hint" }, `${words[/** @type {keyof typeof words} */ (one.state)] ?? one.state}, until ${date(one.expires)}`),
        one.state === "open" ? [button("Show", async () => { try { show(await get(`/v1/invites/${one.id}`)); made.scrollIntoView({ block: "nearest" }); } catch (error) { alarm(wordsOf(error)); } }, { class: "quiet" }), button("Withdraw", async () => { try { await call("DELETE", `/v1/invites/${one.id}`); void draw(); } catch (error) { alarm(wordsOf(error)); } }, { class: "quiet" })] : null))));
    } catch (error) { fill(list, h("p", { class: "error" }, wordsOf(error))); }
  };
  document.getElementById("pane")?.addEventListener("invites", () => { if (view.isConnected) void draw(); });
  void draw();
  return view;
}

/** @param {Go} go */
export function addView(go) {
  const text = h("textarea", { rows: 4, class: "link", required: true, placeholder: "starling:...", spellcheck: false, autocapitalize: "off" });
  const note = h("p", { role: "alert", class: "error" });
  const preview = h("div", { "aria-live": "polite" });
  const look = async () => {
    note.textContent = "";
    fill(preview);
    try { show(await post("/v1/invites/inspect", { link: text.value })); } catch (error) { note.textContent = wordsOf(error); }
  };
  /** @param {import("./types").Preview} found */
  const show = (found) => {
    const name = h("input", { type: "text", maxLength: 64, value: found.name, dir: "auto", autocomplete: "off" });
    const problem = found.problem ? wordsOf(new Refused(0, found.problem)) : "";
    fill(preview, h("div", { class: "panel" }, h("h2", null, found.name ? `From ${line(found.name)}` : "From somebody without a name"),
      h("dl", null, h("dt", null, "Network"), h("dd", null, found.network ?? "another one"), h("dt", null, "Good for"), h("dd", null, found.one_use ? "one person" : "anybody who has it; you arrive as a request"),
        h("dt", null, "Valid until"), h("dd", null, found.expires ? `${date(found.expires)}, ${clock(found.expires)}` : "it does not expire"), h("dt", null, "Nodes in it"), h("dd", null, found.peers)),
      problem ? h("p", { class: "error" }, problem) : [field("Call them", name), button("Add", () => void add(name.value.trim(), null), { class: "primary" })],
      found.contact ? button("Open the conversation", () => go(`/c/${found.contact?.conversation}`)) : null));
    /** @type {HTMLElement | null} */ (preview.querySelector("input,button"))?.focus();
  };
  /** @param {string} name @param {string | null} replace */
  const add = async (name, replace) => {
    note.textContent = "";
    try {
      const { contact } = await post("/v1/contacts", { link: text.value, name: name || null, replace });
      model.learn(contact);
      announce(`Added ${contact.name}`);
      go(`/c/${contact.conversation}`);
    } catch (error) {
      const known = model.sorted().find((one) => one.contact.name.toLowerCase() === name.toLowerCase());
      if (/** @type {any} */ (error).code === "name_taken" && known) {
        const answer = await ask(wordsOf(error), [h("p", null, "With a new account of the same person the history stays and the verified mark goes.")], [["", "Choose another name"], ["same", `${line(name)} with a new account`]]);
        if (answer === "same") return add(name, known.contact.id);
        return;
      }
      note.textContent = wordsOf(error);
    }
  };
  /** @param {Blob} file */
  const scan = async (file) => {
    note.textContent = "";
    try {
      const { texts } = await call("POST", "/v1/scan", file);
      const found = texts.find((/** @type {string} */ one) => /^starling:/iu.test(one));
      if (!found) { note.textContent = texts.length > 0 ? "The QR code in the picture is no invite." : "No QR code could be read in the picture. Take it from the front, with all of the code in it."; return; }
      text.value = found;
      await look();
    } catch (error) { note.textContent = wordsOf(error); }
  };
  const drop = h("div", { class: "drop", ondragover: (/** @type {Event} */ event) => event.preventDefault(), ondrop: (/** @type {DragEvent} */ event) => {
    event.preventDefault();
    const file = event.dataTransfer?.files[0];
    if (file) void scan(file); else { text.value = event.dataTransfer?.getData("text") ?? text.value; void look(); }
  } }, field("Paste the invite, or drop a picture of its QR code here", text));
  return h("section", { class: "view" }, heading("I have an invite"),
    h("form", { onsubmit: (/** @type {Event} */ event) => { event.preventDefault(); void look(); } }, drop, h("div", { class: "row" }, h("button", { class: "primary" }, "Look at it"), ...scanners(scan, note))), note, preview);
}

/** A file to choose, and a camera if there is one. @param {(file: Blob) => Promise<void>} scan @param {HTMLElement} note */
function scanners(scan, note) {
  const file = h("input", { type: "file", accept: "image/png,image/jpeg", class: "hidden", tabindex: "-1", "aria-hidden": "true", onchange: () => { const chosen = file.files?.[0]; file.value = ""; if (chosen) void scan(chosen); } });
  return [file, button("Choose a picture", () => file.click()), "mediaDevices" in navigator ? button("Use the camera", () => void camera(scan, note)) : null];
}

/** Frames go to the node until it finds a code. @param {(file: Blob) => Promise<void>} found @param {HTMLElement} note */
async function camera(found, note) {
  let stream;
  try { stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } }); } catch { note.textContent = "The browser gives no camera: none is there, or it was not allowed. A picture works too."; return; }
  const video = h("video", { autoplay: true, muted: true, playsInline: true, srcObject: stream });
  const canvas = document.createElement("canvas");
  const dialog = ask("Hold the code in front of the camera", [video], [["", "Close"]]);
  let open = true;
  void dialog.then(() => { open = false; stream.getTracks().forEach((track) => track.stop()); });
  while (open) {
    await new Promise((resolve) => setTimeout(resolve, 250));
    if (!open || video.videoWidth === 0) continue;
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    canvas.getContext("2d")?.drawImage(video, 0, 0);
    const frame = await new Promise((/** @type {(blob: Blob | null) => void} */ resolve) => canvas.toBlob(resolve, "image/jpeg", 0.85));
    if (!frame || !open) continue;
    try {
      const { texts } = await call("POST", "/v1/scan", frame);
      if (texts.length === 0) continue;
      /** @type {HTMLDialogElement | null} */ (document.querySelector("dialog[open]"))?.close("");
      await found(frame);
    } catch (error) { note.textContent = wordsOf(error); return; }
  }
}

/** @param {Go} go */
export function requestsView(go) {
  /** @param {import("./types").Request} one @param {boolean} accept */
  const answer = async (one, accept) => {
    try {
      const { contact } = await post(`/v1/requests/${one.id}`, { accept });
      model.requests = model.requests.filter((other) => other.id !== one.id);
      model.tell("requests");
      if (contact) { model.learn(contact); go(`/c/${contact.conversation}`); }
    } catch (error) { alarm(wordsOf(error)); }
  };
  return h("section", { class: "view" }, heading("Requests"),
    model.requests.length === 0 ? h("p", null, "Nobody waits for an answer. People who have your address, but no invite, appear here; they are not told whether you saw them.")
      : h("ul", { class: "plain" }, model.requests.map((one) => h("li", { class: "panel" }, avatar(one.name || "?"), h("strong", { dir: "auto" }, line(one.name) || "Somebody without a name"), h("span", { class: "hint" }, ` ${ago(one.received)}`),
        one.text ? h("blockquote", { dir: "auto" }, line(one.text)) : null,
        h("div", { class: "row" }, button("Accept", () => void answer(one, true), { class: "primary" }), button("Refuse", () => void answer(one, false)))))));
}

const TIMERS = [0, 3600, 86_400, 604_800, 2_592_000];

/** @param {import("./types").Conversation} conversation @param {Go} go */
export function contactView(conversation, go) {
  const { contact } = conversation;
  const name = h("input", { type: "text", value: contact.name, maxLength: 64, required: true, dir: "auto", autocomplete: "off" });
  const timer = h("select", { onchange: () => void change({ expires_s: Number(timer.value) }) }, [...new Set([...TIMERS, contact.expires_s ?? 0])].map((seconds) => h("option", { value: String(seconds), selected: seconds === (contact.expires_s ?? 0) }, seconds === 0 ? "Never" : span(seconds))));
  /** @param {Record<string, any>} what */
  const change = async (what) => {
    try { await model.changeContact(contact, what); announce("Saved"); return true; } catch (error) { alarm(wordsOf(error)); return false; }
  };
  const blocked = contact.state === "blocked";
  const remove = async () => {
    const answer = await ask(`Remove ${line(contact.name)}?`, [h("p", null, "They cannot write to you any more, and you not to them. What was said stays on this computer, but is no longer listed.")], [["", "Keep"], ["yes", "Remove", "danger"]]);
    if (answer !== "yes") return;
    try { await call("DELETE", `/v1/contacts/${contact.id}`); go("/"); } catch (error) { alarm(wordsOf(error)); }
  };
  return h("section", { class: "view" }, heading(line(contact.name)),
    contact.state === "forked" ? h("div", { class: "panel error", role: "alert" }, h("p", null, `Two device lists carry ${line(contact.name)}'s signature: their keys may be copied. Nothing is sent until you decide.`),
      h("div", { class: "row" }, button("The device I knew is theirs", () => void change({ devices: "known" })), button("The new device is theirs", () => void change({ devices: "new" })))) : null,
    h("p", { class: "hint" }, [contactState(contact, model.status?.peers?.connected ?? 0), contact.devices_changed ? `added a device ${date(contact.devices_changed)}; their number is unchanged` : "", `Added ${date(contact.added)}`, `last heard ${ago(contact.last_heard)}`].filter(Boolean).join(", "), "."),
    h("p", null, contact.verified_at ? [icon("check"), ` Verified ${date(contact.verified_at)}. `] : contact.mark_lost ? "They were verified, and have a new account since. " : "Not verified yet. ", h("a", { href: `#/verify/${contact.id}` }, "Compare security numbers")),
    h("form", { class: "inline", onsubmit: async (/** @type {Event} */ event) => { event.preventDefault(); if (await change({ name: name.value.trim() })) go(`/contact/${contact.id}`); } }, field("Name, seen by you alone", name), h("button", null, "Rename")),
    field("Messages you write disappear after", timer, "On both sides: with them so long after it came, with you so long after its delivery. Whoever reads a message may still have copied it."),
    h("label", { class: "check" }, h("input", { type: "checkbox", checked: conversation.muted, onchange: (/** @type {Event} */ event) => void model.changeConversation(conversation.id, { muted: /** @type {HTMLInputElement} */ (event.target).checked }).catch((error) => alarm(wordsOf(error))) }), "Mute: no notifications"),
    h("div", { class: "row" }, button("Open the conversation", () => go(`/c/${contact.conversation}`), { class: "primary" }),
      button(blocked ? "Unblock" : "Block", async () => { if (await change({ blocked: !blocked })) go(`/contact/${contact.id}`); }), button("Remove...", () => void remove(), { class: "danger" })),
    h("p", { class: "hint" }, "Blocking and removing are told to nobody."),
    h("details", null, h("summary", null, "Account key"), h("p", { class: "wrap" }, h("code", null, contact.account))));
}

/** @param {Contact} contact @param {Go} go */
export function verifyView(contact, go) {
  const body = h("div", null, h("p", { class: "loading" }, "One moment..."));
  const note = h("p", { role: "alert", class: "error" });
  const name = line(contact.name);
  /** @param {import("./types").Verification} found */
  const show = (found) => fill(body,
    h("p", null, `Compare with ${name}, by voice or side by side. If they are the same on both screens, nobody sits between you.`),
    h("div", { class: "verify" }, h("div", null,
      h("h2", null, "Words to read aloud"), h("ol", { class: "words" }, found.words.map((word) => h("li", null, word))),
      h("h2", null, "Number"), h("p", { class: "number" }, found.number.map((group) => h("span", null, group, " ")))),
    h("div", null, h("h2", null, `For ${name} to scan`), picture(found.qr_svg, `QR code for ${name} to scan`))),
    found.verified_at ? h("p", { class: "good" }, icon("check"), ` Verified ${date(found.verified_at)}, ${clock(found.verified_at)}.`) : null,
    h("div", { class: "row" }, button("They match", () => void put({ verified: true }), { class: "primary" }), button("They differ", () => void differ(), { class: "danger" }), ...scanners(scan, note),
      found.verified_at ? button("Drop the mark", () => void put({ verified: false }), { class: "quiet" }) : null));
  /** @param {Record<string, any>} what */
  const put = async (what) => {
    note.textContent = "";
    try {
      const found = await call("PUT", `/v1/contacts/${contact.id}/verification`, what);
      show(found);
      if (found.scan && found.scan !== "match") note.textContent = { own: `This is your own code. Scan the one that ${name} shows.`, other_contact: `This is another contact's code, not ${name}'s. Nothing was marked.` }[/** @type {"own"} */ (found.scan)] ?? differs();
      else announce(found.verified_at ? "Verified" : "Not verified");
    } catch (error) { note.textContent = wordsOf(error); }
  };
  const differs = () => `They differ: you and ${name} do not have the same keys of each other. Somebody may sit between you, or one of you has a new account. Nothing was marked; send nothing that others must not read.`;
  const differ = async () => {
    const answer = await ask("They differ", [h("p", null, differs()), h("p", null, "Block the contact, meet, and exchange new invites by a way you trust.")], [["", "Close"], ["block", `Block ${name}`, "danger"]]);
    await put({ verified: false });
    if (answer === "block") { try { await model.changeContact(contact, { blocked: true }); go(`/contact/${contact.id}`); } catch (error) { alarm(wordsOf(error)); } }
  };
  /** @param {Blob} file */
  const scan = async (file) => {
    note.textContent = "";
    try {
      const { texts } = await call("POST", "/v1/scan", file);
      const code = texts.find((/** @type {string} */ one) => /^starling-verify:/iu.test(one));
      if (code) await put({ code });
      else note.textContent = texts.length > 0 ? `The QR code is no verification code. ${name} finds theirs under the same heading.` : "No QR code could be read in the picture. Take it from the front, with all of the code in it.";
    } catch (error) { note.textContent = wordsOf(error); }
  };
  void (async () => { try { show(await get(`/v1/contacts/${contact.id}/verification`)); } catch (error) { fill(body); note.textContent = wordsOf(error); } })();
  return h("section", { class: "view" }, heading(`Security number with ${name}`), body, note);
}
