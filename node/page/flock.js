/** The flock: this node in the middle, the peers around it, and what it carries for everybody. */

import { get, wordsOf } from "./api.js";
import { fill, h, icon, svg as s } from "./dom.js";
import { model } from "./model.js";
import { heading } from "./people.js";
import { count, line, nodeState, reach, size } from "./words.js";

const LOOK_MS = 5000;
/** Peers that are drawn; the table lists all. */
const DRAWN = 24;

/** @param {import("./types").Peer[]} peers */
function drawing(peers) {
	const picture = s("svg", { viewBox: "-120 -90 240 180", class: "flock", role: "img", "aria-label": `This node with ${count(peers.length, "peer")}; the table below lists them` });
	peers.slice(0, DRAWN).forEach((peer, index, all) => {
		const angle = (index / all.length) * 2 * Math.PI - Math.PI / 2;
		const far = peer.held ? 52 : 76;
		const [x, y] = [Math.cos(angle) * far * 1.3, Math.sin(angle) * far];
		picture.append(s("line", { x1: 0, y1: 0, x2: x, y2: y, class: peer.held ? "held" : "other" }), s("circle", { cx: x, cy: y, r: peer.held ? 6 : 4, class: peer.held ? "held" : "other" }));
	});
	picture.append(s("circle", { cx: 0, cy: 0, r: 13, class: "own" }), s("text", { x: 0, y: 26, "text-anchor": "middle" }, "you"));
	return picture;
}

/** What the node finds when it looks at itself: what fails first, what is well in one line. @param {import("./types").Check[]} checks */
function findings(checks) {
	/** @param {string} verdict */
	const of = (verdict) => checks.filter((one) => one.verdict === verdict);
	/** @param {"cross" | "triangle" | "tick"} shape @param {string} word @param {string} text @param {string[]} next */
	const item = (shape, word, text, next) => h("li", icon(shape), " ", h("strong", word), ` ${line(text)}`, next.map((one) => h("div.hint", one.startsWith("starling ") ? h("code", one) : line(one))));
	const well = of("ok").map((one) => one.message).join(", ");
	return [h("h2", "Doctor"), h("ul.plain", of("fail").map((one) => item("cross", "Fails:", one.message, one.next)),
		of("warn").map((one) => item("triangle", "Warning:", one.message, one.next)), well && item("tick", "Well:", well, []))];
}

export function flock() {
	const body = h("div", h("p.loading", "One moment..."));
	const view = h("section.view", heading("Flock"), body);
	const draw = async () => {
		try {
			const [{ peers }, { checks }] = await Promise.all([get("/v1/peers"), get("/v1/doctor"), model.refreshStatus()]);
			const status = model.status;
			if (!status) return;
			const { store, traffic: day } = status;
			fill(body, h("p.lead", `${nodeState(status)}. `, reach(status.reach)),
				drawing(peers), findings(checks),
				h("dl",
					h("dt", "Network"), h("dd", status.network),
					h("dt", "Peers"), h("dd", `${status.peers?.connected ?? 0} connected, ${status.peers?.in_shard ?? 0} in your shard, ${status.peers?.known ?? 0} known`),
					h("dt", "Sender"), h("dd", status.sender_hidden ? "hidden" : "the neighbour that takes a message knows which node it came from"),
					store && [h("dt", "Kept for everybody"), h("dd", `${count(store.envelopes, "sealed envelope")}, ${size(store.bytes)} of ${size(store.limit_bytes)} `, h("progress", { max: store.limit_bytes, value: store.bytes, "aria-label": "Room used" }))],
					store && [h("dt", "Free on this disk"), h("dd", size(store.disk_free_bytes))],
					day && [h("dt", "Traffic today"), h("dd", `${size(day.sent_bytes)} sent, ${size(day.received_bytes)} received; a day is planned for ${size(day.budget_day_bytes)} each way `, h("progress", { max: day.budget_day_bytes, value: Math.max(day.sent_bytes, day.received_bytes), "aria-label": "Of the day's budget" }))],
					status.outbox && [h("dt", "Your messages"), h("dd", `${status.outbox.queued} waiting here, ${status.outbox.undelivered} not yet delivered`)],
					status.clock && [h("dt", "Clock"), h("dd", `${(Math.abs(status.clock.offset_ms) / 1000).toFixed(1)} s ${status.clock.offset_ms < 0 ? "behind" : "ahead of"} ${count(status.clock.samples, "peer")}`)]),
				h("div.tablebox", { tabindex: "0", role: "region", "aria-label": "Peers" }, h("table", h("caption", "Peers"), h("thead", h("tr", ["Peer", "Address", "Role", "Round trip"].map((head) => h("th", { scope: "col" }, head)))),
					h("tbody", peers.map((/** @type {import("./types").Peer} */ one) => h("tr", h("td", h("code", `...${one.peer.slice(-8)}`)), h("td", h("code", one.address)), h("td", one.held ? "neighbour" : "connected", one.outbound ? ", we called" : ", they called"), h("td", one.ping_ms === null ? "-" : `${one.ping_ms} ms`)))))));
		} catch (error) { fill(body, h("p.error", { role: "alert" }, wordsOf(error))); }
	};
	void (async () => {
		await draw();
		const timer = setInterval(() => {
			if (!view.isConnected) clearInterval(timer);
			else if (!document.hidden && model.phase === "open" && !body.contains(document.activeElement)) void draw();
		}, LOOK_MS);
	})();
	return view;
}
