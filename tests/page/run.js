/**
 * The page in a real browser, against real nodes: what a person does, and what a hostile message tries.
 *
 *   node run.js [WORD]      only tests whose name has WORD
 *
 * Ends with a line `N passed, M failed`. Needs Chromium (CHROMIUM, or chromium on the path) and the debug build of
 * `starling` (or STARLING_BIN).
 */

import { strict as assert } from "node:assert";
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import lighthouse from "lighthouse";
import { chromium } from "playwright-core";

import { fileTests } from "./files.js";
import { DEADLINE_MS, Home, network } from "./nodes.js";

const require = createRequire(import.meta.url);
const AXE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const CHROMIUM = process.env.CHROMIUM ?? execFileSync("sh", ["-c", "command -v chromium || command -v chromium-browser"], { encoding: "utf8" }).trim();
/** Chromium as root in a machine without a way out: it looks for nothing by itself. Its microphone and camera are made up. */
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
  "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"];
const SHOTS = process.env.SHOTS;

const browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
const tests = [];
const test = (name, run) => tests.push({ name, run });

/** A browser of its own at a home's page; any error of its scripts fails the test. */
async function browse(home, { link = home.link(), ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1100, height: 720 }, permissions: ["clipboard-read", "clipboard-write"], reducedMotion: "reduce", ...options });
  context.setDefaultTimeout(DEADLINE_MS);
  const page = await context.newPage();
  page.faults = [];
  page.on("pageerror", (error) => page.faults.push(error.stack));
  page.on("console", (message) => { if (message.type() === "error" && !/Failed to load resource|WebSocket connection/.test(message.text())) page.faults.push(message.text()); });
  page.on("request", (request) => { if (!/^(http|ws):\/\/127\.0\.0\.1:|^blob:/.test(request.url())) page.faults.push(`it asked for ${request.url()}`); });
  await page.goto(link);
  return page;
}

/** Two people who know each other, made by the command line; their pages. */
async function friends(options = {}) {
  const name = network();
  const ana = new Home(name), bob = new Home(name);
  await Promise.all([ana.start(), bob.start()]);
  ana.run("id", "--name", "Ana");
  bob.run("id", "--name", "Bob");
  bob.run("add", ana.run("invite", "--for", "Bob"), "--name", "Ana", "--wait", "ready");
  bob.run("send", "Ana", "the first one", "--wait", "delivered");
  const [a, b] = await Promise.all([browse(ana, options.ana), browse(bob, options.bob)]);
  return { ana, bob, a, b, async end() { for (const page of [a, b]) { assert.deepEqual(page.faults, []); await page.context().close(); } await Promise.all([ana.remove(), bob.remove()]); } };
}

const chat = async (page, name) => { await page.locator(".chats a", { hasText: name }).click(); await page.locator(".composer textarea").waitFor(); };
const write = async (page, text) => { await page.locator(".composer textarea").fill(text); await page.keyboard.press("Enter"); };
const says = (page, text) => page.locator(".messages .text", { hasText: text }).waitFor();

/** The messages that begin with `start` are these, in this order, once all have come. */
const reads = (page, start, texts) => page.waitForFunction(([start, texts]) => {
  const shown = [...document.querySelectorAll(".messages .text")].map((one) => one.textContent).filter((text) => text.startsWith(start));
  return JSON.stringify(shown) === JSON.stringify(texts);
}, [start, texts]);

/** No violation that axe knows, on what is shown now. */
async function accessible(page, what) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
  assert.deepEqual(violations.map((one) => `${what}: ${one.id}: ${one.nodes.map((node) => `${node.html} ${node.failureSummary}`).join("; ")}`), []);
}

async function shot(page, name) {
  if (!SHOTS) return;
  mkdirSync(SHOTS, { recursive: true });
  await page.screenshot({ path: join(SHOTS, `${name}.png`) });
}

