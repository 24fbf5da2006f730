/** Pictures, voice notes and other files: what a person does with them, and what hostile ones try. */

import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";

const FILE_BYTES_MAX = 64_000;
const RATE = 48_000;

/** A landscape, drawn in a page, as a JPEG of so many pixels. */
const landscape = async (page, width, height) => Buffer.from(await page.evaluate(async ([width, height]) => {
  const canvas = new OffscreenCanvas(width, height), context = canvas.getContext("2d");
  const paint = (from, to, top, bottom) => { const shade = context.createLinearGradient(0, top * height, 0, bottom * height); shade.addColorStop(0, from); shade.addColorStop(1, to); context.fillStyle = shade; };
  const ridge = (base, rise, steps) => { context.beginPath(); context.moveTo(0, base * height); for (let step = 0; step <= steps; step += 1) context.lineTo(step / steps * width, (base - rise * (Math.sin(step * 2.3) * 0.5 + Math.sin(step * 0.7) * 0.5 + 0.6)) * height); context.lineTo(width, base * height); context.fill(); };
  paint("#f9c784", "#f4ede0", 0, 0.5);
  context.fillRect(0, 0, width, height);
  context.fillStyle = "#fff3d6";
  context.beginPath();
  context.arc(width * 0.7, height * 0.28, height * 0.07, 0, 7);
  context.fill();
  for (const [base, rise, steps, from, to] of [[0.56, 0.2, 17, "#8fa3b8", "#c9d3dc"], [0.58, 0.12, 29, "#55708c", "#8ea5b5"], [0.6, 0.06, 61, "#2d4a3e", "#5b7a66"]]) { paint(from, to, base - rise, base); ridge(base, rise, steps); }
  paint("#7fa6bd", "#1d4456", 0.6, 1);
  context.fillRect(0, height * 0.6, width, height);
  for (let wave = 0; wave < 1500; wave += 1) { context.fillStyle = `rgb(255 255 255 / ${wave % 7 * 3}%)`; context.fillRect((wave * 7919) % width, height * (0.6 + ((wave * 104729) % 4000) / 10000), width / 60, 2); }
  return [...new Uint8Array(await (await canvas.convertToBlob({ type: "image/jpeg", quality: 0.95 })).arrayBuffer())];
}, [width, height]));

/** A photo as a telephone makes it: turned by a quarter, and it says where it was made. */
function noted(jpeg) {
  const tiff = Buffer.concat([Buffer.from("MM\0\x2a\0\0\0\x08\0\x01", "latin1"), Buffer.from([0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0]), Buffer.from("GPS 52.5200 N 13.4050 E")]);
  const exif = Buffer.concat([Buffer.from("Exif\0\0", "latin1"), tiff]);
  return Buffer.concat([jpeg.subarray(0, 2), Buffer.from([0xff, 0xe1, 0, exif.length + 2]), exif, jpeg.subarray(2)]);
}

/** A PNG of all the chunks that one needs, and nothing that makes a picture; its head says how large it is. */
function pngHead(width, height) {
  const head = Buffer.from("\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR........\x08\x06\0\0\0....\0\0\0\x08IDATnonsense....\0\0\0\0IEND....", "latin1");
  head.writeUInt32BE(width, 16);
  head.writeUInt32BE(height, 20);
  return head;
}

