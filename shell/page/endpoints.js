// Endpoints with their links, and what went through them in the last minutes. Folded ones are not asked about.
import { get, path } from "./api.js";
import { Chart, SPAN, decades, linear } from "./chart.js";
import { Rows, element, find, say, set } from "./dom.js";
import { bytes, cause, count, moment, rate, span, time } from "./format.js";

/** So many are unfolded to begin with. */
const OPEN_FIRST = matchMedia("(max-width: 48rem)").matches ? 1 : 3;
/** Rates in a summary are of so many seconds. */
const RECENT = 5;
/** Points are asked for from half a second before the last, for the gateway's seconds are not even to the millisecond. */
const SLACK_MS = 500;

const STATES = {
  up: "link up",
  announcing: "link opening sessions",
  settling: "link confirming closes",
  down: "link down",
};

const rows = new Rows(find("endpoints"), ({ name }) => name, card);
let made = 0;

/** Shows what the overview says; `now` is the gateway's clock. */
export function showEndpoints(endpoints, now) {
  find("endpoints").querySelector(":scope > .empty")?.remove();
  rows.show(endpoints.map((endpoint) => ({ ...endpoint, now })));
}

/** Fetches and draws what happened to the endpoints that are unfolded. */
export function fetchSeries(endpoints) {
  return Promise.all(endpoints.map(({ name }) => rows.get(name)?.fetch()));
}

/** The gateway has been started anew: what is drawn is of another. */
export function forgetSeries(endpoints) {
  endpoints.forEach(({ name }) => rows.get(name)?.forget());
}

function card({ name }) {
  made += 1;
  const parts = Object.fromEntries(["state", "sessions", "in", "out", "slow"].map((part) => [part, element("span")]));
  const stat = (part, unit) => element("span", { class: `stat ${part}` }, parts[part], element("small", {}, unit));
  const where = element("p", { class: "where" });
  const trouble = element("ul", { class: "notes" });
  const facts = element("dl", { class: "facts columns" });
  const charts = {
    messages: new Chart("Messages a second", ["in", "out"], (value) => rate(value ?? 0), linear(1)),
    latency: new Chart("Latency, 99 %", ["in", "out"], time, decades(1e-5, 1e-2)),
    sessions: new Chart("Sessions", ["live"], (value) => count(value ?? 0), linear(1)),
  };
  const summary = element("summary", {},
    element("span", { class: "dot" }), element("strong", {}, element("bdi", {}, name)), parts.state,
    element("span", { class: "stats" },
      stat("sessions", "sessions"), stat("in", "in/s"), stat("out", "out/s"), stat("slow", "p99")));
  set(parts.slow.parentElement, "title", "99 % of the messages of the last minute were within the gateway for at most so long");
  const node = element("details", { class: "endpoint", open: made <= OPEN_FIRST, ontoggle: () => void fetch().catch(() => {}) },
    summary, where, trouble, element("div", { class: "charts" }, ...Object.values(charts).map((chart) => chart.node)), facts);
  const series = new Series(name);

  async function fetch() {
    if (!node.open) return;
    const { until, points } = await series.fetch();
    charts.messages.show(until, [points.messages_from_clients, points.messages_to_clients]);
    charts.latency.show(until, [points.client_to_link_p99, points.link_to_client_p99]);
    charts.sessions.show(until, [points.sessions]);
  }

  let before = null;
  function update(endpoint) {
    const { link, latency, totals, now } = endpoint;
    set(node, "data-state", link.state === "up" ? (endpoint.accepting ? "up" : "busy") : link.state === "down" ? "down" : "busy");
    say(parts.state, `${STATES[link.state] ?? link.state}, ${span((now - link.since) / 1000)}`);
    set(parts.state, "title", `since ${moment(link.since)}`);
    say(parts.sessions, count(endpoint.sessions));
    const past = before;
    before = recent(past, now, totals);
    say(parts.in, rate(before.in));
    say(parts.out, rate(before.out));
    const slowest = [latency.client_to_link.p99, latency.link_to_client.p99].filter((one) => one !== null);
    say(parts.slow, time(slowest.length === 0 ? null : Math.max(...slowest)));
    say(where, `${endpoint.path} → ${endpoint.backend}`);
    list(trouble, notes(endpoint));
    define(facts, [
      ["Sessions", `${count(endpoint.sessions)} of ${count(endpoint.sessions_max)}`],
      ["Opened", count(totals.opens)],
      ["Closed", told(totals.closes, cause)],
      ["Refused", told(totals.refused)],
      ["From clients", `${count(totals.messages_from_clients)}, ${bytes(totals.bytes_from_clients)}`],
      ["To clients", `${count(totals.messages_to_clients)}, ${bytes(totals.bytes_to_clients)}`],
      ["Waiting for the link", bytes(link.queued_bytes)],
      ["Unconfirmed", bytes(link.unconfirmed_bytes)],
      ["Waiting for clients", bytes(endpoint.queued_bytes)],
      ["Actions ignored", told(totals.actions_ignored)],
      ["Messages dropped", told(totals.messages_dropped)],
      ["Outages", link.outage_seconds < 0.5 ? "none to speak of" : span(link.outage_seconds)],
      ["Dials", `${count(link.dials)}, ${count(link.connects)} succeeded`],
    ]);
  }

  return { node, update, fetch, forget: () => series.forget() };
}