test("the whole first run, by keyboard alone", async () => {
  const name = network();
  const ana = new Home(name), bob = new Home(name);
  await Promise.all([ana.start(), bob.start()]);
  const a = await browse(ana);
  await a.getByRole("heading", { name: "What should friends call you?" }).waitFor();
  await a.waitForFunction(() => document.activeElement instanceof HTMLInputElement);
  assert.equal(new URL(a.url()).hash, "", "the code does not stay in the address");
  await accessible(a, "name");
  await a.keyboard.type("Ana");
  await a.keyboard.press("Enter");
  await a.getByRole("heading", { name: "Protect this computer's copy" }).waitFor();
  await accessible(a, "protection");
  await tabTo(a, "None, I understand");
  await a.keyboard.press("Enter");
  await a.getByRole("heading", { name: "Your first conversation" }).waitFor();
  await tabTo(a, "Invite a friend");
  await a.keyboard.press("Enter");
  await tabTo(a, "For whom?");
  await a.keyboard.type("Bob");
  await a.keyboard.press("Enter");
  const link = await a.getByLabel("The invite", { exact: true }).inputValue();
  assert.match(link, /^starling:/i);
  await accessible(a, "invite");
  await tabTo(a, "Go on");
  await a.keyboard.press("Enter");

  const b = await browse(bob);
  await b.getByRole("heading", { name: "What should friends call you?" }).waitFor();
  await b.waitForFunction(() => document.activeElement instanceof HTMLInputElement);
  await b.keyboard.type("Bob");
  await b.keyboard.press("Enter");
  await b.getByRole("heading", { name: "Protect this computer's copy" }).waitFor();
  await b.waitForFunction(() => document.activeElement instanceof HTMLInputElement);
  await b.keyboard.type("correct horse battery");
  await b.keyboard.press("Tab");
  await b.keyboard.type("correct horse battery");
  await b.keyboard.press("Enter");
  await b.getByRole("heading", { name: "Your first conversation" }).waitFor();
  await tabTo(b, "I have an invite");
  await b.keyboard.press("Enter");
  await tabTo(b, "Paste the invite, or drop a picture of its QR code here");
  await b.keyboard.insertText(`> ${link.slice(0, 60)}\n> ${link.slice(60)}`);
  await tabTo(b, "Look at it");
  await b.keyboard.press("Enter");
  await b.getByRole("heading", { name: "From Ana" }).waitFor();
  await accessible(b, "preview");
  await tabTo(b, "Add");
  await b.keyboard.press("Enter");
  await b.locator(".composer textarea").waitFor();
  await b.locator(".composer textarea").focus();
  await b.keyboard.type("Hello from Bob");
  await b.keyboard.press("Enter");
  await says(b, "Hello from Bob");
  await b.locator(".delivery.delivered").waitFor();

  const chats = a.locator(".chats a", { hasText: "Bob" });
  await chats.locator(".badge").waitFor();
  await a.keyboard.press("Alt+ArrowDown");
  await says(a, "Hello from Bob");
  await a.locator(".composer textarea").focus();
  await a.keyboard.type("Hello from Ana");
  await a.keyboard.press("Enter");
  await says(b, "Hello from Ana");
  await chats.locator(".badge").waitFor({ state: "detached" });
  for (const page of [a, b]) { assert.deepEqual(page.faults, []); await page.context().close(); }
  await Promise.all([ana.remove(), bob.remove()]);
});

/** Presses Tab until what has this name has the focus, as somebody without a mouse does. */
async function tabTo(page, name) {
  for (let presses = 0; presses < 80; presses += 1) {
    const label = await page.evaluate(() => { const now = document.activeElement; return now ? now.getAttribute("aria-label") || (now.id && document.querySelector(`label[for="${now.id}"]`)?.textContent) || now.textContent : ""; });
    if (label?.trim() === name) return;
    await page.keyboard.press("Tab");
  }
  assert.fail(`'${name}' cannot be reached by Tab`);
}

