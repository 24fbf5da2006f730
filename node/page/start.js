/** Before anything can be shown: signing in, the passphrase, and the first three steps. */

import { Refused, call, post, wordsOf } from "./api.js";
import { attempt, button, field, fill, find, h, icon, nameBox, secret } from "./dom.js";
import { model } from "./model.js";
import { addView, inviteView } from "./people.js";

/** @param {...any} children */
const card = (...children) => h("main.card", h("div.mark", icon("flock"), "Starling"), ...children);

export function loginView() {
	return card(h("h1", "This page belongs to the node on this computer."),
		model.loginError && h("p.error", { role: "alert" }, model.loginError.message),
		h("p", "To sign this browser in, run:"), h("p", h("code.big", "starling open")),
		h("p.hint", "It prints a link that is good once, for ten minutes."));
}

export function lockedView() {
	const input = secret("current");
	const note = h("p.error", { role: "alert" });
	const submit = h("button.primary", "Unlock");
	/** @param {number} seconds */
	const wait = (seconds) => {
		submit.disabled = seconds > 0;
		submit.textContent = seconds > 0 ? `Unlock (in ${seconds} s)` : "Unlock";
		if (seconds > 0) setTimeout(() => wait(seconds - 1), 1000);
	};
	const form = h("form", { onsubmit: async () => {
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
	const view = card(h("h1", "Locked"), h("p", "Nothing comes or goes until the passphrase is given."), form,
		h("details", h("summary", "Forgotten?"), h("p", "Nobody can reset it. With a backup: ", h("code", "starling backup restore FILE"), ". Without: ", h("code", "starling wipe"), ", then new invites.")));
	queueMicrotask(() => input.focus());
	return view;
}

export const wantsOnboarding = () => model.settings.name === "";

/** Name, protection, first contact. @param {() => void} done */
export function onboarding(done) {
	const view = h("main.card");
	/** @param {number} number @param {string} heading @param {...any} children */
	const step = (number, heading, ...children) => {
		const title = h("h1", { tabindex: "-1" }, heading);
		fill(view, h("div.mark", icon("flock"), "Starling"), h("p.hint", `Step ${number} of 3`), title, ...children);
		queueMicrotask(() => (find(view, "input") ?? title).focus());
	};
	const name = () => {
		const input = nameBox({ required: true });
		const note = h("p.error", { role: "alert" });
		step(1, "What should friends call you?", h("form", { onsubmit: () => attempt(async () => {
			model.settings = await call("PATCH", "/v1/settings", { name: input.value.trim() });
			if (model.status?.protected === "passphrase") first(); else protection();
		}, note) }, field("Your name", input, "Friends see it when they use your invite. It is no account: two people may have the same."), note, h("button.primary", "Next")));
	};
	const protection = () => {
		const one = secret("new");
		const two = secret("new");
		const note = h("p.error", { role: "alert" });
		step(2, "Protect this computer's copy", h("p", "Your messages lie sealed on this disk. Without a passphrase, whoever has the disk has the key too."),
			h("form", { onsubmit: () => attempt(async () => {
				if (one.value !== two.value) throw new Error("The two are not the same.");
				await post("/v1/passphrase", { new: one.value });
				await model.refreshStatus();
				first();
			}, note) }, field("Passphrase", one, "At least 8 characters. Nobody can reset it."), field("Once more", two), note,
			h("div.row", h("button.primary", "Passphrase"), button("None, I understand", () => attempt(async () => {
				model.settings = await call("PATCH", "/v1/settings", { no_passphrase_accepted: true });
				await model.refreshStatus();
				first();
			}, note)))));
	};
	const first = () => {
		const place = h("div");
		/** @param {HTMLElement} next */
		const open = (next) => { fill(place, next, h("div.row", button("Go on", done, "primary"))); };
		step(3, "Your first conversation", h("p", "Nobody can find you unless you invite them."),
			h("div.row", button("Invite a friend", () => open(inviteView()), "primary"), button("I have an invite", () => open(addView((route) => { location.hash = route; done(); }))), button("Later", done, "quiet")), place);
	};
	name();
	return view;
}
