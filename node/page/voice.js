/** Voice notes are recorded here, in Opus at a constant rate: their length says how long somebody spoke, not what. */
/** @import { Attached } from "./types.d.ts" */

import { alarm, announce, button, h } from "./dom.js";
import { RATE, ogg } from "./ogg.js";
import { minutes } from "./words.js";

/** What is shorter was a mistake; nothing may be longer. */
const SAMPLES_MIN = RATE / 4, SAMPLES_MAX = 30 * RATE;
const PEAKS = 64;
/** A note of silence does not look loud. */
const LOUD = 0.05;

/** @param {number} frameDuration µs @returns {any} */
const settings = (frameDuration) => ({ codec: "opus", sampleRate: RATE, numberOfChannels: 1, bitrate: 16_000, bitrateMode: "constant", opus: { frameDuration, usedtx: false } });

/** The frames that this browser makes at a constant rate, µs; 0 if it makes none. */
export const frames = (async () => {
	for (const duration of "AudioEncoder" in window ? [60_000, 20_000] : []) {
		const { config } = await AudioEncoder.isConfigSupported(settings(duration)).catch(() => ({ config: null }));
		if (config?.bitrateMode === "constant") return duration;
	}
	return 0;
})();

/** @param {any} error */
function why({ name, message }) {
	switch (name) {
		case "NotAllowedError": return "The browser does not let this page use the microphone. Its settings for this page can change that.";
		case "NotFoundError": return "No microphone was found.";
		case "NotReadableError": return "The microphone does not work, or another program has it.";
		default: return `Nothing can be recorded: ${message}`;
	}
}

/** @param {Float32Array} sound */
const loudest = (sound) => sound.reduce((most, one) => Math.max(most, Math.abs(one)), 0);

/** @param {Float32Array} sound @returns {Promise<Attached>} */
async function encode(sound) {
	const duration = await frames, numberOfFrames = sound.length;
	/** @type {number[][]} */
	const packets = [];
	// What the encoder adds before the sound; its head says it.
	let skip = 312;
	const encoder = new AudioEncoder({ error: () => {}, output: (chunk, more) => {
		const packet = new Uint8Array(chunk.byteLength);
		chunk.copyTo(packet);
		packets.push([...packet]);
		const head = /** @type {ArrayBuffer | undefined} */ (more?.decoderConfig?.description);
		if (head) skip = new DataView(head).getUint16(10, true);
	} });
	encoder.configure(settings(duration));
	encoder.encode(new AudioData({ format: "f32", sampleRate: RATE, numberOfFrames, numberOfChannels: 1, timestamp: 0, data: /** @type {any} */ (sound) }));
	await encoder.flush();
	encoder.close();
	if (packets.some(({ length }) => length !== packets[0].length)) throw new Error("this browser keeps to no constant rate, so the length would tell of what was said.");
	const peaks = Array.from({ length: PEAKS }, (_, at) => loudest(sound.subarray(at / PEAKS * numberOfFrames, (at + 1) / PEAKS * numberOfFrames)));
	const most = Math.max(LOUD, ...peaks);
	return { kind: "voice", name: "", blob: ogg(packets, duration * RATE / 1e6, skip, numberOfFrames), voice: { duration_ms: Math.round(numberOfFrames * 1000 / RATE), peaks: peaks.map((peak) => Math.round(255 * peak / most)) } };
}

/**
 * Begins to record. What it shows, and how to take it back.
 * @param {(note: Attached | null, send: boolean) => void} done called once
 */
export function record(done) {
	const sound = new Float32Array(SAMPLES_MAX);
	let samples = 0, over = false;
	/** @type {MediaStream | undefined} */
	let stream;
	/** @type {AudioContext | undefined} */
	let context;

	/** @param {boolean} keep @param {boolean} [send] */
	const end = async (keep, send = false) => {
		const before = over;
		over = true;
		stream?.getTracks().forEach((track) => track.stop());
		context?.close().catch(() => {});
		if (before) return;
		const note = keep && samples >= SAMPLES_MIN ? encode(sound.subarray(0, samples)) : null;
		done(await note?.catch((error) => alarm(why(error))) ?? null, send);
	};
	const cancel = () => end(false);
	/** @param {Float32Array} block */
	const take = (block) => {
		if (over) return;
		sound.set(block.subarray(0, SAMPLES_MAX - samples), samples);
		samples = Math.min(samples + block.length, SAMPLES_MAX);
		meter.value = loudest(block);
		const seconds = Math.floor(samples / RATE), words = `${minutes(seconds)}, ${SAMPLES_MAX / RATE - seconds} s left`;
		if (time.textContent !== words) time.textContent = words;
		if (samples === SAMPLES_MAX) void end(true);
	};

	const meter = h("meter", { "aria-label": "Level" });
	const time = h("span", { role: "timer" }, "Waiting for the microphone...");
	const stop = button("Stop", () => end(true), { disabled: true });
	const send = button("Send", () => end(true, true), { disabled: true, class: "primary" });
	const element = h("div.composer", { role: "group", "aria-label": "Voice note", onkeydown: (event) => {
		if (event.key === "Escape") { event.preventDefault(); cancel(); }
	} }, button("Cancel", cancel, "quiet"), meter, time, stop, send);
	void (async () => {
		try {
			stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1 } });
			context = new AudioContext({ sampleRate: RATE });
			await context.audioWorklet.addModule("/page/capture.js");
			if (over) return cancel();
			const node = new AudioWorkletNode(context, "capture", { numberOfOutputs: 0 });
			node.port.onmessage = ({ data }) => take(data);
			context.createMediaStreamSource(stream).connect(node);
			stream.getTracks()[0].onended = () => {
				alarm("The microphone is gone. What was recorded before is kept.");
				void end(true);
			};
			stop.disabled = send.disabled = false;
			stop.focus();
			announce("Recording, for 30 seconds at the most");
		} catch (error) {
			if (!over) alarm(why(error));
			void cancel();
		}
	})();
	return { element, cancel };
}