/** What an operator should see at once. */
function notes({ link, accepting, keys, all_stopped, stopped, owed, parked_bytes, now }) {
  const away = link.outage_since !== null && (now - link.outage_since) / 1000;
  return [
    away !== false && away >= 2 && `The backend has not heard everything for ${span(away)}; clients are held, and what they send waits.`,
    !accepting && "Clients are turned away.",
    !keys && "There is no key to verify a token with: nobody can come in.",
    link.full && "The link is full: whoever sends is not read from.",
    all_stopped && "Nobody is read from: too much is parked.",
    stopped > 0 && !all_stopped && `${count(stopped)} clients are not read from for now.`,
    parked_bytes > 0 && `${bytes(parked_bytes)} wait for an open or for the link.`,
    owed > 0 && `${count(owed)} closes are still to be confirmed.`,
  ].filter(Boolean);
}

function list(node, texts) {
  while (node.children.length > texts.length) node.lastElementChild.remove();
  texts.forEach((text, index) => say(node.children[index] ?? node.appendChild(element("li")), text));
}

/** Fills a list of terms and what they are; the terms stay the same. */
export function define(node, pairs) {
  if (node.children.length !== pairs.length) {
    node.replaceChildren(...pairs.map(([term]) => element("div", {}, element("dt", {}, term), element("dd"))));
  }
  pairs.forEach(([, text], index) => say(node.children[index].lastElementChild, text));
}

/** Counts by cause: those that are not nought, the largest first. */
function told(counts, name = (cause) => cause.replaceAll("_", " ")) {
  const some = Object.entries(counts).filter(([, number]) => number > 0).sort((a, b) => b[1] - a[1]);
  return some.length === 0 ? "none" : some.map(([cause, number]) => `${count(number)} ${name(cause)}`).join(", ");
}

/** Messages a second, between the oldest total that is remembered and the one now. */
function recent(past, now, totals) {
  const seen = [...(past?.seen ?? []), { now, in: totals.messages_from_clients, out: totals.messages_to_clients }];
  while (seen.length > 2 && now - seen[1].now >= RECENT * 1000) seen.shift();
  const [first, last] = [seen[0], seen.at(-1)];
  const seconds = Math.max(1, (last.now - first.now) / 1000);
  const each = (way) => Math.max(0, last[way] - first[way]) / seconds;
  return { seen, in: each("in"), out: each("out") };
}

/** The last seconds of an endpoint. Only what is new is asked for. */
class Series {
  #name;
  #until = 0;
  #points = {};

  constructor(name) {
    this.#name = name;
  }

  forget() {
    [this.#until, this.#points] = [0, {}];
  }

  async fetch() {
    const before = this.#until;
    const since = Math.max(0, before - SLACK_MS);
    const { until, points } = await get(path`/api/v1/endpoints/${this.#name}/series`, { since });
    // Of two answers that were asked for at once the second brings nothing new.
    if (before === this.#until && until > before) {
      for (const [key, values] of Object.entries(points)) {
        this.#points[key] = [...(this.#points[key] ?? []), ...values].slice(-SPAN);
      }
      this.#until = until;
    }
    return { until: this.#until, points: { ...points, ...this.#points } };
  }
}