test("a conversation both ways, with its states in words and shapes", async () => {
  const { a, b, end } = await friends();
  await chat(a, "Bob");
  await chat(b, "Ana");
  await write(a, "hello Bob");
  await write(a, "two\nlines");
  await says(b, "hello Bob");
  await says(b, "lines");
  await write(b, "three");
  await says(a, "three");
  const own = a.locator("li.own", { hasText: "hello Bob" });
  await own.locator(".delivery.delivered").waitFor();
  assert.match(await own.locator(".delivery").getAttribute("title"), /^Delivered .*, Bob's device confirmed it$/);
  const named = await own.evaluate((row) => row.getAttribute("aria-labelledby").split(" ").map((id) => document.getElementById(id).textContent).join(" "));
  assert.match(named, /^You, .* hello Bob .*Delivered .*Bob's device confirmed it/s);
  const texts = await a.locator(".messages .text").allTextContents();
  assert.deepEqual(texts, ["the first one", "hello Bob", "two\nlines", "three"]);
  await own.locator(".delivery").click();
  await a.getByRole("heading", { name: "Message details" }).waitFor();
  await a.getByText("delivered: Bob's device confirmed it").waitFor();
  await accessible(a, "details");
  await end();
});

test("what was read is shown as two ticks in a box, to who tells what they read", async () => {
  const { ana, bob, a, b, end } = await friends();
  bob.run("receipts", "on");
  await a.goto(`${ana.url}/#/settings`);
  const tells = a.getByLabel("Tell contacts what I have read, and show me what they have read");
  assert.equal(await tells.isChecked(), false);
  await Promise.all([a.waitForResponse((answer) => answer.url().endsWith("/v1/settings") && answer.request().method() === "PATCH"), tells.check()]);
  assert.match(ana.run("receipts"), /^On: /);
  await a.getByText("Both or neither: who does not tell does not see.").waitFor();
  await accessible(a, "settings");
  await chat(b, "Ana");
  await chat(a, "Bob");
  await write(a, "did you see?");
  await says(b, "did you see?");
  const own = a.locator("li.own", { hasText: "did you see?" });
  await own.locator(".delivery.read").waitFor();
  assert.match(await own.locator(".delivery").getAttribute("title"), /^Read \d/);
  const named = await own.evaluate((row) => row.getAttribute("aria-labelledby").split(" ").map((id) => document.getElementById(id).textContent).join(" "));
  assert.match(named, /^You, .* did you see\?.*Read \d/s);
  await accessible(a, "read");
  await own.locator(".delivery").click();
  await a.getByText("read by Bob").waitFor();
  // What is read here is read everywhere, and nobody is told by who does not tell.
  ana.run("receipts", "off");
  await chat(a, "Bob");
  bob.run("send", "Ana", "and you?", "--wait", "delivered");
  await says(a, "and you?");
  await a.waitForFunction(() => !document.querySelector(".chats .badge"));
  await write(a, "I did");
  await says(b, "I did");
  const theirs = b.locator("li.own", { hasText: "and you?" });
  await theirs.locator(".delivery.delivered").waitFor();
  assert.equal(await theirs.locator(".delivery.read").count(), 0);
  await end();
});

test("a node that stops and comes back: the draft stays, what was written goes out once", async () => {
  const { ana, a, b, end } = await friends();
  await chat(a, "Bob");
  await chat(b, "Ana");
  await a.locator(".composer textarea").fill("a draft");
  await ana.kill();
  const bar = a.locator(".bar");
  await bar.getByText("Node stopped.").waitFor();
  assert.match(await bar.textContent(), /Start it: starling/);
  await accessible(a, "stopped");
  assert.equal(await a.locator(".composer textarea").inputValue(), "a draft");
  await a.keyboard.press("Enter");
  await a.locator("li.pending", { hasText: "a draft" }).waitFor();
  await ana.start();
  await bar.waitFor({ state: "hidden" });
  await says(b, "a draft");
  await a.locator("li.pending").waitFor({ state: "detached" });
  assert.equal(await b.locator(".messages .text", { hasText: "a draft" }).count(), 1);
  await write(b, "welcome back");
  await says(a, "welcome back");
  await a.locator(".composer textarea").fill("kept over a reload");
  await a.reload();
  await a.locator(".composer textarea").waitFor();
  assert.equal(await a.locator(".composer textarea").inputValue(), "kept over a reload");
  await end();
});

test("somebody away gets all of it, in order, once", async () => {
  const { ana, b, a, end } = await friends();
  await chat(b, "Ana");
  await ana.kill();
  for (let number = 1; number <= 5; number += 1) await write(b, `while away ${number}`);
  await b.locator("li.own", { hasText: "while away 5" }).waitFor();
  await ana.start();
  await chat(a, "Bob");
  // They may come in any order, and stand in the order in which they were written.
  await reads(a, "while away", [1, 2, 3, 4, 5].map((number) => `while away ${number}`));
  await end();
});

test("search over people and all that was said, as one types", async () => {
  const { a, b, end } = await friends();
  await chat(b, "Ana");
  await write(b, "the key lies under the third stone");
  await a.locator(".chats .preview", { hasText: "third stone" }).waitFor();
  await a.keyboard.press("Control+k");
  await a.keyboard.type("STONE thi");
  await a.locator(".found a", { hasText: "third" }).click();
  await says(a, "third stone");
  assert.match(await a.evaluate(() => document.activeElement.textContent), /third stone/, "the message that was found has the focus");
  await a.keyboard.press("Control+k");
  await a.keyboard.press("Control+a");
  await a.keyboard.type("nothing like this");
  await a.locator(".found").getByText("No messages found").waitFor();
  await accessible(a, "search");
  await end();
});

test("numbers compared by words, and by a picture of the code", async () => {
  const { a, b, end } = await friends();
  const compare = async (page, name) => { await chat(page, name); await page.locator(".chathead").getByText("Contact").click(); await page.getByText("Compare security numbers").click(); await page.locator(".qr").waitFor(); };
  await compare(a, "Bob");
  await compare(b, "Ana");
  const words = (page) => page.locator(".words li").allTextContents();
  assert.deepEqual(await words(a), await words(b));
  assert.equal((await words(a)).length, 8);
  await accessible(a, "verify");
  await shot(a, "verify-light");
  // Bob photographs Ana's screen.
  const picture = await a.locator(".qr").screenshot();
  await b.locator("input[type=file]").setInputFiles({ name: "screen.png", mimeType: "image/png", buffer: picture });
  await b.locator(".view").getByText(/^ Verified/).waitFor();
  await b.locator(".chats .verified").waitFor();
  // Somebody else's picture marks nothing.
  await a.locator("input[type=file]").setInputFiles({ name: "own.png", mimeType: "image/png", buffer: picture });
  await a.getByText("This is your own code.").waitFor();
  await a.locator("input[type=file]").setInputFiles({ name: "x.png", mimeType: "image/png", buffer: Buffer.from("no picture") });
  await a.getByText("The picture cannot be read").waitFor();
  await a.getByRole("button", { name: "They match" }).click();
  await a.locator(".chats .verified").waitFor();
  await end();
});

test("lock and unlock, in every tab", async () => {
  const { ana, a, end } = await friends();
  const other = await a.context().newPage();
  await other.goto(ana.link());
  await other.locator(".chats a").waitFor();
  await a.goto(`${ana.url}/#/settings`);
  await a.getByLabel("New passphrase").fill("correct horse battery");
  await a.getByLabel("Once more").fill("correct horse battery");
  await a.getByRole("button", { name: "Protect" }).click();
  await a.getByRole("button", { name: "Lock now" }).click();
  for (const page of [a, other]) await page.getByRole("heading", { name: "Locked" }).waitFor();
  assert.equal(await other.getByText("the first one").count(), 0, "nothing of it stays on the screen");
  await accessible(a, "locked");
  await shot(a, "locked-light");
  await a.getByLabel("Passphrase").fill("wrong horse");
  await a.keyboard.press("Enter");
  await a.getByText("That passphrase does not open this vault.").waitFor();
  await a.getByLabel("Passphrase").fill("correct horse battery");
  await a.getByRole("button", { name: /^Unlock/ }).click();
  await a.locator(".chats a").waitFor();
  await other.locator(".chats a").waitFor();
  await end();
});

test("a link is good once, another port cannot read the token, a session can be ended", async () => {
  const { ana, a, b, end } = await friends();
  const link = ana.link();
  const first = await browse(ana, { link });
  await first.locator(".chats a").waitFor();
  const second = await browse(ana, { link });
  await second.getByRole("heading", { name: "This page belongs to the node on this computer." }).waitFor();
  await second.getByText("This link was used before").waitFor();
  await accessible(second, "login");
  // A page of another program on this computer, in the same browser.
  const server = createServer((_, response) => { response.setHeader("content-type", "text/html"); response.end("<title>other</title>"); });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  const foreign = await first.context().newPage();
  await foreign.goto(`http://127.0.0.1:${server.address().port}/`);
  const seen = await foreign.evaluate(async (url) => {
    const ask = (path, init) => fetch(url + path, init).then((answer) => answer.text(), () => "refused");
    const socket = await new Promise((done) => { const one = new WebSocket(`${url.replace("http", "ws")}/v1/events/ws?ticket=x`); one.onopen = () => done("open"); one.onerror = () => done("refused"); });
    return { stored: [sessionStorage.length, localStorage.length, document.cookie], health: await ask("/v1/health"), status: await ask("/v1/status", { headers: { Authorization: "Bearer x" } }), socket, framed: await new Promise((done) => { const frame = document.createElement("iframe"); frame.src = url; frame.onload = () => { try { done(frame.contentDocument ? "read" : "closed"); } catch { done("closed"); } }; document.body.append(frame); }) };
  }, ana.url);
  assert.deepEqual(seen, { stored: [0, 0, ""], health: "refused", status: "refused", socket: "refused", framed: "closed" });
  server.close();
  // Signed out from the other browser: at once.
  await a.goto(`${ana.url}/#/settings`);
  await a.getByRole("button", { name: "Sign it out" }).first().click();
  await first.getByRole("heading", { name: "This page belongs to the node on this computer." }).waitFor();
  assert.equal(await first.evaluate(() => sessionStorage.length + localStorage.length), 0);
  for (const page of [first, second]) await page.context().close();
  await b.locator(".chats a").waitFor();
  await end();
});

test("kept signed in, a browser needs no link after it was closed", async () => {
  const { ana, a, end } = await friends();
  await a.goto(`${ana.url}/#/settings`);
  await a.getByLabel(/Keep this browser signed in/).check();
  await a.waitForFunction(() => localStorage.getItem("starling-session") && !sessionStorage.getItem("starling-session"));
  const again = await a.context().newPage();
  await again.goto(ana.url);
  await again.locator(".chats a").waitFor();
  await end();
});

test("hostile texts and names are shown harmless", async () => {
  const { bob, a, b, end } = await friends();
  const texts = ["<img src=x onerror=alert(1)><script>alert(2)</script>", "javascript:alert(1) data:text/html,<b>", "\u202Egnp.exe\u202C \u2066isolated", `Z${"\u0301".repeat(600)}end`, "https://example.org/\u202Emoc.live and http://user:pass@evil.example/", "\u0007\u001b[31mred\u0000", "نص عربي with English"];
  await chat(b, "Ana");
  for (const text of texts) await write(b, text);
  await chat(a, "Bob");
  await says(a, "with English");
  assert.equal(await a.locator(".messages img, .messages script, .messages iframe").count(), 0);
  const hrefs = await a.locator(".messages .text a").evaluateAll((links) => links.map((one) => [one.getAttribute("href"), one.rel, one.target]));
  for (const [href, rel, target] of hrefs) { assert.match(href, /^https?:/); assert.equal(rel, "noopener noreferrer"); assert.equal(target, "_blank"); }
  const shown = (await a.locator(".messages .text").allTextContents()).join("\n");
  assert.doesNotMatch(shown, /[\u0000-\u0008\u001b\u202a-\u202e\u2066-\u2069]/u);
  const tall = await a.locator(".messages li", { hasText: "end" }).first().boundingBox();
  assert.ok(tall.height < 120, `marks pile up to ${tall.height} px`);
  // A link asks before it leads out, and says where.
  await a.locator(".messages .text a").last().click();
  await a.getByRole("heading", { name: "Leave this page?" }).waitFor();
  assert.match(await a.locator("dialog").textContent(), /evil\.example/);
  await a.getByRole("button", { name: "Stay" }).click();
  bob.run("contacts", "rename", "Ana", "<b>A\u0301na</b>");
  await b.locator(".chats a", { hasText: "<b>" }).waitFor();
  await accessible(a, "hostile");
  await end();
});

test("reply, react, edit, delete for both", async () => {
  const { a, b, end } = await friends();
  await chat(a, "Bob");
  await chat(b, "Ana");
  const act = async (page, text, name) => { const row = page.locator(".messages li", { has: page.locator(".text", { hasText: text }) }); await row.focus(); await page.keyboard.press("Enter"); await page.getByRole("menuitem", { name, exact: true }).click(); };
  await act(a, "the first one", "Reply");
  await write(a, "my answer");
  await b.locator(".quote", { hasText: "the first one" }).waitFor();
  await act(b, "my answer", "React with 👍");
  await a.locator(".reactions", { hasText: "👍" }).waitFor();
  await act(b, "my answer", "Take back 👍");
  await a.locator(".reactions").waitFor({ state: "detached" });
  await act(a, "my answer", "Edit");
  await a.locator(".composer textarea").fill("my better answer");
  await a.keyboard.press("Enter");
  await says(b, "my better answer");
  await b.locator(".meta", { hasText: "edited" }).waitFor();
  await accessible(b, "edited");
  await act(a, "my better answer", "Delete...");
  await a.getByRole("button", { name: "For both" }).click();
  await b.locator(".messages").getByText("Message deleted").waitFor();
  assert.equal(await b.getByText("my better answer").count(), 0);
  await end();
});

test("a long text goes in parts and arrives whole", async () => {
  const { a, b, end } = await friends();
  await chat(a, "Bob");
  await chat(b, "Ana");
  const long = Array.from({ length: 900 }, (_, number) => `line ${number}`).join("\n");
  await write(a, long);
  await says(b, "line 899");
  assert.equal(await b.locator(".messages .text").last().textContent(), long);
  await a.locator(".composer textarea").fill("x".repeat(64_001));
  await a.keyboard.press("Enter");
  await a.getByText("64,000 fit in a message").waitFor();
  assert.equal((await a.locator(".composer textarea").inputValue()).length, 64_001, "it is not lost");
  await end();
});

test("mute, block, disappearing messages, a request", async () => {
  const { ana, a, b, end } = await friends();
  await chat(a, "Bob");
  await a.locator(".chathead").getByText("Contact").click();
  await a.getByLabel("Mute: no notifications").check();
  await a.locator(".chats").getByText("muted").waitFor({ state: "attached" });
  await a.getByLabel("Messages you write disappear after").selectOption("86400");
  await accessible(a, "contact");
  await a.getByRole("button", { name: "Open the conversation" }).click();
  await a.locator(".chip", { hasText: "1 day" }).waitFor();
  await write(a, "gone tomorrow");
  await chat(b, "Ana");
  await b.locator("li.theirs", { hasText: "gone tomorrow" }).getByText("disappears").waitFor({ state: "attached" });
  await a.locator(".chathead").getByText("Contact").click();
  await a.getByRole("button", { name: "Block" }).click();
  await a.getByRole("button", { name: "Unblock" }).waitFor();
  await write(b, "can you hear me");
  await b.locator("li.own", { hasText: "can you hear me" }).locator(".delivery.held").waitFor();
  assert.equal(await a.getByText("can you hear me").count(), 0, "nothing of theirs is shown");
  await a.getByRole("button", { name: "Unblock" }).click();
  await a.getByRole("button", { name: "Block", exact: true }).waitFor();
  const zoe = new Home(ana.network);
  await zoe.start();
  zoe.run("id", "--name", "Zoe");
  const [, address] = /(starling:\S+)/i.exec(ana.run("id"));
  zoe.run("add", address, "--name", "Ana");
  await a.locator("nav .badge").waitFor();
  await a.locator("nav").getByText("Requests").click();
  await a.getByText("Zoe").waitFor();
  await accessible(a, "requests");
  await a.getByRole("button", { name: "Accept" }).click();
  await a.locator(".chats a", { hasText: "Zoe" }).waitFor();
  await zoe.remove();
  await end();
});

test("every screen is accessible, light and dark, wide and 320 px, at twice the size of text", async () => {
  const dark = { colorScheme: "dark" };
  const { ana, bob, a, b, end } = await friends({ bob: dark });
  await chat(a, "Bob");
  await chat(b, "Ana");
  await write(a, "Made it home. The train stood an hour on the bridge, with the best view of the lake all year.");
  await says(b, "best view");
  await write(b, "Lucky you! Here it rained all day.");
  await says(a, "rained");
  for (const [home, page] of [[ana, a], [bob, b]]) {
    const kind = page === a ? "light" : "dark";
    await page.locator(".chats a").waitFor();
    const id = (await page.locator(".chats a").getAttribute("href")).split("/")[2];
    await chat(page, page === a ? "Bob" : "Ana");
    await write(page, page === a ? "Is dinner still at seven?" : "At seven. Bring the book, if you are done with it.");
    await page.locator(".delivery.delivered").first().waitFor();
    for (const route of ["", `c/${id}`, "invite", "add", "requests", `contact/${id.replace("c_", "p_")}`, "flock", "settings", "keys"]) {
      await page.goto(`${home.url}/#/${route}`);
      await page.locator(".loading").waitFor({ state: "detached" });
      await accessible(page, `${kind} /${route}`);
      await shot(page, `${(route || "home").split("/")[0]}-${kind}`);
      await page.setViewportSize({ width: 320, height: 640 });
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(wide <= 320, `${kind} /${route} is ${wide} px wide in 320`);
      await shot(page, `${(route || "home").split("/")[0]}-${kind}-narrow`);
      await page.setViewportSize({ width: 1100, height: 720 });
    }
    await page.evaluate(() => document.documentElement.style.setProperty("font-size", "200%"));
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth) <= 1100);
  }
  await end();
});

