/** Settings of this node and of this browser, and the keys of the page. */

import { call, get, isKept, post, session, setSession } from "./api.js";
import { alarm, announce, ask, attempt, button, copy, field, fill, h, icon, nameBox, secret } from "./dom.js";
import { model } from "./model.js";
import { choose, chosen } from "./notify.js";
import { heading } from "./people.js";
import { ago, date, line } from "./words.js";

/** @param {(route: string) => void} go */
export function settingsView(go) {
	const status = model.status;
	const warnings = status?.warnings ?? [];
	return h("section.view", heading("Settings"),
		warnings.length > 0 && h("ul.plain", { "aria-label": "What needs attention" }, warnings.map((one) => h("li.panel", icon("triangle"), " ", one.message, one.hint && [" ", h("code", one.hint)]))),
		nameForm(), protection(go), receipts(), notifications(), sessionsPart(), addressPart(), keysPart(), about());
}

function nameForm() {
	const name = nameBox({ value: model.settings.name, required: true });
	return h("form.inline", { onsubmit: async () => {
		if (await attempt(async () => { model.settings = await call("PATCH", "/v1/settings", { name: name.value.trim() }); })) { model.tell("status"); announce("Saved"); }
	} }, field("Your name", name, "Friends see it when they use an invite of yours."), h("button", "Save"));
}

/** @param {(route: string) => void} go */
function protection(go) {
	const protectedNow = model.status?.protected === "passphrase";
	const old = secret("current");
	const next = secret("new");
	const again = secret("new");
	return h("fieldset", h("legend", "Protection"),
		h("p", protectedNow ? "Protected by a passphrase." : "Not protected by a passphrase: anyone with this disk can read your messages."),
		h("form", { onsubmit: async () => {
			if (next.value !== again.value) return alarm("The two are not the same. Nothing was changed.");
			if (await attempt(() => post("/v1/passphrase", { old: protectedNow ? old.value : null, new: next.value }))) { await model.refreshStatus(); announce("Saved"); go("/settings"); }
		} }, protectedNow && field("Present passphrase", old), field("New passphrase", next, "Nobody can reset it."), field("Once more", again), h("div.row", h("button", protectedNow ? "Change it" : "Protect"),
			protectedNow && button("Lock now", () => attempt(() => post("/v1/lock"))))));
}

function receipts() {
	const on = h("input", { type: "checkbox", checked: model.settings.read_receipts, onchange: async () => {
		if (!await attempt(async () => { model.settings = await call("PATCH", "/v1/settings", { read_receipts: on.checked }); })) on.checked = !on.checked;
	} });
	return h("fieldset", h("legend", "Read receipts"), h("label.check", on, "Tell contacts what I have read, and show me what they have read"),
		h("p.hint", "Both or neither: who does not tell does not see. They are seen by those who have them on, too. That a message was delivered is always told."));
}

function notifications() {
	const can = "Notification" in window;
	const select = h("select", { disabled: !can, onchange: async () => {
		choose(select.value);
		if (select.value !== "off" && Notification.permission === "default") await Notification.requestPermission();
		note.textContent = words();
	} }, [["name", "Who wrote: \"Ana: new message\""], ["text", "Who wrote, and what"], ["nothing", "\"New message\" and no more"], ["off", "None"]].map(([value, label]) => h("option", { value, selected: value === chosen() }, label)));
	const words = () => !can ? "This browser has no notifications." : Notification.permission === "denied" ? "The browser refuses them for this page; it can be changed in its settings." : "They come while this page is open in a tab. For the rest there is: starling watch";
	const note = h("span", words());
	return h("fieldset", h("legend", "Notifications"), field("Show", select), h("p.hint", note));
}

