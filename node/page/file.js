/** Files of messages. What they are, the node found out from their bytes; what they are called, their sender says. */
/** @import { Attachment, Voice } from "./types.d.ts" */

import { wordsOf } from "./api.js";
import { alarm, ask, button, fill, h, icon, svg } from "./dom.js";
import { line, minutes, size } from "./words.js";

/** Sides of a picture among messages. */
const SIDE_MIN_PX = 44, SIDE_MAX_PX = 320;
/** Long enough for any browser to begin a download. */
const SAVING_MS = 30_000;

/** The note that is heard. @type {HTMLAudioElement | null} */
let playing = null;

/**
 * A file in a message, read when it is shown.
 * @param {Pick<Attachment, "kind" | "name" | "voice"> & Partial<Attachment>} file
 * @param {string} alt of a picture without a name @param {() => Promise<Blob>} read @param {() => void} changed it has another height
 */
export function fileView({ kind, voice, width, height, bytes = 0, media_type = "", ...file }, alt, read, changed) {
	const name = line(file.name);
	/** @type {Promise<string> | null} */
	let url = null;
	/** @type {HTMLAudioElement | null} */
	let audio = null;
	const address = () => url ??= read().then(URL.createObjectURL);
	const saver = () => button("Save", () => view.save(), { "aria-label": `Save ${name || "the file"}` });
	/** @param {string} words */
	const fail = (words) => {
		if (view.failed) return;
		view.failed = true;
		fill(view.element, h("p.hint", icon("triangle"), ` ${words} `, saver()));
		changed();
	};

	const picture = () => {
		const sides = [width ?? 1, height ?? 1], scale = Math.min(1, SIDE_MAX_PX / Math.max(...sides));
		const [across, down] = sides.map((side) => Math.max(SIDE_MIN_PX, Math.round(side * scale)));
		const image = h("img", { alt: name || alt, onerror: () => fail("This picture cannot be shown.") });
		const box = button(image, async () => {
			if (await ask(h("bdi", image.alt), [h("img.large", { src: image.src, alt: image.alt })], [["", "Close"], ["save", "Save"]])) void view.save();
		}, { class: "picture", "aria-haspopup": "dialog" });
		// The room is there before the picture is.
		box.style.width = `${across}px`;
		box.style.aspectRatio = `${across} / ${down}`;
		address().then((found) => { image.src = found; }, (error) => fail(wordsOf(error)));
		return box;
	};

	/** @param {Voice} voice */
	const note = ({ duration_ms, peaks }) => {
		const all = duration_ms / 1000, across = Math.max(1, peaks.length) * 3;
		const bars = () => svg("path", { d: peaks.map((peak, at) => `M${at * 3 + 1.5} ${15 - peak / 18}V${17 + peak / 18}`).join("") });
		const heard = svg("svg", { width: 0, height: 32 }, bars());
		const time = h("span.hint");
		const play = button("", () => hear((one) => one.paused ? one.play() : one.pause()), { "aria-label": "Play" });
		const place = h("input", { type: "range", max: all, step: 0.1, "aria-label": "Position", oninput: () => { const at = Number(place.value); void hear((one) => { one.currentTime = at; }); } });
		const move = () => {
			const now = Math.min(all, audio?.currentTime ?? 0), sounds = String(audio?.paused === false);
			place.value = String(now);
			place.setAttribute("aria-valuetext", `${minutes(now)} of ${minutes(all)}`);
			heard.setAttribute("width", String(now / (all || 1) * across));
			time.textContent = now > 0 ? `${minutes(now)} / ${minutes(all)}` : minutes(all);
			if (play.ariaPressed === sounds) return;
			play.ariaPressed = sounds;
			fill(play, icon(sounds === "true" ? "pause" : "play"));
		};
		/** @param {(audio: HTMLAudioElement) => any} act */
		const hear = async (act) => {
			try {
				const found = await address();
				if (!audio) {
					const one = audio = new Audio(found);
					one.ontimeupdate = one.onseeked = one.onpause = one.onplay = move;
					one.onended = () => { one.currentTime = 0; };
					one.onerror = () => fail("This voice note cannot be played.");
					one.onplaying = () => { if (playing !== one) playing?.pause(); playing = one; };
				}
				await act(audio);
			} catch (error) {
				// Else it was paused before it began, or fails in a moment.
				if (!(error instanceof DOMException)) fail(wordsOf(error));
			}
		};
		move();
		return h("div.voice", play,
			h("span.wave", svg("svg", { viewBox: `0 0 ${across} 32`, preserveAspectRatio: "none", "aria-hidden": "true" }, bars(), heard), place), time);
	};

	const view = {
		element: h("div.media"),
		failed: false,
		async save() {
			try {
				const saved = URL.createObjectURL(new Blob([await read()], { type: "application/octet-stream" }));
				h("a", { href: saved, download: name || (kind === "file" ? kind : media_type.replace(/.*\//u, `${kind}.`)) }).click();
				setTimeout(() => URL.revokeObjectURL(saved), SAVING_MS);
			} catch (error) { alarm(wordsOf(error)); }
		},
		/** Lets go of what it holds. */
		end() {
			view.failed = true;
			audio?.pause();
			void url?.then(URL.revokeObjectURL, () => {});
		},
	};
	fill(view.element, kind === "picture" ? picture() : voice ? note(voice)
		: h("div.row", icon("clip"), h("bdi.wrap", name || "File without a name"), h("span.hint", size(bytes)), saver()));
	return view;
}
