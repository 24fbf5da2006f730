// @ts-check
/** Before anything can be shown: signing in, the passphrase, and the first three steps. */

import { Refused, call, post, wordsOf } from "./api.js";
import { button, field, fill, h, icon } from "./dom.js";
import { model } from "./model.js";
import { addView, inviteView } from "./people.js";

/** @param {...any} children */
const card = (...children) => h("main", { class: "card" }, h("div", { class: "mark" }, icon("flock"), "Starling"), ...children);

export function loginView() {
  return card(h("h1", null, "This page belongs to the node on this computer."),
    model.loginError ? h("p", { role: "alert", class: "error" }, model.loginError.message) : null,
    h("p", null, "To sign this browser in, run:"), h("p", null, h("code", { class: "big" }, "starling open")),
    h("p", { class: "hint" }, "It prints a link that is good once, for ten minutes."));
}

export function lockedView() {
  const input = h("input", { type: "password", autocomplete: "current-password", required: true, maxLength: 1024 });
  const note = h("p", { role: "alert", class: "error" });
  const submit = h("button", { class: "primary" }, "Unlock");
  /** @param {number} seconds */
  const wait = (seconds) => {
    submit.disabled = seconds > 0;
    submit.textContent = seconds > 0 ? `Unlock (in ${seconds} s)` : "Unlock";
    if (seconds > 0) setTimeout(() => wait(seconds - 1), 1000);
  };
  const form = h("form", { onsubmit: async (/** @type {Event} */ event) => {
    event.preventDefault();
    submit.disabled = true;
    submit.textContent = "Opening...";
    note.textContent = "";
    try {
      await post("/v1/unlock", { passphrase: input.value });
      input.value = "";
      await model.connect();
    } catch (error) {
      note.textContent = wordsOf(error);
      wait(error instanceof Refused ? Math.ceil((error.details.retry_after_ms ?? 0) / 1000) : 0);
      input.select();
    }
  } }, field("Passphrase", input), note, submit);
  const view = card(h("h1", null, "Locked"), h("p", null, "Nothing comes or goes until the passphrase is given."), form,
    h("details", null, h("summary", null, "Forgotten?"), h("p", null, "Nobody can reset it. With a backup: ", h("code", null, "starling backup restore FILE"), ". Without: ", h("code", null, "starling wipe"), ", then new invites.")));
  queueMicrotask(() => input.focus());
  return view;
}

export const wantsOnboarding = () => model.settings.name === "";

/** Name, protection, first contact. @param {() => void} done */
export function onboarding(done) {
  const view = h("main", { class: "card" });
  /** @param {number} number @param {string} heading @param {...any} children */
  const step = (number, heading, ...children) => {
    const title = h("h1", { tabindex: "-1" }, heading);
    fill(view, h("div", { class: "mark" }, icon("flock"), "Starling"), h("p", { class: "hint" }, `Step ${number} of 3`), title, ...children);
    queueMicrotask(() => (/** @type {HTMLElement | null} */ (view.querySelector("input")) ?? title).focus());
  };
  const name = () => {
    const input = h("input", { type: "text", required: true, maxLength: 64, autocomplete: "off", dir: "auto" });
    const note = h("p", { role: "alert", class: "error" });
    step(1, "What should friends call you?", h("form", { onsubmit: async (/** @type {Event} */ event) => {
      event.preventDefault();
      try {
        model.settings = await call("PATCH", "/v1/settings", { name: input.value.trim() });
        if (model.status?.protected === "passphrase") first(); else protection();
      } catch (error) { note.textContent = wordsOf(error); }
    } }, field("Your name", input, "Friends see it when they use your invite. It is no account: two people may have the same."), note, h("button", { class: "primary" }, "Next")));
  };
  const protection = () => {
    const one = h("input", { type: "password", autocomplete: "new-password", required: true, minLength: 8, maxLength: 1024 });
    const two = h("input", { type: "password", autocomplete: "new-password", required: true, maxLength: 1024 });
    const note = h("p", { role: "alert", class: "error" });
    step(2, "Protect this computer's copy", h("p", null, "Your messages lie sealed on this disk. Without a passphrase, whoever has the disk has the key too."),
      h("form", { onsubmit: async (/** @type {Event} */ event) => {
        event.preventDefault();
        if (one.value !== two.value) { note.textContent = "The two are not the same."; return; }
        try { await post("/v1/passphrase", { new: one.value }); await model.refreshStatus(); first(); } catch (error) { note.textContent = wordsOf(error); }
      } }, field("Passphrase", one, "At least 8 characters. Nobody can reset it."), field("Once more", two), note,
      h("div", { class: "row" }, h("button", { class: "primary" }, "Passphrase"), button("None, I understand", async () => {
        try { model.settings = await call("PATCH", "/v1/settings", { no_passphrase_accepted: true }); await model.refreshStatus(); first(); } catch (error) { note.textContent = wordsOf(error); }
      }))));
  };
  const first = () => {
    const place = h("div");
    /** @param {HTMLElement} next */
    const open = (next) => { fill(place, next, h("div", { class: "row" }, button("Go on", done, { class: "primary" }))); };
    step(3, "Your first conversation", h("p", null, "Nobody can find you unless you invite them."),
      h("div", { class: "row" }, button("Invite a friend", () => open(inviteView()), { class: "primary" }), button("I have an invite", () => open(addView((route) => { location.hash = route; done(); }))), button("Later", done, { class: "quiet" })), place);
  };
  name();
  return view;
}
