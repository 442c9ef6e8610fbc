// Takes the pictures in docs/images: some minutes of a small evening, looked at in light, in dark, and on a phone.
//   node shots.js [seconds]        300 fills the charts; TRUNKLINE_BIN and CHROMIUM_BIN as for the tests
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Backend, Gateway, ROOT, browser, tab } from "./rig.js";

const SECONDS = Number(process.argv[2] ?? 300);
const FOLDER = process.env.SHOTS ?? join(ROOT, "docs/images");
const NAMES = ["ann", "bob", "cid", "dora", "emil", "fay", "gus", "hana", "ivo", "jana", "karim", "lea", "mio", "nils", "olga", "pia",
  "quinn", "rosa", "sven", "tara", "uwe", "vera", "wim", "xenia", "yusuf", "zoe"];
const LOOKS = [
  { name: "light", colorScheme: "light", viewport: { width: 1040, height: 860 } },
  { name: "dark", colorScheme: "dark", viewport: { width: 1040, height: 860 } },
  { name: "narrow", colorScheme: "light", viewport: { width: 360, height: 780 }, deviceScaleFactor: 1.5 },
];

/** People come, talk more and less, and leave; one of them has chosen a name to be looked at. */
export async function evening(gateway, until) {
  const clients = new Map();
  const enter = async (user, endpoint) => {
    const client = await gateway.enter(user, { endpoint, lobby: String(1 + (user.length % 4)) });
    clients.set(`${user} ${endpoint}`, client);
    void client.closed.then(() => clients.get(`${user} ${endpoint}`) === client && clients.delete(`${user} ${endpoint}`));
  };
  for (const user of NAMES) await enter(user, "lobby");
  for (const user of NAMES.slice(0, 9)) await enter(user, "trade");
  await enter(`<img src=x onerror="alert(1)">`, "lobby");
  for (let tick = 0; !until(); tick += 1) {
    const wave = 1 + Math.sin(tick / 90) + Math.max(0, Math.sin(tick / 23)) * 2;
    for (const [key, client] of clients) {
      const share = key.endsWith("lobby") ? 0.25 : 0.1;
      if (Math.random() < share * wave) client.send("x".repeat(20 + Math.floor(Math.random() * 200)));
    }
    const one = NAMES[tick % NAMES.length];
    if (tick % 40 === 7) clients.get(`${one} lobby`)?.close(1000, "bye");
    if (tick % 130 === 60) clients.get(`${one} trade`)?.send("/quit");
    if (tick % 170 === 90) clients.get(`${one} lobby`)?.terminate();
    // Whoever has left comes back, one after the other.
    const away = [...NAMES.map((user) => [user, "lobby"]), ...NAMES.slice(0, 9).map((user) => [user, "trade"])]
      .find(([user, endpoint]) => !clients.has(`${user} ${endpoint}`));
    if (tick % 25 === 20 && away) await enter(...away);
    await sleep(200);
  }
}

/** Three endpoints: one talks much, one little, and the backend of the third is away. */
export async function stage() {
  const backend = await Backend.start();
  const away = await Backend.start();
  await away.stop();
  const nowhere = `[endpoints.archive]\npath = "/archive/{year}"\nbackend = "ws://127.0.0.1:${away.port}/"\n` +
    `[endpoints.archive.token]\nalgorithms = ["HS256"]\nsecret = "${"-".repeat(64)}"`;
  return [backend, await Gateway.start(backend, { endpoints: ["lobby", "trade"], last: nowhere })];
}

export async function shoot(chromium, gateway, folder, prepare = async () => {}) {
  mkdirSync(folder, { recursive: true });
  for (const { name, ...options } of LOOKS) {
    const { page, context } = await tab(chromium, options);
    await prepare(page);
    await page.goto(gateway.page);
    await page.locator("#session-rows tr").nth(9).waitFor();
    // One is unfolded, so that all there is can be seen on one picture.
    for (const card of await page.locator(".endpoint").all()) {
      const [wanted, open] = [(await card.innerText()).startsWith("lobby"), (await card.getAttribute("open")) !== null];
      if (wanted !== open) await card.locator("summary").click();
    }
    await page.locator(".endpoint[open] .line[d]").first().waitFor({ state: "attached" });
    // Rates are told once there are two overviews.
    await page.waitForFunction(() => [...document.querySelectorAll(".stat.in span")].some((rate) => !["0", ""].includes(rate.textContent)));
    await page.screenshot({ path: join(folder, `page-${name}.png`) });
    await context.close();
  }
}

async function main() {
  const [backend, gateway] = await stage();
  const chromium = await browser();
  let isOver = false;
  const done = evening(gateway, () => isOver);
  await sleep(SECONDS * 1000);
  await shoot(chromium, gateway, FOLDER);
  isOver = true;
  await done;
  await chromium.close();
  await gateway.kill();
  await backend.stop();
}

if (process.argv[1] === new URL(import.meta.url).pathname) await main();