function sessionsPart() {
	const list = h("ul.plain");
	const draw = async () => {
		await attempt(async () => {
			const { sessions } = await get("/v1/sessions");
			fill(list, sessions.map((/** @type {import("./types").Session} */ one) => h("li", browserName(one.browser), one.current ? " (this one)" : "", h("span.hint", ` since ${date(one.created)}, until ${date(one.expires)}, used ${ago(one.last_used)} `),
				button(one.current ? "Sign out" : "Sign it out", async () => { await attempt(() => call("DELETE", `/v1/sessions/${one.id}`)); if (!one.current) void draw(); }, "quiet"))));
		});
	};
	const keep = h("input", { type: "checkbox", checked: isKept(), onchange: async () => {
		const wanted = keep.checked, before = session();
		if (!await attempt(async () => {
			const { code } = await post("/v1/login-codes");
			const opened = await post("/v1/sessions", { code, keep: wanted });
			setSession(opened, wanted);
			if (before) await call("DELETE", `/v1/sessions/${before.id}`);
			void model.connect();
		})) keep.checked = !wanted;
		void draw();
	} });
	void draw();
	return h("fieldset", h("legend", "Browsers that are signed in"), list, h("label.check", keep, "Keep this browser signed in for 30 days after its last use"));
}

/** @param {string | null} agent */
function browserName(agent) {
	const known = /(Firefox|Edg|OPR|Chrome|Safari)\/[\d.]+/u.exec(agent ?? "");
	return { Edg: "Edge", OPR: "Opera" }[known?.[1] ?? ""] ?? known?.[1] ?? "A browser";
}

function addressPart() {
	const place = h("div");
	return h("fieldset", h("legend", "Your address"), h("p.hint", "Whoever has it can ask to become a contact. An invite brings somebody in at once."),
		button("Show it", () => attempt(async () => {
			const { link } = await get("/v1/id");
			fill(place, h("textarea.link", { readOnly: true, rows: 4, value: link, "aria-label": "Your address" }), button("Copy", () => void copy(link)));
		})), place);
}

function keysPart() {
	const single = h("input", { type: "checkbox", checked: localStorage.getItem("starling-single-keys") !== "off", onchange: () => localStorage.setItem("starling-single-keys", single.checked ? "on" : "off") });
	const enter = h("input", { type: "checkbox", checked: localStorage.getItem("starling-enter") !== "line", onchange: () => localStorage.setItem("starling-enter", enter.checked ? "send" : "line") });
	return h("fieldset", h("legend", "Keys"), h("label.check", enter, "Enter sends; without it, Ctrl+Enter"), h("label.check", single, "Single keys: / and ?"), h("a", { href: "#/keys" }, "All keys"));
}

function about() {
	const status = model.status;
	return h("fieldset", h("legend", "About"), h("p", `Starling ${status?.version ?? ""}, network ${line(status?.network ?? "")}.`),
		h("p", "Backup: ", h("code", "starling backup create FILE"), ". Ports and limits: ", h("code", "starling up --print-config"), ". Everything gone: ", h("code", "starling wipe"), "."),
		h("p.hint", "This page comes from the node on this computer. It loads nothing from anywhere else."),
		button("Stop the node...", async () => {
			if (await ask("Stop the node?", [h("p", "Messages wait until it is started again. The network keeps what is for you, for 14 days.")], [["", "No"], ["stop", "Stop", "danger"]]) === "stop") await attempt(() => post("/v1/stop"));
		}));
}

export function shortcutsView() {
	const keys = [["Ctrl+K or /", "Search people and messages"], ["Alt+Up, Alt+Down", "The conversation above, below"], ["Alt+Shift+Up, Alt+Shift+Down", "The same, unread ones only"], ["F6", "List, messages, composer"],
		["Enter, Shift+Enter", "Send, a new line"], ["Up in an empty composer", "Your last message"], ["Up, Down, Page Up, Page Down", "Through the messages, or the list"], ["Enter on a message", "Its actions: reply, react, edit, delete"], ["Esc", "Closes; back to the composer"], ["?", "This list"]];
	return h("section.view", heading("Keys"), h("dl.keys", keys.flatMap(([key, what]) => [h("dt", h("kbd", key)), h("dd", what)])));
}
