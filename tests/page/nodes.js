/** Real nodes for the browser's tests: loopback only, ports chosen by the system, gone with the test. */

import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const BINARY = process.env.STARLING_BIN ?? resolve(here, "../../target/debug/starling");
/** Longest that anything may take; far more than it needs, so that a slow machine is no failure. */
export const DEADLINE_MS = 60_000;

let networks = 0;
/** A network name that no other test uses. */
export const network = () => `page-${process.pid}-${networks++}`;

/** A person's computer: a data directory, and the node on it while it runs. */
export class Home {
  constructor(name) {
    this.folder = mkdtempSync(join(tmpdir(), "starling-page-"));
    this.network = name;
    this.port = 0;
    this.child = null;
  }

  get url() { return `http://127.0.0.1:${this.port}`; }

  #environment() {
    const { STARLING_LOG, XDG_DATA_HOME, DISPLAY, WAYLAND_DISPLAY, ...rest } = process.env;
    return { ...rest, HOME: this.folder, XDG_STATE_HOME: join(this.folder, "state"), STARLING_DATA: join(this.folder, "data"), TZ: "UTC" };
  }

  /** Starts the node and waits until it answers. A second start keeps the port, as a person's browser expects. */
  async start() {
    const more = ["up", "--json", "--exit-with-stdin", "--no-mdns", "--no-open", "--api-port", String(this.port), "--listen", "127.0.0.1:0", "--network", this.network];
    this.child = spawn(BINARY, more, { env: this.#environment(), stdio: ["pipe", "pipe", "inherit"] });
    const ended = new Promise((resolve) => this.child.once("exit", resolve));
    this.ended = ended;
    const lines = createInterface({ input: this.child.stdout });
    await new Promise((ready, failed) => {
      lines.on("line", (line) => {
        const said = JSON.parse(line);
        if (said.event === "ready") { this.port = Number(new URL(said.url).port); ready(); }
      });
      ended.then((code) => failed(new Error(`the node ended with ${code}`)));
    });
  }

  async stop() {
    this.child?.stdin.end();
    await this.ended;
    this.child = null;
  }

  async kill() {
    this.child?.kill("SIGKILL");
    await this.ended;
    this.child = null;
  }

  /** Runs a command to its end; what it printed. */
  run(...words) {
    const done = spawnSync(BINARY, words, { env: this.#environment(), encoding: "utf8", timeout: DEADLINE_MS });
    if (done.status !== 0) throw new Error(`starling ${words.join(" ")} ended with ${done.status}: ${done.stderr}`);
    return done.stdout.trim();
  }

  /** Asks its API: JSON, or bytes for a file. What it answers; an error that has the code, if it refuses. */
  async call(method, path, body) {
    const { url, token } = JSON.parse(readFileSync(join(this.folder, "data", "api.json"), "utf8"));
    const isFile = body instanceof Uint8Array;
    const response = await fetch(new URL(path, url), { method, headers: { Authorization: `Bearer ${token}`, "Content-Type": isFile ? "application/octet-stream" : "application/json" }, body: isFile || body === undefined ? body : JSON.stringify(body) });
    const bytes = Buffer.from(await response.arrayBuffer());
    if (!response.ok) throw new Error(`${method} ${path}: ${bytes}`);
    return response.headers.get("Content-Type").startsWith("application/json") ? JSON.parse(bytes) : bytes;
  }

  /** A one-use link to its page. */
  link() { return this.run("open", "--print"); }

  async remove() {
    if (this.child) await this.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