/** Ogg as RFC 3533 has it: the pages, each with its packets; fails on any that is damaged or out of order. */
function pagesOf(bytes) {
  const pages = [];
  for (let at = 0; at < bytes.length;) {
    assert.equal(bytes.toString("latin1", at, at + 4), "OggS");
    const laces = bytes.subarray(at + 27, at + 27 + bytes[at + 26]);
    const length = 27 + laces.length + laces.reduce((sum, one) => sum + one, 0);
    const page = Buffer.from(bytes.subarray(at, at + length));
    assert.equal(page.length, length, "whole");
    page.writeUInt32LE(0, 22);
    let sum = 0;
    for (const byte of page) for (let bit = 7; bit >= 0; bit -= 1) sum = ((sum << 1) ^ ((((sum >>> 31) ^ (byte >> bit)) & 1) ? 0x04c11db7 : 0)) >>> 0;
    assert.equal(bytes.readUInt32LE(at + 22), sum, "checksum");
    assert.equal(page.readUInt32LE(18), pages.length, "number");
    let from = 27 + laces.length;
    const packets = [...laces].map((lace) => page.subarray(from, from += lace));
    pages.push({ kind: page[5], granule: Number(page.readBigUInt64LE(6)), serial: page.readUInt32LE(14), packets });
    at += length;
  }
  assert.equal(new Set(pages.map((one) => one.serial)).size, 1, "one stream");
  return pages;
}

/** A voice note as RFC 7845 has it; its packets and its length. */
function noteOf(bytes) {
  const [head, tags, ...pages] = pagesOf(bytes);
  assert.deepEqual([head.kind, head.granule, head.packets.length], [2, 0, 1]);
  const first = head.packets[0];
  assert.equal(first.toString("latin1", 0, 8), "OpusHead");
  assert.deepEqual([first.length, first[8], first[9], first.readUInt32LE(12), first.readInt16LE(16), first[18]], [19, 1, 1, RATE, 0, 0]);
  assert.equal(tags.packets[0].toString("latin1", 0, 8), "OpusTags");
  assert.equal(tags.granule, 0);
  const packets = pages.flatMap((one) => one.packets);
  // The first byte says how long a packet sounds: RFC 6716, section 3.1; 60 or 20 ms of speech.
  const [frame] = packets.map((one) => [10, 20, 40, 60][one[0] >> 3 & 3] * RATE / 1000);
  pages.slice(0, -1).reduce((before, page) => { assert.equal(page.kind, 0); assert.equal(page.granule, before + page.packets.length * frame); return page.granule; }, 0);
  assert.equal(pages.at(-1).kind, 4, "the last one says so");
  return { packets, seconds: (pages.at(-1).granule - first.readUInt16LE(10)) / RATE };
}

