// The page for operators in a real Chromium, against the real program with a real backend and clients.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { ADMIN_TOKEN, Backend, Gateway, browser, demo, echo, tab } from "./rig.js";

const HOSTILE = `<img src=x onerror="alert(1)">`;

let chromium, backend, gateway, tabs;

before(async () => {
  chromium = await browser();
});
after(() => chromium?.close());
beforeEach(async () => {
  [tabs, gateway] = [[], null];
  backend = await Backend.start();
});
afterEach(async () => {
  for (const { context } of tabs) await context.close();
  await gateway?.kill();
  await backend.stop();
});

/** Opens the page. */
async function open(options) {
  const opened = await tab(chromium, options);
  tabs.push(opened);
  opened.page.on("request", (request) => {
    if (new URL(request.url()).host !== gateway.admin) opened.faults.push(`asked elsewhere: ${request.url()}`);
  });
  await opened.page.goto(gateway.page);
  return opened;
}

const sessions = (page) => page.locator("#session-rows tr");
const closes = (page) => page.locator("#close-rows tr");
const isShown = (locator) => locator.waitFor({ state: "visible" });
const isGone = (locator) => locator.waitFor({ state: "detached" });
/** The row of a user. */
const of = (rows, user) => rows.filter({ has: rows.page().getByText(user, { exact: true }) });

/** Waits until a locator finds so many. */
async function are(locator, number) {
  await locator.nth(number).waitFor({ state: "detached" });
  if (number > 0) await isShown(locator.nth(number - 1));
}

/** Presses Tab until that has the focus. */
async function tabTo(page, locator) {
  for (let pressed = 0; pressed < 60; pressed += 1) {
    if (await locator.evaluate((node) => node === document.activeElement)) return;
    await page.keyboard.press("Tab");
  }
  assert.fail(`${locator} cannot be reached by Tab`);
}

test("endpoints, links and sessions are shown as they come and go", async () => {
  gateway = await Gateway.start(backend);
  const { page, faults } = await open();
  await isShown(page.getByText("Nobody is connected."));
  const ann = await gateway.enter("ann");
  await gateway.enter("bob");
  await echo(ann, "hello");
  await are(sessions(page), 2);
  await isShown(page.locator("#endpoints").getByText("link up"));
  await isShown(of(sessions(page), "ann").getByText("1 · 5 B").first());
  await isShown(of(sessions(page), "ann").getByText("lobby_id=7"));
  ann.send("/quit");
  await are(sessions(page), 1);
  const closed = of(closes(page), "ann");
  await isShown(closed.getByText("closed by backend"));
  await isShown(closed.getByText("4000 the lobby is closed"));
  assert.deepEqual(faults, []);
});

test("a user is found by a part of the name, and so is why that user was closed", async () => {
  gateway = await Gateway.start(backend);
  const clients = await Promise.all(["ann", "anna", "bob"].map((user) => gateway.enter(user)));
  clients[2].send("/quit");
  await clients[2].closed;
  const { page, faults } = await open();
  await are(sessions(page), 2);
  await page.getByLabel("Find a user").fill("nna");
  await are(sessions(page), 1);
  await isShown(of(sessions(page), "anna"));
  await are(closes(page), 0);
  await page.getByLabel("Find a user").fill("bo");
  await isShown(page.getByText("No live session of a user with “bo” in the name."));
  await isShown(of(closes(page), "bob"));
  assert.deepEqual(faults, []);
});

test("a user's name is text, whatever it looks like", async () => {
  gateway = await Gateway.start(backend);
  const users = [HOSTILE, "\u202Ereversed", "__proto__", "<script>alert(2)</script>", "&lt;b&gt;"];
  const clients = await Promise.all(users.map((user) => gateway.enter(user, { lobby: encodeURIComponent("<b>bold</b>") })));
  const { page, faults } = await open();
  await are(sessions(page), users.length);
  for (const user of users) await isShown(of(sessions(page), user));
  await of(sessions(page), HOSTILE).getByRole("button").click();
  await isShown(page.getByRole("dialog").getByText(`Close ${HOSTILE}?`));
  await page.getByRole("button", { name: "Close on lobby" }).click();
  assert.deepEqual(await clients[0].closed, { code: 1008, reason: "closed by an operator" });
  await isShown(of(closes(page), HOSTILE));
  await page.getByLabel("Find a user").fill(HOSTILE);
  await isShown(page.getByText(`No live session of a user with “${HOSTILE}” in the name.`));
  assert.equal(await page.locator("main img, main script, main b:not(.key b), dialog img").count(), 0);
  assert.deepEqual(faults, []);
});

