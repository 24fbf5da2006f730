/** Inviting, adding, requests, a contact, and comparing numbers. */
/** @import { Contact, Conversation, Invite, Preview, Request, Verification } from "./types.d.ts" */

import { Refused, call, get, post, wordsOf } from "./api.js";
import { announce, ask, attempt, back, button, chooser, copy, field, fill, find, h, icon, nameBox } from "./dom.js";
import { avatar } from "./list.js";
import { model } from "./model.js";
import { ago, clock, contactState, date, forked, line, reach, span } from "./words.js";

/** @typedef {(route: string) => void} Go */

/** @param {string} text */
export const heading = (text) => h("header.viewhead", back(), h("h1", text));

/** A picture that the node drew. @param {string} svg @param {string} alt */
function picture(svg, alt) {
	const url = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
	return h("img.qr", { src: url, alt, onload: () => URL.revokeObjectURL(url) });
}

export function inviteView() {
	const name = nameBox();
	const expires = h("select", [["3600", "1 hour"], ["86400", "1 day"], ["604800", "7 days"], ["2592000", "30 days"]].map(([value, label]) => h("option", { value, selected: value === "604800" }, label)));
	const made = h("div", { "aria-live": "polite" });
	const list = h("div");
	const view = h("section.view", heading("Invite a friend"),
		h("form.inline", { onsubmit: () => attempt(async () => {
			show(await post("/v1/invites", { for: name.value.trim() || null, expires_s: Number(expires.value) }));
			name.value = "";
			void draw();
		}) }, field("For whom?", name, "Only you see this name: whoever uses the invite appears under it."), field("Valid for", expires), h("button.primary", "Make an invite")),
		made, h("h2", "Invites you made"), list);
	/** @param {Invite} invite */
	const show = (invite) => {
		const link = h("textarea.link", { readOnly: true, rows: 4, value: invite.link, "aria-label": "The invite", onfocus: () => link.select() });
		fill(made, h("div.panel",
		h("h2", invite.for ? `For ${line(invite.for)}` : "For one person"),
		invite.qr_svg && picture(invite.qr_svg, "QR code of the invite"),
		link,
		h("div.row", button("Copy the invite", () => copy(invite.link), "primary")),
		h("p", `For one person. Valid until ${date(invite.expires)}, ${clock(invite.expires)}. Send it by a way you trust: whoever uses it first becomes '${line(invite.for ?? "your contact")}'.`),
		h("p.hint", reach(invite.reach), invite.reach !== "direct" && [" See: ", h("a", { href: "#/flock" }, "starling doctor"), "."], invite.names_own_address ? " The invite names this node's address." : "")));
	};
	const draw = async () => {
		try {
			const { invites } = await get("/v1/invites");
			const words = { open: "not used yet", used: "used", revoked: "withdrawn", expired: "over" };
			fill(list, invites.length === 0 ? h("p.hint", "None yet.") : h("ul.plain", invites.slice().reverse().map((/** @type {Invite} */ one) => h("li",
				h("bdi", one.for ? line(one.for) : "For one person"), " ", h("span.hint", `${words[/** @type {keyof typeof words} */ (one.state)] ?? one.state}, until ${date(one.expires)}`),
				one.state === "open" && [button("Show", () => attempt(async () => { show(await get(`/v1/invites/${one.id}`)); made.scrollIntoView({ block: "nearest" }); }), "quiet"), button("Withdraw", () => attempt(async () => { await call("DELETE", `/v1/invites/${one.id}`); void draw(); }), "quiet")]))));
		} catch (error) { fill(list, h("p.error", wordsOf(error))); }
	};
	document.getElementById("pane")?.addEventListener("invites", () => { if (view.isConnected) void draw(); });
	void draw();
	return view;
}

