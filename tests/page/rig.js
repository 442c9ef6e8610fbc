// What the tests of the page share: the gateway as a process, a backend and clients by Node's `ws`, a browser.
//
// Nothing here waits for a fixed time: whoever waits, waits for something to happen, with a deadline that only a
// failure reaches.
import { spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { WebSocket, WebSocketServer } from "ws";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const TRUNKLINE = process.env.TRUNKLINE_BIN ?? join(ROOT, "target/debug/trunkline");
const CHROMIUM = process.env.CHROMIUM_BIN ?? "/usr/bin/chromium";
/** Whether the page is taken from `shell/page`, so that one can work on it without building the gateway each time. */
const FROM_DISK = process.env.PAGE_FROM_DISK === "1";
const SECRET = "a secret of 64 bytes, which is long enough for every HMAC we have";
export const DEADLINE = 30_000;

/** A token for a user, by an implementation that is not the gateway's. */
function token(user) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const claims = { sub: user, exp: Math.floor(Date.now() / 1000) + 3600 };
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
  return `${signed}.${createHmac("sha256", SECRET).update(signed).digest("base64url")}`;
}

/** A backend: says to each user what that user has said, and ends the session of whoever says `/quit`. */
export class Backend {
  #server;
  #links = new Set();

  static async start(port = 0) {
    const backend = new Backend();
    backend.#server = new WebSocketServer({ host: "127.0.0.1", port });
    backend.#server.on("connection", (link) => {
      backend.#links.add(link);
      link.on("error", () => {});
      link.on("message", (frame) => {
        const { event, user, data } = JSON.parse(frame);
        if (event !== "message") return;
        const quits = data === "/quit";
        const rest = quits ? { action: "close", status: 4000, reason: "the lobby is closed" } : { action: "send", data };
        link.send(JSON.stringify({ ...rest, user }));
      });
    });
    await once(backend.#server, "listening");
    backend.port = backend.#server.address().port;
    return backend;
  }

  /** It is gone, and does not listen any more. */
  async stop() {
    for (const link of this.#links) link.terminate();
    await new Promise((done) => this.#server.close(done));
  }
}

/** The real program. */
export class Gateway {
  /**
   * With endpoints of these names at the backend, `more` in each of them, and `last` after them; `admin` are further keys
   * of `[admin]`, and 0 as `adminPort` is a free one.
   */
  static async start(backend, { endpoints = ["lobby"], admin = "", adminPort = 0, more = "", last = "" } = {}) {
    const gateway = new Gateway();
    gateway.folder = mkdtempSync(join(tmpdir(), "trunkline-page-"));
    const file = join(gateway.folder, "trunkline.toml");
    writeFileSync(join(gateway.folder, "admin.token"), ADMIN_TOKEN);
    writeFileSync(file, [
      `listen.address = "127.0.0.1:0"`, `drain.time = "100ms"`, `[admin]\naddress = "127.0.0.1:${adminPort}"\n${admin}`,
      `[log]\nlevel = "info"\nformat = "json"`, ...endpoints.map((name) => `
[endpoints.${name}]
path = "/${name}/{lobby_id}"
backend = "ws://127.0.0.1:${backend.port}/"
${more}
[endpoints.${name}.token]
algorithms = ["HS256"]
secret = "${SECRET}"`), last].join("\n"));
    gateway.process = spawn(TRUNKLINE, ["run", "--config", file], { stdio: ["ignore", "ignore", "pipe"] });
    const lines = createInterface({ input: gateway.process.stderr });
    gateway.said = [];
    const listening = new Promise((resolve, reject) => {
      lines.on("line", (line) => {
        gateway.said.push(line);
        if (line.includes('"listening"')) resolve(JSON.parse(line));
      });
      gateway.process.on("exit", () => reject(new Error(`it does not run:\n${gateway.said.join("\n")}`)));
    });
    const said = await listening;
    const address = (text) => /127\.0\.0\.1:\d+/.exec(text)[0];
    gateway.clients = address(said.clients);
    gateway.admin = address(said.admin);
    return gateway;
  }

  get page() {
    return `http://${this.admin}/`;
  }

  /** It is gone without a word. */
  async kill() {
    if (this.process.exitCode === null && this.process.signalCode === null) {
      const gone = once(this.process, "exit");
      this.process.kill("SIGKILL");
      await gone;
    }
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** A client that has been let in. Its `closed` resolves to what it was told. */
  async enter(user, { endpoint = "lobby", lobby = "7" } = {}) {
    const client = new WebSocket(`ws://${this.clients}/${endpoint}/${lobby}`, { headers: { Authorization: `Bearer ${token(user)}` } });
    client.on("error", () => {});
    client.closed = once(client, "close").then(([code, reason]) => ({ code, reason: reason.toString() }));
    await once(client, "open");
    return client;
  }
}

/** The demo, as a newcomer starts it. It is told to stop by `stop()`. */
export async function demo() {
  const process = spawn(TRUNKLINE, [], { stdio: ["ignore", "pipe", "inherit"] });
  const gone = once(process, "exit");
  const stop = async () => {
    process.kill("SIGKILL");
    await gone;
  };
  for await (const line of createInterface({ input: process.stdout })) {
    const found = /http:\/\/(127\.0\.0\.1:\d+)\/try/.exec(line);
    if (found) return { page: found[0], admin: found[1], stop };
  }
  throw new Error("the demo names no page");
}

export const ADMIN_TOKEN = "0123456789abcdef0123456789abcdef";

/** Says something, and hears it. */
export async function echo(client, text) {
  const heard = once(client, "message");
  client.send(text);
  await heard;
}

export async function browser() {
  if (!existsSync(CHROMIUM)) throw new Error(`${CHROMIUM} is not there; tests/page/run installs it`);
  // As root it has no sandbox; it looks at nothing but our own page.
  return chromium.launch({ executablePath: CHROMIUM, chromiumSandbox: process.getuid?.() !== 0 });
}

/** The file as it lies there, with the headers that the gateway gives to the one that it has. */
async function fromDisk(route) {
  const name = new URL(route.request().url()).pathname.replace(/^\/(page\/)?/, "") || "index.html";
  const response = await route.fetch();
  await route.fulfill({ response, body: readFileSync(join(ROOT, "shell/page", name)) });
}

/** A tab of its own, which writes down whatever goes wrong in it and whatever it asks for elsewhere. */
export async function tab(browser, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, locale: "en-GB", ...options });
  context.setDefaultTimeout(DEADLINE);
  if (FROM_DISK) await context.route(/\/(page\/[^/]*)?$/, fromDisk);
  const page = await context.newPage();
  const faults = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && faults.push(message.text()));
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("dialog", (dialog) => {
    faults.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  await page.addInitScript(() => document.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) =>
    console.error(`policy: ${violatedDirective} ${blockedURI}`)));
  return { page, context, faults };
}