test("markup made of a string is refused by the browser itself", async () => {
  gateway = await Gateway.start(backend);
  const { page, faults } = await open();
  const refused = await page.evaluate(() => {
    try {
      document.body.innerHTML = "<b>x</b>";
    } catch (error) {
      return error.name;
    }
  });
  assert.equal(refused, "TypeError");
  assert.match(faults.join("\n"), /requires 'TrustedHTML'/);
});

test("a session is closed by keyboard alone, its client is told, and the cause is shown", async () => {
  gateway = await Gateway.start(backend);
  const [ann, bob] = [await gateway.enter("ann"), await gateway.enter("bob")];
  const { page, faults } = await open();
  await are(sessions(page), 2);
  await page.keyboard.press("/");
  await page.keyboard.type("ann");
  await are(sessions(page), 1);
  const button = page.getByRole("button", { name: "Close ann on lobby …" });

  // Enter on what has the focus first does no harm.
  await tabTo(page, button);
  await page.keyboard.press("Enter");
  await isShown(page.getByRole("dialog"));
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor({ state: "hidden" });
  // Nor does Escape; and the focus comes back.
  await page.keyboard.press("Enter");
  await isShown(page.getByRole("dialog"));
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "hidden" });
  await echo(ann, "still here");

  await page.keyboard.press("Enter");
  await tabTo(page, page.getByRole("button", { name: "Close on lobby" }));
  await page.keyboard.press("Enter");
  assert.deepEqual(await ann.closed, { code: 1008, reason: "closed by an operator" });
  await isShown(page.getByText("One session of ann is closed."));
  await are(sessions(page), 0);
  await isShown(of(closes(page), "ann").getByText("closed by operator"));
  await isShown(of(closes(page), "ann").getByText("1008 closed by an operator"));
  await echo(bob, "not me");
  assert.deepEqual(faults, []);
});

test("a user is closed everywhere, and one endpoint is looked at alone", async () => {
  gateway = await Gateway.start(backend, { endpoints: ["lobby", "trade"] });
  const clients = await Promise.all(["lobby", "trade"].map((endpoint) => gateway.enter("ann", { endpoint })));
  await gateway.enter("bob");
  const { page, faults } = await open();
  await are(sessions(page), 3);
  await page.getByLabel("Endpoint", { exact: true }).selectOption("trade");
  await are(sessions(page), 1);
  await page.getByRole("button", { name: "Close ann on trade …" }).click();
  await page.getByRole("button", { name: "Close everywhere" }).click();
  await isShown(page.getByText("2 sessions of ann are closed."));
  for (const client of clients) assert.equal((await client.closed).code, 1008);
  await page.getByLabel("Endpoint", { exact: true }).selectOption("");
  await are(sessions(page), 1);
  await are(closes(page), 2);
  assert.deepEqual(faults, []);
});

test("more sessions than fit are shown in pages", async () => {
  gateway = await Gateway.start(backend);
  const users = Array.from({ length: 60 }, (_, number) => `user-${number}`);
  await Promise.all(users.map((user) => gateway.enter(user)));
  const { page, faults } = await open();
  const seen = new Set();
  for (const length of [25, 25, 10]) {
    await are(sessions(page), length);
    for (const name of await page.locator("#session-rows .name").allTextContents()) seen.add(name);
    const next = page.getByRole("button", { name: "Next" });
    if (length < 25) assert.ok(await next.isDisabled());
    else await next.click();
    await page.waitForFunction((number) => document.getElementById("page-number").textContent === `Page ${number}`,
      length < 25 ? 3 : Math.floor(seen.size / 25) + 1);
  }
  assert.deepEqual([...seen].sort(), [...users].sort());
  await page.getByRole("button", { name: "Previous" }).click();
  await are(sessions(page), 25);
  assert.deepEqual(faults, []);
});

test("what went through is drawn, and each second can be read by keyboard", async () => {
  gateway = await Gateway.start(backend);
  const ann = await gateway.enter("ann");
  const { page, faults } = await open();
  const plot = page.getByRole("img", { name: /^Messages a second/ });
  await isShown(plot);
  const busiest = () => plot.locator(".line").first().evaluate((path) => path.getAttribute("d") ?? "");
  for (let number = 0; number < 5; number += 1) await echo(ann, "hello");
  // The line leaves the ground: its highest point is at less than the full height.
  await page.waitForFunction(() => {
    const path = document.querySelector(".plot .line").getAttribute("d") ?? "";
    return path.split(/[ML]/).slice(1).some((point) => parseFloat(point.split(" ")[1]) < 100);
  });
  assert.match(await busiest(), /^M/);
  await plot.focus();
  const read = new Set();
  for (let back = 0; back < 12; back += 1) {
    await page.keyboard.press("ArrowLeft");
    read.add(await plot.getAttribute("aria-label"));
  }
  assert.ok([...read].some((label) => /\d\d:\d\d:\d\d: in [1-9]/.test(label)), [...read].join("\n"));
  await isShown(page.getByText("p99").first());
  assert.deepEqual(faults, []);
});

