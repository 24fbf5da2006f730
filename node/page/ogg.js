/** Opus in Ogg: RFC 3533 and RFC 7845. */

/** Opus counts in 48,000ths of a second. */
export const RATE = 48_000;
const FIRST = 2, LAST = 4;
const CRC = 0x04c11db7, CRC_AT = 22;

/** @param {string} text */
const ascii = (text) => [...new TextEncoder().encode(text)];
/** Its lowest byte first. @param {number} value @param {number} bytes */
const number = (value, bytes) => Array.from({ length: bytes }, (_, at) => Math.floor(value / 256 ** at) % 256);

/** Packets here are shorter than 255 bytes. @param {number[][]} packets @param {number} kind @param {number} granule @param {number} serial @param {number} place */
function page(packets, kind, granule, serial, place) {
	const bytes = [...ascii("OggS"), 0, kind, ...number(granule, 8), ...number(serial, 4), ...number(place, 4), 0, 0, 0, 0, packets.length, ...packets.map(({ length }) => length), ...packets.flat()];
	let sum = 0;
	for (const byte of bytes) {
		sum ^= byte << 24;
		for (let bit = 0; bit < 8; bit += 1) sum = (sum << 1) ^ (sum < 0 ? CRC : 0);
	}
	bytes.splice(CRC_AT, 4, ...number(sum >>> 0, 4));
	return new Uint8Array(bytes);
}

/**
 * A file of one channel, with a page about every second.
 * @param {number[][]} packets @param {number} frame samples in each @param {number} skip samples before those that are to be heard
 * @param {number} samples to be heard
 */
export function ogg(packets, frame, skip, samples) {
	const [serial] = crypto.getRandomValues(new Uint32Array(1));
	const head = [...ascii("OpusHead\x01\x01"), ...number(skip, 2), ...number(RATE, 4), 0, 0, 0];
	const pages = [page([head], FIRST, 0, serial, 0), page([ascii("OpusTags\x08\0\0\0Starling\0\0\0\0")], 0, 0, serial, 1)];
	const each = Math.round(RATE / frame);
	for (let at = 0; at < packets.length; at += each) {
		const isLast = at + each >= packets.length;
		pages.push(page(packets.slice(at, at + each), isLast ? LAST : 0, isLast ? Math.min(skip + samples, packets.length * frame) : (at + each) * frame, serial, pages.length));
	}
	return new Blob(pages, { type: "audio/ogg" });
}