/** @param {Go} go */
export function addView(go) {
	const text = h("textarea.link", { rows: 4, required: true, placeholder: "starling:...", spellcheck: false, autocapitalize: "off" });
	const note = h("p.error", { role: "alert" });
	const preview = h("div", { "aria-live": "polite" });
	const look = async () => {
		fill(preview);
		await attempt(async () => show(await post("/v1/invites/inspect", { link: text.value })), note);
	};
	/** @param {Preview} found */
	const show = (found) => {
		const name = nameBox({ value: found.name });
		const problem = found.problem ? wordsOf(new Refused(0, found.problem)) : "";
		fill(preview, h("div.panel", h("h2", found.name ? `From ${line(found.name)}` : "From somebody without a name"),
			h("dl", h("dt", "Network"), h("dd", found.network ?? "another one"), h("dt", "Good for"), h("dd", found.one_use ? "one person" : "anybody who has it; you arrive as a request"),
				h("dt", "Valid until"), h("dd", found.expires ? `${date(found.expires)}, ${clock(found.expires)}` : "it does not expire"), h("dt", "Nodes in it"), h("dd", found.peers)),
			problem ? h("p.error", problem) : [field("Call them", name), button("Add", () => add(name.value.trim(), null), "primary")],
			found.contact && button("Open the conversation", () => go(`/c/${found.contact?.conversation}`))));
		find(preview, "input,button")?.focus();
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
				const answer = await ask(wordsOf(error), [h("p", "With a new account of the same person the history stays and the verified mark goes.")], [["", "Choose another name"], ["same", `${line(name)} with a new account`]]);
				if (answer === "same") return add(name, known.contact.id);
				return;
			}
			note.textContent = wordsOf(error);
		}
	};
	/** @param {Blob} file */
	const scan = (file) => scanned(file, /^starling:/iu, "The QR code in the picture is no invite.", note, (found) => {
		text.value = found;
		return look();
	});
	const drop = h("div.drop", { ondragover: (event) => event.preventDefault(), ondrop: (event) => {
		event.preventDefault();
		const file = event.dataTransfer?.files[0];
		if (file) void scan(file); else { text.value = event.dataTransfer?.getData("text") ?? text.value; void look(); }
	} }, field("Paste the invite, or drop a picture of its QR code here", text));
	return h("section.view", heading("I have an invite"),
		h("form", { onsubmit: look }, drop, h("div.row", h("button.primary", "Look at it"), ...scanners(scan, note))), note, preview);
}

/** @param {Blob} file @param {RegExp} kind @param {string} other what to say of another code @param {HTMLElement} note @param {(code: string) => any} act */
const scanned = (file, kind, other, note, act) => attempt(async () => {
	const { texts } = await call("POST", "/v1/scan", file);
	const found = texts.find((/** @type {string} */ one) => kind.test(one));
	if (found) await act(found);
	else note.textContent = texts.length > 0 ? other : "No QR code could be read in the picture. Take it from the front, with all of the code in it.";
}, note);

/** A file to choose, and a camera if there is one. @param {(file: Blob) => any} scan @param {HTMLElement} note */
function scanners(scan, note) {
	const file = chooser(([chosen]) => chosen && scan(chosen), "image/png,image/jpeg");
	return [file, button("Choose a picture", () => file.click()), "mediaDevices" in navigator && button("Use the camera", () => camera(scan, note))];
}

/** Frames go to the node until it finds a code. @param {(file: Blob) => any} found @param {HTMLElement} note */
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
		const asked = await attempt(async () => {
			const { texts } = await call("POST", "/v1/scan", frame);
			if (texts.length === 0) return;
			document.querySelector("dialog")?.close("");
			await found(frame);
		}, note);
		if (!asked) return;
	}
}

/** @param {Go} go */
export function requestsView(go) {
	/** @param {Request} one @param {boolean} accept */
	const answer = (one, accept) => attempt(async () => {
		const { contact } = await post(`/v1/requests/${one.id}`, { accept });
		model.requests = model.requests.filter((other) => other.id !== one.id);
		model.tell("requests");
		if (contact) { model.learn(contact); go(`/c/${contact.conversation}`); }
	});
	return h("section.view", heading("Requests"),
		model.requests.length === 0 ? h("p", "Nobody waits for an answer. People who have your address, but no invite, appear here; they are not told whether you saw them.")
			: h("ul.plain", model.requests.map((one) => h("li.panel", avatar(one.name || "?"), h("strong", { dir: "auto" }, line(one.name) || "Somebody without a name"), h("span.hint", ` ${ago(one.received)}`),
				one.text && h("blockquote", { dir: "auto" }, line(one.text)),
				h("div.row", button("Accept", () => answer(one, true), "primary"), button("Refuse", () => answer(one, false)))))));
}

const TIMERS = [0, 3600, 86_400, 604_800, 2_592_000];