test("a backend that is away is shown, and that it is back", async () => {
  gateway = await Gateway.start(backend, { more: `outage.grace = "1h"` });
  await gateway.enter("ann");
  const { page, faults } = await open();
  await isShown(page.getByText("link up"));
  await backend.stop();
  await isShown(page.getByText("link down"));
  await isShown(page.getByText("The backend has not heard everything for"));
  assert.equal(await page.title(), "lobby down – Trunkline");
  await are(sessions(page), 1);
  backend = await Backend.start(backend.port);
  await isShown(page.getByText("link up"));
  assert.deepEqual(faults, []);
});

test("a gateway that is gone is reported, and found again when it is back", async () => {
  gateway = await Gateway.start(backend);
  await gateway.enter("ann");
  const { page, faults } = await open();
  await are(sessions(page), 1);
  assert.deepEqual(faults, []);
  await gateway.kill();
  await isShown(page.getByText("The gateway does not answer."));
  await isShown(page.getByText(/^Next attempt in \d+ s\.$/));
  assert.equal(await page.locator("#state").textContent(), "no answer");
  // The browser itself writes down each request that nobody answers; nothing else is.
  assert.deepEqual(faults.filter((fault) => !fault.includes("ERR_CONNECTION")), []);
  const adminPort = gateway.admin.split(":")[1];
  gateway = await Gateway.start(backend, { adminPort });
  await page.getByText("The gateway does not answer.").waitFor({ state: "hidden" });
  await isShown(page.getByText("Nobody is connected."));
  assert.equal(await page.locator("#state").textContent(), "live");
});

test("where a token is needed it is asked for, and kept in this tab only", async () => {
  gateway = await Gateway.start(backend, { admin: `token_file = "admin.token"` });
  await gateway.enter("ann");
  const { page, context, faults } = await open();
  await isShown(page.getByRole("dialog", { name: "Who are you?" }));
  await page.keyboard.press("Escape");
  await page.keyboard.type("a token that is another one");
  await page.keyboard.press("Enter");
  await isShown(page.getByText("The gateway does not take that one."));
  assert.equal(await sessions(page).count(), 0);
  await page.keyboard.type(ADMIN_TOKEN);
  await page.keyboard.press("Enter");
  await are(sessions(page), 1);
  await page.reload();
  await are(sessions(page), 1);
  assert.deepEqual(await page.evaluate(() => [localStorage.length, document.cookie, location.href]), [0, "", gateway.page]);
  const other = await context.newPage();
  await other.goto(gateway.page);
  await isShown(other.getByRole("dialog", { name: "Who are you?" }));
  assert.deepEqual(faults.filter((fault) => !fault.includes("401")), []);
});

test("it fits a phone, whatever users are called", async () => {
  gateway = await Gateway.start(backend, { endpoints: ["lobby", "trade"] });
  for (const user of ["ann", "x".repeat(250), HOSTILE]) (await gateway.enter(user)).send("/quit");
  await gateway.enter("y".repeat(250));
  const { page, faults } = await open({ viewport: { width: 360, height: 740 } });
  await are(sessions(page), 1);
  await are(closes(page), 3);
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360);
  await sessions(page).getByRole("button").click();
  const { x, width } = await page.getByRole("dialog").boundingBox();
  assert.ok(x >= 0 && x + width <= 360);
  assert.deepEqual(faults, []);
});

test("the demo is tried in the browser, by two clients beside each other; no other gateway has that", async () => {
  gateway = await Gateway.start(backend);
  for (const path of ["try", "try/clients", "page/try.js"]) assert.equal((await fetch(gateway.page + path)).status, 404, path);
  const tried = await demo();
  try {
    const { page, context, faults } = await tab(chromium);
    tabs.push({ context });
    await page.goto(tried.page);
    const [ann, bob] = ["ann", "bob"].map((user) => page.getByRole("region", { name: user }));
    for (const client of [ann, bob]) await isShown(client.getByText("connected", { exact: true }));
    await ann.getByLabel("What ann says").fill("<b>hello</b>");
    await page.keyboard.press("Enter");
    for (const client of [ann, bob]) await isShown(client.getByText("ann: <b>hello</b>"));
    await bob.getByRole("button", { name: "Leave" }).click();
    await isShown(ann.getByText("* bob has left"));
    await isShown(bob.getByText("closed: 1000"));
    await bob.getByRole("button", { name: "Connect" }).click();
    await isShown(ann.getByText("* bob has joined").last());
    assert.deepEqual(faults, []);
  } finally {
    await tried.stop();
  }
});
