/** What is to go beside a text: a picture made small enough, or any file that is. */

import { FILE_BYTES_MAX, tooLarge } from "./words.js";

/** More is not unpacked: four bytes each. */
const PIXELS_MAX = 120_000_000;
/** Drawn anew, these would stand still. */
const MOVING = /^GIF8.*NETSCAPE|^RIFF.{4}WEBPVP8X.*ANIM|^.PNG.*acTL/su;
/** Names that a camera or a program gave: they tell when a picture was made, or nothing. */
const GIVEN = /\d{4}|^image\./u;

/** A picture that fits; `null` when the browser cannot read it. @param {File} file @returns {Promise<Blob | null>} */
async function shrink(file) {
	const image = new Image();
	try {
		// How large it is can be known without unpacking it.
		await new Promise((ready, failed) => { image.onload = ready; image.onerror = failed; image.src = URL.createObjectURL(file); });
	} catch { return null; } finally { URL.revokeObjectURL(image.src); }
	const { naturalWidth: width, naturalHeight: height } = image;
	if (width * height > PIXELS_MAX) throw new Error(`The picture has ${width.toLocaleString()} x ${height.toLocaleString()} pixels, too many to make it smaller here.`);
	const worker = new Worker("/page/shrink.js", { type: "module" });
	const small = await new Promise((done) => {
		worker.onmessage = ({ data }) => done(data);
		worker.onerror = () => done(null);
		worker.postMessage({ file, width, height, most: FILE_BYTES_MAX });
	});
	worker.terminate();
	return small;
}

/** A file as it will go. Fails with words when it cannot. @param {File} file @returns {Promise<import("./types").Attached>} */
export async function prepare(file) {
	const { name, size, type } = file;
	const isMoving = async () => MOVING.test(new TextDecoder("latin1").decode(await file.slice(0, 4096).arrayBuffer()));
	if (/^image\/(?!svg)/u.test(type) && !await isMoving()) {
		const small = await shrink(file);
		if (small) return { kind: "picture", name: GIVEN.test(name) ? "" : name.replace(/\.\w*$|$/u, small.type.replace("image/", ".")), blob: small, voice: null };
	}
	if (size > FILE_BYTES_MAX) throw new Error(tooLarge(size));
	// What lies on the disk may change until it is sent.
	return { kind: "file", name, blob: new Blob([await file.arrayBuffer()], { type }), voice: null };
}
