// Who is there, a page at a time.
import { get } from "./api.js";
import { Rows, element, find, row, say, set } from "./dom.js";
import { bytes, count, moment, name, params, span } from "./format.js";

/** Rows of a page; on a phone each is as high as a finger is long. */
const PAGE = matchMedia("(max-width: 48rem)").matches ? 10 : 25;
/** The gateway looks at so many sessions for an answer; for a page it is asked so often at most. */
const ASKED_MAX = 8;

const rows = new Rows(find("session-rows"), ({ endpoint, id }) => `${endpoint} ${id}`, line);
/** Where each page begins that has been turned to. */
let begins = [undefined];
let close = () => {};

/** `wanted(session)` is called when somebody wants to close one; `turned()` when another page is wanted. */
export function prepareSessions(wanted, turned) {
  close = wanted;
  find("next").addEventListener("click", () => {
    begins.push(find("next").dataset.after);
    turned();
  });
  find("previous").addEventListener("click", () => {
    begins.pop();
    turned();
  });
}

export function firstPage() {
  begins = [undefined];
}

/** A page of sessions: those whose user's name has `contains` in it, of one endpoint or all. */
export async function fetchSessions({ contains, endpoint }) {
  const found = [];
  let after = begins.at(-1);
  for (let asked = 0; asked < ASKED_MAX; asked += 1) {
    const page = await get("/api/v1/sessions", { contains, endpoint, after, limit: PAGE - found.length });
    found.push(...page.sessions);
    after = page.next;
    if (after === null || found.length >= PAGE) break;
  }
  return { found, next: after };
}

export function showSessions({ found, next }, { contains, endpoint }, total, now) {
  rows.show(found.map((session) => ({ ...session, now })));
  const number = begins.length;
  const all = contains === "" ? total : number === 1 && next === null ? found.length : null;
  say(find("session-count"), all === null ? "" : count(all));
  const empty = find("no-sessions");
  empty.hidden = found.length > 0;
  say(empty, nobody(contains, endpoint, number, next));
  for (const [id, able] of [["previous", number > 1], ["next", next !== null]]) {
    const button = find(id);
    // What has focus keeps it; a button that is disabled would lose it.
    if (!able && button === document.activeElement) find("sessions").focus();
    button.disabled = !able;
  }
  find("next").dataset.after = next ?? "";
  say(find("page-number"), `Page ${number}`);
  find("previous").parentElement.hidden = number === 1 && next === null;
}

function nobody(contains, endpoint, number, next) {
  if (next !== null) return "None of those looked at so far; go on with Next.";
  if (contains !== "") return `No live session of a user with “${contains}” in the name${endpoint && ` on ${endpoint}`}.`;
  return number > 1 ? "No more sessions." : `Nobody is connected${endpoint && ` to ${endpoint}`}.`;
}

function line(session) {
  const user = element("bdi", { class: "name" });
  const notes = element("span", { class: "notes" });
  const where = element("span");
  const more = element("small");
  const button = element("button", { type: "button", onclick: () => close(latest) }, "Close …");
  const { node, cells } = row({
    User: { node: element("span", {}, user, notes) },
    Where: { node: element("span", {}, where, " ", more) },
    Address: {}, Age: { number: true }, "Quiet for": { number: true }, "From client": { number: true },
    "To client": { number: true }, Waiting: { number: true }, "": { node: button },
  });
  const [, , address, age, quiet, from, to, waiting] = cells;
  let latest = session;
  function update(session) {
    latest = session;
    say(user, name(session.user));
    set(user, "title", session.user);
    say(notes, [!session.announced && "not announced", session.stopped && "not read from"].filter(Boolean).join(", "));
    say(where, session.endpoint);
    say(more, params(session.params));
    say(address, session.client ?? "being handed over");
    say(age, span(session.age_seconds));
    set(age, "title", `since ${moment(session.since)}`);
    say(quiet, span((session.now - session.last_activity) / 1000));
    say(from, `${count(session.messages_from_client)} · ${bytes(session.bytes_from_client)}`);
    say(to, `${count(session.messages_to_client)} · ${bytes(session.bytes_to_client)}`);
    say(waiting, session.queued_bytes + session.parked_bytes === 0 ? "–" : bytes(session.queued_bytes + session.parked_bytes));
    set(button, "aria-label", `Close ${session.user} on ${session.endpoint} …`);
  }
  return { node, update };
}
