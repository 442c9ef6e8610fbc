// The page for operators: asks the gateway every two seconds and shows what it says, for as long as somebody looks.
import { Away, Refused, get, path, post } from "./api.js";
import { fetchCloses, showCloses } from "./closes.js";
import { askForToken, askToClose } from "./dialogs.js";
import { element, find, say, set } from "./dom.js";
import { define, fetchSeries, forgetSeries, showEndpoints } from "./endpoints.js";
import { bytes, count, span } from "./format.js";
import { fetchSessions, firstPage, prepareSessions, showSessions } from "./sessions.js";

const EVERY_MS = 2000;
/** After the first failure it is tried again so much later; then each time twice that, up to the most. */
const [RETRY_MS, RETRY_MS_MAX] = [1000, 30_000];
const TYPED_MS = 200;
const SAID_MS = 8000;

const filter = { contains: "", endpoint: "" };
/** Times that it failed in a row. */
let failures = 0;
let started = null;
let processor = null;
let timer;
/** Counts turns, so that an answer to an older question than the last is not shown. */
let turns = 0;

/** Asks for everything and shows it, then again after a while. */
async function turn() {
  clearTimeout(timer);
  turns += 1;
  const mine = turns;
  try {
    await refresh(() => mine === turns);
    if (mine !== turns) return;
    failures = 0;
    find("trouble").hidden = true;
    document.body.classList.remove("stale");
  } catch (error) {
    if (mine !== turns) return;
    if (error instanceof Refused && error.status === 401) return authorize();
    if (error instanceof Refused && error.status === 404 && filter.endpoint !== "") return choose("");
    fail(error);
  }
  later(failures === 0 ? EVERY_MS : Math.min(RETRY_MS * 2 ** (failures - 1), RETRY_MS_MAX));
}

async function refresh(isLatest) {
  const { gateway, endpoints } = await get("/api/v1/overview");
  if (!isLatest()) return;
  if (started !== gateway.started_at) {
    forgetSeries(endpoints);
    [started, processor] = [gateway.started_at, null];
  }
  showGateway(gateway);
  showEndpoints(endpoints, gateway.now);
  offerEndpoints(endpoints);
  const asked = { ...filter };
  const [sessions, closes] = await Promise.all([fetchSessions(asked), fetchCloses(asked), fetchSeries(endpoints)]);
  if (!isLatest()) return;
  const counted = endpoints.filter(({ name }) => asked.endpoint === "" || asked.endpoint === name);
  showSessions(sessions, asked, counted.reduce((sum, { sessions }) => sum + sessions, 0), gateway.now);
  showCloses(closes, asked, gateway.now);
  const down = endpoints.filter(({ link }) => link.state === "down").map(({ name }) => name);
  document.title = down.length === 0 ? "Trunkline" : `${down.join(", ")} down – Trunkline`;
}

/** The next turn. Nothing is asked while nobody looks. */
function later(delay) {
  const due = Date.now() + delay;
  const tick = () => {
    if (document.hidden) return;
    const left = due - Date.now();
    if (left <= 0) return void turn();
    if (failures > 0) say(find("countdown"), `Next attempt in ${Math.ceil(left / 1000)} s.`);
    timer = setTimeout(tick, Math.min(left, 1000));
  };
  tick();
}

function fail(error) {
  failures += 1;
  const known = error instanceof Away || error instanceof Refused;
  // What is no answer's fault is this page's.
  if (!known) console.error(error);
  say(find("trouble").querySelector("p"), known ? error.message : `This page has failed: ${error.message}`);
  find("trouble").hidden = false;
  document.body.classList.add("stale");
  state("away", error instanceof Away ? "no answer" : "trouble");
  document.title = "No answer – Trunkline";
}

async function authorize() {
  state("waiting", "token needed");
  await askForToken();
  void turn();
}

function state(name, text) {
  set(find("state"), "data-state", name);
  say(find("state"), text);
}

function showGateway(gateway) {
  state(gateway.draining ? "draining" : "live", gateway.draining ? "draining" : "live");
  const used = { at: gateway.now, seconds: gateway.cpu_seconds };
  const share = processor && used.at > processor.at ? (used.seconds - processor.seconds) / ((used.at - processor.at) / 1000) : null;
  processor = used;
  const or = (value, text) => (value === null ? "–" : text(value));
  define(find("gateway"), [
    ["Version", gateway.version],
    ["Up", span((gateway.now - gateway.started_at) / 1000)],
    ["Clients", `${count(gateway.connections)} of ${count(gateway.connections_max)}`],
    ["Memory", or(gateway.resident_bytes, bytes)],
    ["Processor", or(share, (share) => `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`)],
    ["Descriptors", or(gateway.open_descriptors, (open) => `${count(open)} of ${or(gateway.max_descriptors, count)}`)],
  ]);
}

function offerEndpoints(endpoints) {
  const select = find("endpoint");
  const names = endpoints.map(({ name }) => name);
  find("where").hidden = names.length < 2;
  if (names.join("\n") === [...select.options].slice(1).map(({ value }) => value).join("\n")) return;
  select.replaceChildren(select.options[0], ...names.map((name) => element("option", { value: name }, name)));
  select.value = filter.endpoint;
}

function choose(endpoint) {
  filter.endpoint = endpoint;
  find("endpoint").value = endpoint;
  firstPage();
  void turn();
}

function tell(text) {
  const said = find("said");
  say(said, text);
  setTimeout(() => said.textContent === text && say(said, ""), SAID_MS);
}

async function close(session) {
  const whose = await askToClose(session);
  if (whose === null) return;
  try {
    const { closed } = whose === "user"
      ? await post("/api/v1/users/close", { user: session.user })
      : await post(path`/api/v1/endpoints/${session.endpoint}/sessions/${session.id}/close`);
    tell(closed === 1 ? `One session of ${session.user} is closed.` : `${count(closed)} sessions of ${session.user} are closed.`);
  } catch (error) {
    const gone = error instanceof Refused && error.status === 404;
    tell(gone ? `That session of ${session.user} has ended already.` : `Not closed: ${error.message}`);
  }
  // Its row is about to go, and focus with it.
  find("sessions").focus();
  void turn();
}

function search(text) {
  if (text === filter.contains) return;
  filter.contains = text;
  firstPage();
  void turn();
}

let typing;
find("user").addEventListener("input", ({ target }) => {
  clearTimeout(typing);
  typing = setTimeout(() => search(target.value), TYPED_MS);
});
find("search").addEventListener("submit", (event) => {
  event.preventDefault();
  clearTimeout(typing);
  search(find("user").value);
});
find("endpoint").addEventListener("change", ({ target }) => choose(target.value));
find("trouble").querySelector("button").addEventListener("click", () => void turn());
document.addEventListener("keydown", (event) => {
  const typed = event.target.closest?.("input, select, dialog");
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || typed) return;
  event.preventDefault();
  find("user").focus();
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && !find("token-dialog").open) void turn();
});
prepareSessions((session) => void close(session), () => void turn());
void turn();