/** @param {any} tools of run.js */
export function fileTests({ test, friends, chat, write, accessible, shot, tabTo }) {
  const choose = (page, name, mimeType, buffer) => page.locator(".composer input[type=file]").setInputFiles({ name, mimeType, buffer });
  const ready = (page, words) => page.locator(".context", { hasText: words }).waitFor();
  const row = (page, text) => page.locator(".messages li", { hasText: text });
  const act = async (page, which, name) => { await which.focus(); await page.keyboard.press("Enter"); await page.getByRole("menuitem", { name, exact: true }).click(); };
  /** The newest file that somebody got, and its bytes, as the node gives them. */
  const got = async (home) => {
    const { conversations: [{ id }] } = await home.call("GET", "/v1/conversations");
    const { messages } = await home.call("GET", `/v1/conversations/${id}/messages`);
    const { attachments: [file] } = messages.findLast((one) => one.from !== "me" && one.attachments.length > 0);
    return { file, bytes: await home.call("GET", `/v1/blobs/${file.id}`) };
  };
  const give = async (home, name, bytes, voice) => {
    const { conversations: [{ id }] } = await home.call("GET", "/v1/conversations");
    const blob = await home.call("POST", "/v1/blobs", bytes);
    return home.call("POST", `/v1/conversations/${id}/messages`, { attachments: [{ blob: blob.id, name, ...(voice ? { voice } : {}) }] });
  };
  const saved = async (page, save) => {
    const [download] = await Promise.all([page.waitForEvent("download"), save()]);
    return { name: download.suggestedFilename(), bytes: readFileSync(await download.path()) };
  };
  const narrow = async (page, what) => {
    await page.setViewportSize({ width: 320, height: 640 });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(wide <= 320, `${what} is ${wide} px wide in 320`);
    await accessible(page, `${what}, 320 px`);
    await page.setViewportSize({ width: 1100, height: 720 });
  };

  test("files: a picture goes smaller and says nothing but what it shows", async () => {
    const { ana, bob, a, b, end } = await friends({ bob: { colorScheme: "dark" } });
    await chat(a, "Bob");
    await chat(b, "Ana");
    const photo = noted(await landscape(a, 3000, 2000));
    assert.ok(photo.length > 200_000 && photo.includes("GPS"));
    await choose(a, "IMG_20260102_030405.jpg", "image/jpeg", photo);
    await ready(a, "Picture, ");
    await accessible(a, "a picture to be sent");
    await a.keyboard.type("The lake, at six");
    await a.keyboard.press("Enter");
    const picture = b.locator(".messages .picture");
    await b.waitForFunction(() => document.querySelector(".messages .picture img")?.naturalWidth > 0);
    const shown = await picture.locator("img").evaluate(({ alt, naturalWidth, naturalHeight, clientWidth, clientHeight }) => ({ alt, naturalWidth, naturalHeight, clientWidth, clientHeight }));
    assert.equal(shown.alt, "Picture from Ana");
    assert.ok(shown.naturalHeight > shown.naturalWidth, "turned as the photo says");
    assert.ok(shown.naturalHeight <= 1600 && shown.naturalHeight > 500, JSON.stringify(shown));
    const { file, bytes } = await got(bob);
    assert.deepEqual([file.kind, file.name, file.width, file.height], ["picture", "", shown.naturalWidth, shown.naturalHeight]);
    assert.ok(Math.abs(shown.clientWidth / shown.clientHeight - file.width / file.height) < 0.02, "its room is kept");
    assert.ok(bytes.length <= FILE_BYTES_MAX && bytes.length > 5000, `${bytes.length} bytes`);
    for (const note of ["Exif", "EXIF", "GPS", "XMP", "IMG_"]) assert.equal(bytes.includes(note), false, note);
    await b.locator(".chats .preview", { hasText: "Picture: The lake, at six" }).waitFor();
    // Opened large, closed, and the focus is where it was.
    await picture.focus();
    await b.keyboard.press("Enter");
    await b.locator("dialog img.large").waitFor();
    await accessible(b, "a picture, large");
    await b.keyboard.press("Escape");
    await b.locator("dialog").waitFor({ state: "detached" });
    assert.equal(await picture.evaluate((one) => one === document.activeElement), true);
    await picture.click();
    const copy = await saved(b, () => b.locator("dialog").getByRole("button", { name: "Save" }).click());
    assert.equal(copy.name, "picture.webp");
    assert.ok(copy.bytes.equals(bytes));
    // The other way: pasted, in few colours, partly transparent; then something else, dropped.
    await b.evaluate(async () => {
      const canvas = new OffscreenCanvas(300, 200), context = canvas.getContext("2d");
      context.fillStyle = "#c00";
      context.fillRect(20, 20, 100, 100);
      const data = new DataTransfer();
      data.items.add(new File([await canvas.convertToBlob()], "image.png", { type: "image/png" }));
      document.querySelector(".composer textarea").dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
    });
    await ready(b, "Picture, ");
    await b.keyboard.press("Enter");
    await a.locator(".messages .theirs .picture img").waitFor();
    assert.deepEqual([(await got(ana)).file.width, (await got(ana)).file.name], [300, ""]);
    await b.evaluate(() => {
      const data = new DataTransfer();
      data.items.add(new File(["%PDF-1.7 the figures"], "report.pdf", { type: "application/pdf" }));
      for (const type of ["dragover", "drop"]) document.querySelector(".messages").dispatchEvent(new DragEvent(type, { dataTransfer: data, bubbles: true, cancelable: true }));
    });
    await ready(b, "File report.pdf, 20 bytes");
    await b.keyboard.press("Enter");
    const pdf = await saved(a, () => a.getByRole("button", { name: "Save report.pdf" }).click());
    assert.deepEqual([pdf.name, pdf.bytes.toString()], ["report.pdf", "%PDF-1.7 the figures"]);
    await a.locator(".chats .preview", { hasText: "File report.pdf" }).waitFor();
    await a.keyboard.press("Control+k");
    await a.keyboard.type("report");
    await a.locator(".found a", { hasText: "File report.pdf" }).waitFor();
    await a.keyboard.press("Escape");
    // Answered, and deleted for both; there is nothing to edit.
    await act(b, row(b, "The lake"), "Reply");
    await write(b, "how beautiful");
    await a.locator(".quote", { hasText: "Picture: The lake, at six" }).waitFor();
    await row(a, "The lake, at six").first().focus();
    await a.keyboard.press("Enter");
    assert.deepEqual(await a.getByRole("menuitem", { name: "Edit" }).count(), 0);
    await a.keyboard.press("Escape");
    await act(a, row(a, "The lake, at six").first(), "Delete...");
    await a.getByRole("button", { name: "For both" }).click();
    await b.locator(".messages").getByText("Message deleted").first().waitFor();
    assert.equal(await b.locator(".messages .theirs .picture").count(), 0);
    await assert.rejects(bob.call("GET", `/v1/blobs/${file.id}`), /no_such_file/);
    await end();
  });

  test("files: what is too large is refused, with the reason and the limit", async () => {
    const { ana, bob, a, b, end } = await friends();
    await chat(a, "Bob");
    await choose(a, "big.bin", "application/octet-stream", Buffer.alloc(FILE_BYTES_MAX + 1));
    await a.locator("#alert", { hasText: "The file has 64,001 bytes; at most 64,000 bytes go through the network" }).waitFor();
    assert.equal(await a.locator(".context:visible").count(), 0);
    // A picture with more pixels than are unpacked, two colours, few bytes.
    const huge = Buffer.from(await a.evaluate(async () => {
      const [width, height] = [15_000, 9_000];
      const line = new Uint8Array(1 + width / 8);
      const packed = await new Response(new ReadableStream({ start(to) { for (let row = 0; row < height; row += 1) to.enqueue(line); to.close(); } }).pipeThrough(new CompressionStream("deflate"))).arrayBuffer();
      const table = Array.from({ length: 256 }, (_, byte) => { for (let bit = 0; bit < 8; bit += 1) byte = byte & 1 ? 0xedb88320 ^ (byte >>> 1) : byte >>> 1; return byte; });
      const chunk = (name, data) => {
        const bytes = new Uint8Array(12 + data.length), view = new DataView(bytes.buffer);
        view.setUint32(0, data.length);
        bytes.set([...name].map((letter) => letter.charCodeAt(0)), 4);
        bytes.set(data, 8);
        view.setUint32(8 + data.length, ~bytes.subarray(4, 8 + data.length).reduce((sum, byte) => table[(sum ^ byte) & 255] ^ (sum >>> 8), -1));
        return bytes;
      };
      const head = new Uint8Array(13), view = new DataView(head.buffer);
      view.setUint32(0, width);
      view.setUint32(4, height);
      head[8] = 1;
      return [...new Uint8Array(await new Blob([Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10), chunk("IHDR", head), chunk("IDAT", new Uint8Array(packed)), chunk("IEND", new Uint8Array())]).arrayBuffer())];
    }));
    await choose(a, "huge.png", "image/png", huge);
    await a.locator("#alert", { hasText: "The picture has 15,000 x 9,000 pixels" }).waitFor();
    // A caption has a limit of its own; what was written is not lost.
    await choose(a, "full.bin", "application/octet-stream", Buffer.alloc(FILE_BYTES_MAX, 7));
    await ready(a, "File full.bin, 64.0 KB");
    await a.locator(".composer textarea").fill("x".repeat(1025));
    await a.keyboard.press("Enter");
    await a.locator("#alert", { hasText: "The text has 1,025 bytes; 1,024 fit beside a file." }).waitFor();
    await a.locator(".composer textarea").fill("x".repeat(1024));
    // Nobody is there: it says what it waits for, in words and without a percentage.
    await bob.kill();
    await a.keyboard.press("Enter");
    const progress = a.locator(".own progress");
    await progress.waitFor();
    assert.match(await progress.getAttribute("aria-valuetext"), /^Waiting on this computer: /);
    assert.doesNotMatch(await row(a, "full.bin").textContent(), /%/);
    await accessible(a, "a file that waits");
    const sentence = (state) => a.evaluate((state) => import("/page/words.js").then((words) => words.sentence(state, "Bob")), state);
    const parts = { of: 4, stamped: 2, held: 0, delivered: 0 };
    assert.equal(await sentence({ name: "queued", reason: "stamping", parts }), "Waiting on this computer: 2 of 4 stamps made");
    assert.equal(await sentence({ name: "queued", reason: "no_peers", parts }), "Waiting on this computer: no peers yet");
    assert.equal(await sentence({ name: "sent", reason: null, parts: { ...parts, held: 3 } }), "Left this computer: 3 of 4 parts held");
    await bob.start();
    await b.locator(".bar").waitFor({ state: "hidden" });
    await chat(b, "Ana");
    await b.locator(".theirs", { hasText: "full.bin" }).waitFor();
    await progress.waitFor({ state: "detached" });
    assert.ok((await got(bob)).bytes.equals(Buffer.alloc(FILE_BYTES_MAX, 7)));
    assert.ok((await ana.call("GET", "/v1/conversations")).conversations[0].last_message.state.parts.of >= 4);
    await end();
  });

  test("files: hostile ones are harmless, and can still be saved", async () => {
    const { bob, a, end } = await friends();
    await chat(a, "Bob");
    const broken = Buffer.concat([Buffer.from("OggS\0\x02"), Buffer.alloc(22), Buffer.from("OpusHead\x01\x01"), Buffer.alloc(400, 0xaa)]);
    await give(bob, "<img src=x onerror=alert(1)>.svg", Buffer.from("<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'><script>alert(2)</script></svg>"));
    await give(bob, "huge.png", pngHead(30_000, 30_000));
    await give(bob, "cut.png", pngHead(640, 480));
    await give(bob, "", broken, { duration_ms: 5000, peaks: [0, 255, 7] });
    await give(bob, "a\u202Egnp.exe", Buffer.from("MZ"));
    await a.locator(".theirs", { hasText: "agnp.exe" }).waitFor();
    // The one that claims to be too large is not looked at; the one that is cut says so.
    await row(a, "huge.png").getByRole("button", { name: "Save huge.png" }).waitFor();
    await a.getByText("This picture cannot be shown.").waitFor();
    assert.equal(await a.locator(".messages img, .messages svg script, .messages iframe, .messages object, .messages embed").count(), 0);
    assert.doesNotMatch(await a.locator(".messages").textContent(), /[\u202a-\u202e]/u);
    const svg = await saved(a, () => row(a, "onerror").getByRole("button", { name: /^Save/ }).click());
    assert.match(svg.bytes.toString(), /^<svg/);
    assert.doesNotMatch(svg.name, /[<>/\u202e]/u);
    const cut = await saved(a, () => a.getByRole("button", { name: "Save cut.png" }).click());
    assert.ok(cut.bytes.equals(pngHead(640, 480)));
    await accessible(a, "hostile files");
    await a.locator(".messages .voice button").click();
    await a.getByText("This voice note cannot be played.").waitFor();
    const note = await saved(a, () => act(a, row(a, "cannot be played"), "Save the file"));
    assert.ok(note.bytes.equals(broken));
    assert.equal(note.name, "voice.ogg");
    await narrow(a, "hostile files");
    await end();
  });

  test("files: a voice note, by keyboard alone", async () => {
    const { ana, bob, a, b, end } = await friends({ bob: { colorScheme: "dark" } });
    // What the page asked the browser for, to look at.
    for (const page of [a, b]) {
      await page.evaluate(() => {
        globalThis.heard = [];
        globalThis.streams = [];
        const { play } = HTMLMediaElement.prototype, { getUserMedia } = MediaDevices.prototype;
        HTMLMediaElement.prototype.play = function () { globalThis.heard.push(this); return play.call(this); };
        MediaDevices.prototype.getUserMedia = async function (wanted) { if (globalThis.refusal) throw new DOMException("no", globalThis.refusal); const stream = await getUserMedia.call(this, wanted); globalThis.streams.push(stream); return stream; };
      });
    }
    const microphones = () => a.evaluate(() => globalThis.streams.map((stream) => stream.getTracks()[0].readyState));
    const spoke = (seconds) => a.waitForFunction((seconds) => Number(document.querySelector("[role=timer]")?.textContent.match(/^0:(\d\d)/)?.[1]) >= seconds, seconds);
    await chat(a, "Bob");
    await a.locator(".composer textarea").focus();
    // Each failure has its own words.
    for (const [name, words] of [["NotAllowedError", "does not let this page use the microphone"], ["NotFoundError", "No microphone was found."], ["NotReadableError", "another program has it"]]) {
      await a.evaluate((name) => { globalThis.refusal = name; }, name);
      await tabTo(a, "Record a voice note");
      await a.keyboard.press("Enter");
      await a.locator("#alert", { hasText: words }).waitFor();
      await a.locator(".composer textarea").waitFor();
    }
    await a.evaluate(() => { globalThis.refusal = ""; document.querySelector("#alert button").click(); });
    // Taken back: nothing stays, and the microphone is free.
    await a.locator(".composer textarea").focus();
    await tabTo(a, "Record a voice note");
    await a.keyboard.press("Enter");
    await spoke(1);
    await accessible(a, "recording");
    await narrow(a, "recording");
    await a.keyboard.press("Escape");
    await a.locator(".composer textarea").waitFor();
    assert.equal(await a.locator(".context:visible").count(), 0);
    assert.deepEqual(await microphones(), ["ended"]);
    // A microphone that is pulled out: what there was is kept.
    await tabTo(a, "Record a voice note");
    await a.keyboard.press("Enter");
    await spoke(1);
    await a.evaluate(() => globalThis.streams[1].getTracks()[0].dispatchEvent(new Event("ended")));
    await a.locator("#alert", { hasText: "The microphone is gone." }).waitFor();
    await ready(a, /Voice note 0:0\d/);
    await tabTo(a, "Remove");
    await a.keyboard.press("Enter");
    await a.locator(".context:visible").waitFor({ state: "detached" });
    // Stopped, heard before it goes, sent.
    await a.evaluate(() => document.querySelector("#alert button")?.click());
    await a.locator(".composer textarea").focus();
    await tabTo(a, "Record a voice note");
    await a.keyboard.press("Enter");
    await spoke(2);
    await tabTo(a, "Stop");
    await a.keyboard.press("Enter");
    await ready(a, /Voice note 0:0[2-9]/);
    await accessible(a, "a voice note to be sent");
    await a.locator(".composer textarea").focus();
    await a.keyboard.press("Enter");

    await b.locator(".chats .preview", { hasText: /Voice note 0:0[2-9]/ }).waitFor();
    let asked = 0;
    b.on("request", (request) => { if (request.url().includes("/v1/blobs/")) asked += 1; });
    await chat(b, "Ana");
    const voice = b.locator(".messages .theirs .voice");
    await voice.waitFor();
    assert.equal(asked, 0, "it is read when it is heard");
    await b.getByRole("listitem", { name: /^Ana, .* Voice note 0:0[2-9]/ }).focus();
    await b.keyboard.press("F6");
    assert.equal(await b.evaluate(() => document.activeElement.tagName), "TEXTAREA");
    await b.locator(".messages .theirs").last().focus();
    await tabTo(b, "Play");
    await b.keyboard.press("Enter");
    await b.waitForFunction(() => globalThis.heard.length === 1 && globalThis.heard[0].currentTime > 0.5);
    assert.equal(await voice.getByRole("button").getAttribute("aria-pressed"), "true");
    await b.waitForFunction(() => globalThis.heard[0].ended || globalThis.heard[0].currentTime === 0);
    await b.waitForFunction(() => document.querySelector(".messages .voice button").ariaPressed === "false");
    await tabTo(b, "Position");
    for (let presses = 0; presses < 10; presses += 1) await b.keyboard.press("ArrowRight");
    await b.waitForFunction(() => globalThis.heard[0].currentTime > 0.9 && /^0:01 of 0:0\d$/.test(document.querySelector(".messages .voice input").getAttribute("aria-valuetext")));

    // Its row changes: what is heard, and what has the focus, stays.
    const { id } = (await ana.call("GET", "/v1/conversations")).conversations[0].last_message;
    await ana.call("PUT", `/v1/messages/${id}/reaction`, { emoji: "👍" });
    await b.locator(".reactions").waitFor();
    await ana.call("PUT", `/v1/messages/${id}/reaction`, { emoji: null });
    await b.locator(".reactions").waitFor({ state: "detached" });
    assert.equal(await voice.getByRole("slider").evaluate((one) => one === document.activeElement), true);
    assert.equal(asked, 1);

    const { file, bytes } = await got(bob);
    const { packets, seconds } = noteOf(bytes);
    assert.equal(new Set(packets.map((one) => one.length)).size, 1, "its length says nothing of what was said");
    assert.ok(Math.abs(seconds * 1000 - file.voice.duration_ms) < 60, `${seconds} s, said to be ${file.voice.duration_ms} ms`);
    assert.ok(Math.abs(await b.evaluate(() => globalThis.heard[0].duration) - seconds) < 0.1, "as long as the browser finds it");
    assert.deepEqual([file.kind, file.name, file.voice.peaks.length, Math.max(...file.voice.peaks)], ["voice", "", 64, 255]);
    // The longest one fits, with either length of packets.
    const sizes = await a.evaluate(async () => { const { ogg } = await import("/page/ogg.js"); return [[60, 120], [20, 40]].map(([ms, bytes]) => ogg(Array(30_000 / ms).fill(Array(bytes).fill(1)), ms * 48, 312, 30 * 48_000).size); });
    for (const size of sizes) assert.ok(size > 60_000 && size <= FILE_BYTES_MAX, `${size} bytes`);

    // Both of them on the screen, for the book.
    await choose(a, "lake.jpg", "image/jpeg", await landscape(a, 2400, 1500));
    await ready(a, "Picture, ");
    await a.locator(".composer textarea").fill("This is where we are now");
    await a.keyboard.press("Enter");
    await b.waitForFunction(() => document.querySelector(".messages .picture img")?.naturalWidth > 0);
    assert.equal(await b.locator(".messages .picture img").getAttribute("alt"), "lake.webp");
    await write(b, "I hear the water!");
    await row(a, "I hear the water!").waitFor();
    await a.locator(".own .delivery.delivered").last().waitFor();
    for (const [page, kind] of [[a, "light"], [b, "dark"]]) {
      await accessible(page, `files, ${kind}`);
      await shot(page, `files-${kind}`);
      await narrow(page, `files, ${kind}`);
    }
    // Out of sight, it is let go of.
    const url = await b.locator(".messages .picture img").getAttribute("src");
    const there = () => b.evaluate((url) => new Promise((done) => { const image = new Image(); image.onload = () => done(true); image.onerror = () => done(false); image.src = url; }), url);
    assert.equal(await there(), true);
    await b.locator("nav").getByText("Flock").click();
    await b.locator("svg.flock").waitFor();
    assert.equal(await there(), false);
    assert.deepEqual(new Set(await microphones()), new Set(["ended"]));
    assert.equal((await got(bob)).file.kind, "picture");
    assert.equal((await ana.call("GET", "/v1/conversations")).conversations[0].unread, 0);
    await end();
  });
}