/** @param {Conversation} conversation @param {Go} go */
export function contactView(conversation, go) {
	const { contact } = conversation;
	const name = nameBox({ value: contact.name, required: true });
	const timer = h("select", { onchange: () => change({ expires_s: Number(timer.value) }) }, [...new Set([...TIMERS, contact.expires_s ?? 0])].map((seconds) => h("option", { value: String(seconds), selected: seconds === (contact.expires_s ?? 0) }, seconds === 0 ? "Never" : span(seconds))));
	/** @param {Record<string, any>} what */
	const change = (what) => attempt(async () => { await model.changeContact(contact, what); announce("Saved"); });
	const mute = h("input", { type: "checkbox", checked: conversation.muted, onchange: () => attempt(() => model.changeConversation(conversation.id, { muted: mute.checked })) });
	const blocked = contact.state === "blocked";
	const remove = async () => {
		const answer = await ask(`Remove ${line(contact.name)}?`, [h("p", "They cannot write to you any more, and you not to them. What was said stays on this computer, but is no longer listed.")], [["", "Keep"], ["yes", "Remove", "danger"]]);
		if (answer === "yes") await attempt(async () => { await call("DELETE", `/v1/contacts/${contact.id}`); go("/"); });
	};
	return h("section.view", heading(line(contact.name)),
		contact.state === "forked" && h("div.panel.error", { role: "alert" }, h("p", forked(line(contact.name))),
			h("div.row", button("The device I knew is theirs", () => change({ devices: "known" })), button("The new device is theirs", () => change({ devices: "new" })))),
		h("p.hint", [contactState(contact, model.status?.peers?.connected ?? 0), contact.devices_changed ? `added a device ${date(contact.devices_changed)}; their number is unchanged` : "", `Added ${date(contact.added)}`, `last heard ${ago(contact.last_heard)}`].filter(Boolean).join(", "), "."),
		h("p", contact.verified_at ? [icon("check"), ` Verified ${date(contact.verified_at)}. `] : contact.mark_lost ? "They were verified, and have a new account since. " : "Not verified yet. ", h("a", { href: `#/verify/${contact.id}` }, "Compare security numbers")),
		h("form.inline", { onsubmit: async () => { if (await change({ name: name.value.trim() })) go(`/contact/${contact.id}`); } }, field("Name, seen by you alone", name), h("button", "Rename")),
		field("Messages you write disappear after", timer, "On both sides: with them so long after it came, with you so long after its delivery. Whoever reads a message may still have copied it."),
		h("label.check", mute, "Mute: no notifications"),
		h("div.row", button("Open the conversation", () => go(`/c/${contact.conversation}`), "primary"),
			button(blocked ? "Unblock" : "Block", async () => { if (await change({ blocked: !blocked })) go(`/contact/${contact.id}`); }), button("Remove...", () => remove(), "danger")),
		h("p.hint", "Blocking and removing are told to nobody."),
		h("details", h("summary", "Account key"), h("p.wrap", h("code", contact.account))));
}

/** @param {Contact} contact @param {Go} go */
export function verifyView(contact, go) {
	const body = h("div", h("p.loading", "One moment..."));
	const note = h("p.error", { role: "alert" });
	const name = line(contact.name);
	/** @param {Verification} found */
	const show = (found) => fill(body,
		h("p", `Compare with ${name}, by voice or side by side. If they are the same on both screens, nobody sits between you.`),
		h("div.verify", h("div",
			h("h2", "Words to read aloud"), h("ol.words", found.words.map((word) => h("li", word))),
			h("h2", "Number"), h("p.number", found.number.map((group) => h("span", group, " ")))),
		h("div", h("h2", `For ${name} to scan`), picture(found.qr_svg, `QR code for ${name} to scan`))),
		found.verified_at && h("p.good", icon("check"), ` Verified ${date(found.verified_at)}, ${clock(found.verified_at)}.`),
		h("div.row", button("They match", () => put({ verified: true }), "primary"), button("They differ", () => differ(), "danger"), ...scanners(scan, note),
			found.verified_at && button("Drop the mark", () => put({ verified: false }), "quiet")));
	/** @param {Record<string, any>} what */
	const put = (what) => attempt(async () => {
		const found = await call("PUT", `/v1/contacts/${contact.id}/verification`, what);
		show(found);
		if (found.scan && found.scan !== "match") note.textContent = { own: `This is your own code. Scan the one that ${name} shows.`, other_contact: `This is another contact's code, not ${name}'s. Nothing was marked.` }[/** @type {"own"} */ (found.scan)] ?? differs();
		else announce(found.verified_at ? "Verified" : "Not verified");
	}, note);
	const differs = () => `They differ: you and ${name} do not have the same keys of each other. Somebody may sit between you, or one of you has a new account. Nothing was marked; send nothing that others must not read.`;
	const differ = async () => {
		const answer = await ask("They differ", [h("p", differs()), h("p", "Block the contact, meet, and exchange new invites by a way you trust.")], [["", "Close"], ["block", `Block ${name}`, "danger"]]);
		await put({ verified: false });
		if (answer === "block") await attempt(async () => { await model.changeContact(contact, { blocked: true }); go(`/contact/${contact.id}`); });
	};
	/** @param {Blob} file */
	const scan = (file) => scanned(file, /^starling-verify:/iu, `The QR code is no verification code. ${name} finds theirs under the same heading.`, note, (code) => put({ code }));
	void attempt(async () => show(await get(`/v1/contacts/${contact.id}/verification`)), note).then((shown) => shown || fill(body));
	return h("section.view", heading(`Security number with ${name}`), body, note);
}