test("the flock says what is wrong, why, and what to do, in words and shapes", async () => {
  const home = new Home(network());
  await home.start();
  home.run("id", "--name", "Ana");
  const page = await browse(home);
  await page.locator(".listhead").waitFor();
  await page.goto(`${home.url}/#/flock`);
  const lone = page.locator("li", { hasText: "not connected to anyone" });
  await lone.getByText("Fails:").waitFor();
  assert.equal(await lone.locator("svg.icon").count(), 1, "a shape, for who does not see the colour");
  for (const way of ["an invite from a friend: starling add <invite>", "someone on this network: not looked for, as mDNS is off", "an address you know: starling peers add <address>"]) await lone.getByText(way).waitFor();
  await page.locator("li", { hasText: "Well:" }).getByText("vault opens").waitFor();
  await accessible(page, "lonely flock");
  const said = home.run("id", "--json");
  const friend = new Home(home.network);
  await friend.start();
  friend.run("peers", "add", JSON.parse(said).addresses[0]);
  await page.getByText("1 peer answered in the last minute").waitFor();
  await lone.waitFor({ state: "detached" });
  const traffic = page.locator("dd", { hasText: "a day is planned for 288 MB each way" });
  assert.match(await traffic.textContent(), /^[\d.]+ (bytes|KB|MB) sent, [\d.]+ (bytes|KB|MB) received/);
  assert.ok(await traffic.locator("progress").evaluate((bar) => bar.value > 0 && bar.max === 288_000_000));
  assert.deepEqual(page.faults, []);
  await page.context().close();
  await Promise.all([home.remove(), friend.remove()]);
});

