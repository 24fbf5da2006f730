// @ts-check
/** The life of one message: where it is, and why. */

import { get, wordsOf } from "./api.js";
import { button, fill, h } from "./dom.js";
import { ago, date, clock, explanation, line, sentence, span, step } from "./words.js";
import { heading } from "./people.js";

const precise = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3 });

/** @param {string} id @param {(route: string) => void} go */
export function detailsView(id, go) {
  const body = h("div", { class: "loading" }, "One moment...");
  const view = h("section", { class: "view" }, heading("Message details"), body);
  void (async () => {
    try {
      const { message, contact, lines } = await get(`/v1/messages/${encodeURIComponent(id)}/trace`);
      const name = contact?.name ?? "a removed contact";
      const own = message.from === "me";
      body.className = "";
      fill(body,
        h("blockquote", { dir: "auto" }, line(message.text ?? "Needs a newer Starling").slice(0, 400)),
        h("p", null, h("strong", null, own ? sentence(message.state, line(name)) : `From ${line(name)}`)),
        own ? h("p", { class: "hint" }, explanation(message.state), message.state.name === "held" && contact ? ` ${line(name)} was last heard ${ago(contact.last_heard)}.` : null) : null,
        h("dl", null,
          h("dt", null, "Written"), h("dd", null, `${date(message.created)} ${clock(message.created)}`, message.sender_clock === "ahead" ? " (the writer's clock is ahead)" : ""),
          message.received ? [h("dt", null, "Came"), h("dd", null, `${date(message.received)} ${clock(message.received)}`)] : null,
          message.edited ? [h("dt", null, "Edited"), h("dd", null, `${date(message.edited)} ${clock(message.edited)}`)] : null,
          message.expires_s ? [h("dt", null, "Disappears"), h("dd", null, message.expires ? `${date(message.expires)} ${clock(message.expires)}` : `${span(message.expires_s)} after its delivery`)] : null,
          h("dt", null, "Id"), h("dd", null, h("code", null, message.id))),
        lines.length > 0 ? h("h2", null, "What happened") : null,
        h("ol", { class: "trace" }, lines.map((/** @type {import("./types").TraceLine} */ one) => h("li", null, h("time", { dateTime: one.time }, precise.format(new Date(one.time))), " ", step(one, line(name))))),
        button("Back to the conversation", () => go(`/c/${message.conversation}/${message.id}`)));
    } catch (error) { fill(body, h("p", { class: "error", role: "alert" }, wordsOf(error))); }
  })();
  return view;
}
