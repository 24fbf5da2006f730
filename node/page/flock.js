/** The flock: this node in the middle, the peers around it, and what it carries for everybody. */

import { get, wordsOf } from "./api.js";
import { fill, h, svg as s } from "./dom.js";
import { model } from "./model.js";
import { heading } from "./people.js";
import { count, nodeState, reach, size } from "./words.js";

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

export function flock() {
	const body = h("div", null, h("p", { class: "loading" }, "One moment..."));
	const view = h("section", { class: "view" }, heading("Flock"), body);
	const draw = async () => {
		try {
			const [{ peers }] = await Promise.all([get("/v1/peers"), model.refreshStatus()]);
			const status = model.status;
			if (!status) return;
			const store = status.store;
			fill(body, h("p", { class: "lead" }, `${nodeState(status)}. `, reach(status.reach)),
				status.state === "alone" ? h("p", null, "Three ways in: an invite from a friend, somebody on this network (found by itself), or an address: ", h("code", null, "starling peers add <address>")) : null,
				drawing(peers),
				h("dl", null,
					h("dt", null, "Network"), h("dd", null, status.network),
					h("dt", null, "Peers"), h("dd", null, `${status.peers?.connected ?? 0} connected, ${status.peers?.in_shard ?? 0} in your shard, ${status.peers?.known ?? 0} known`),
					h("dt", null, "Sender"), h("dd", null, status.sender_hidden ? "hidden" : "the neighbour that takes a message knows which node it came from"),
					store ? [h("dt", null, "Kept for everybody"), h("dd", null, `${count(store.envelopes, "sealed envelope")}, ${size(store.bytes)} of ${size(store.limit_bytes)} `, h("progress", { max: store.limit_bytes, value: store.bytes, "aria-label": "Room used" }))] : null,
					store ? [h("dt", null, "Free on this disk"), h("dd", null, size(store.disk_free_bytes))] : null,
					status.outbox ? [h("dt", null, "Your messages"), h("dd", null, `${status.outbox.queued} waiting here, ${status.outbox.undelivered} not yet delivered`)] : null,
					status.clock ? [h("dt", null, "Clock"), h("dd", null, `${(Math.abs(status.clock.offset_ms) / 1000).toFixed(1)} s ${status.clock.offset_ms < 0 ? "behind" : "ahead of"} ${count(status.clock.samples, "peer")}`)] : null),
				h("div", { class: "tablebox", tabindex: "0", role: "region", "aria-label": "Peers" }, h("table", null, h("caption", null, "Peers"), h("thead", null, h("tr", null, ["Peer", "Address", "Role", "Round trip"].map((head) => h("th", { scope: "col" }, head)))),
					h("tbody", null, peers.map((/** @type {import("./types").Peer} */ one) => h("tr", null, h("td", null, h("code", null, `...${one.peer.slice(-8)}`)), h("td", null, h("code", null, one.address)), h("td", null, one.held ? "neighbour" : "connected", one.outbound ? ", we called" : ", they called"), h("td", null, one.ping_ms === null ? "-" : `${one.ping_ms} ms`)))))));
		} catch (error) { fill(body, h("p", { class: "error", role: "alert" }, wordsOf(error))); }
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