test("what goes wrong is said in the words of the command line", async () => {
  const name = network();
  const ana = new Home(name), bob = new Home(name), carol = new Home(name);
  await Promise.all([ana.start(), bob.start(), carol.start()]);
  for (const [home, who] of [[ana, "Ana"], [bob, "Bob"], [carol, "Carol"]]) home.run("id", "--name", who);
  const good = bob.run("invite"), own = ana.run("invite", "--for", "Zoe");
  carol.run("peers", "add", JSON.parse(ana.run("id", "--json")).addresses[0]);
  await bob.stop();
  const a = await browse(ana);
  await a.locator(".listhead").waitFor();
  const look = async (link, words) => {
    await a.goto(`${ana.url}/#/add`);
    await a.getByLabel("Paste the invite, or drop a picture of its QR code here").fill(link);
    await a.getByRole("button", { name: "Look at it" }).click();
    await a.getByText(words).waitFor();
  };
  await look(`${good.slice(0, 80)}${good[80] === "a" ? "b" : "a"}${good.slice(81)}`, "One or more characters are wrong. Copy it again.");
  await look(good.slice(0, -40), /^Invite is cut: \d+ of \d+ bytes arrived\.$/);
  await look(own, "This is your own invite. It is for somebody else.");
  ana.run("invite", "revoke", "Zoe");
  await look(own, "You withdrew this invite: it lets nobody in any more.");
  await look(good, "From Bob");
  await a.getByRole("button", { name: "Add", exact: true }).click();
  // Bob's node is gone: nobody has his keys.
  const words = "waiting for Bob's keys: asked 1 node. Bob's node must come online once";
  await a.locator(".chathead", { hasText: words }).waitFor();
  await write(a, "hello?");
  await a.locator("li.own", { hasText: "hello?" }).getByText("Waiting on this computer: for Bob's keys").waitFor();
  await accessible(a, "no keys");
  await look(good, /^You used this invite on /);
  await a.goto(`${ana.url}/#/flock`);
  await a.locator("li", { hasText: `1 message to Bob is not delivered: ${words}` }).getByText("Warning:").waitFor();
  await carol.stop();
  await a.locator(".state", { hasText: "Looking for peers" }).waitFor();
  await a.locator(".chats a").click();
  await a.locator(".chathead", { hasText: "waiting for Bob's keys: no peers yet" }).waitFor();
  assert.deepEqual(a.faults, []);
  await a.context().close();
  await Promise.all([ana.remove(), bob.remove(), carol.remove()]);
});

