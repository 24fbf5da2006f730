/** The life of one message: where it is, and why. */

import { get, wordsOf } from "./api.js";
import { button, fill, h } from "./dom.js";
import { ago, date, clock, explanation, line, said, sentence, span, step } from "./words.js";
import { heading } from "./people.js";

const precise = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3 });

/** @param {string} id @param {(route: string) => void} go */
export function detailsView(id, go) {
	const body = h("div.loading", "One moment...");
	const view = h("section.view", heading("Message details"), body);
	void (async () => {
		try {
			const { message, contact, lines } = await get(`/v1/messages/${encodeURIComponent(id)}/trace`);
			const name = contact?.name ?? "a removed contact";
			const own = message.from === "me";
			body.className = "";
			fill(body,
				h("blockquote", { dir: "auto" }, said(message).slice(0, 400)),
				h("p", h("strong", own ? sentence(message.state, line(name)) : `From ${line(name)}`)),
				own && h("p.hint", explanation(message.state), message.state.name === "held" && contact && ` ${line(name)} was last heard ${ago(contact.last_heard)}.`),
				h("dl",
					h("dt", "Written"), h("dd", `${date(message.created)} ${clock(message.created)}`, message.sender_clock === "ahead" ? " (the writer's clock is ahead)" : ""),
					message.received && [h("dt", "Came"), h("dd", `${date(message.received)} ${clock(message.received)}`)],
					message.edited && [h("dt", "Edited"), h("dd", `${date(message.edited)} ${clock(message.edited)}`)],
					message.expires_s && [h("dt", "Disappears"), h("dd", message.expires ? `${date(message.expires)} ${clock(message.expires)}` : `${span(message.expires_s)} after its delivery`)],
					h("dt", "Id"), h("dd", h("code", message.id))),
				lines.length > 0 && h("h2", "What happened"),
				h("ol.trace", lines.map((/** @type {import("./types").TraceLine} */ one) => h("li", h("time", { dateTime: one.time }, precise.format(new Date(one.time))), " ", step(one, line(name))))),
				button("Back to the conversation", () => go(`/c/${message.conversation}/${message.id}`)));
		} catch (error) { fill(body, h("p.error", { role: "alert" }, wordsOf(error))); }
	})();
	return view;
}