fileTests({ test, friends, chat, write, accessible, shot, tabTo });

test("weight and first paint", async () => {
  const { a, end } = await friends();
  await a.locator(".chats a").waitFor();
  const [sent, bytes] = await a.evaluate(() => performance.getEntriesByType("resource").concat(performance.getEntriesByType("navigation")).filter((one) => /\/page\/|\/$/.test(new URL(one.name).pathname)).reduce(([packed, plain], one) => [packed + one.encodedBodySize, plain + one.decodedBodySize], [0, 0]));
  assert.ok(bytes > 20_000 && bytes <= 150 * 1024, `the page weighs ${bytes} bytes`);
  assert.ok(sent < bytes / 2, `${sent} bytes of ${bytes} come: it is not packed`);
  console.log(`    ${bytes} bytes in all, ${sent} packed; first contentful paint ${Math.round(await a.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? 0))} ms`);
  await end();
});

test("Lighthouse finds it accessible", async () => {
  const name = network();
  const ana = new Home(name);
  await ana.start();
  ana.run("id", "--name", "Ana");
  const profile = mkdtempSync(join(tmpdir(), "starling-lighthouse-"));
  const child = spawn(CHROMIUM, ["--headless", ...FLAGS, "--remote-debugging-port=0", `--user-data-dir=${profile}`, "about:blank"], { stdio: ["ignore", "ignore", "pipe"] });
  try {
    const port = await new Promise((found, failed) => {
      let said = "";
      child.stderr.on("data", (piece) => { said += piece; const line = /DevTools listening on ws:\/\/127\.0\.0\.1:(\d+)\//.exec(said); if (line) found(Number(line[1])); });
      child.once("exit", () => failed(new Error(said)));
    });
    const over = await chromium.connectOverCDP(`http://127.0.0.1:${port}`);
    const page = await over.contexts()[0].newPage();
    await page.goto(ana.link());
    await page.locator(".listhead").waitFor();
    // A tab of Lighthouse's own is another tab: it needs the session that is kept.
    await page.goto(`${ana.url}/#/settings`);
    await page.getByLabel(/Keep this browser signed in/).check();
    // Asked by the clock: a tab that nobody looks at paints no frames.
    await page.waitForFunction(() => localStorage.getItem("starling-session"), null, { polling: 100 });
    await page.close();
    const { lhr } = await lighthouse(`${ana.url}/#/settings`, { port, logLevel: "error", disableStorageReset: true, onlyCategories: ["accessibility"] });
    const failures = Object.values(lhr.audits).filter((audit) => audit.score === 0).map((audit) => audit.id);
    console.log(`    accessibility ${Math.round(lhr.categories.accessibility.score * 100)}`);
    assert.ok(lhr.categories.accessibility.score >= 0.95, failures.join(", "));
    assert.equal(lhr.finalDisplayedUrl.endsWith("#/settings"), true);
    await over.close();
  } finally {
    child.kill();
    await new Promise((ended) => child.exitCode !== null || child.signalCode !== null ? ended() : child.once("exit", ended));
    await ana.remove();
    rmSync(profile, { recursive: true, force: true });
  }
});

const wanted = process.argv[2] ?? "";
let passed = 0, failed = 0;
for (const { name, run } of tests.filter((one) => one.name.includes(wanted))) {
  const began = Date.now();
  try {
    await run();
    passed += 1;
    console.log(`ok     ${name} (${Date.now() - began} ms)`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED ${name} (${Date.now() - began} ms)\n${error.stack ?? error}`);
    const folder = process.env.FAILED_SHOTS;
    if (folder) {
      mkdirSync(folder, { recursive: true });
      let number = 0;
      for (const context of browser.contexts()) for (const page of context.pages()) await page.screenshot({ path: join(folder, `${name.replace(/\W+/g, "-").slice(0, 40)}-${number++}.png`) }).catch(() => writeFileSync(join(folder, "closed"), ""));
    }
    for (const context of browser.contexts()) await context.close();
  }
}
await browser.close();
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);
