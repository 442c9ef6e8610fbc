// Who was closed lately, and why.
import { get } from "./api.js";
import { Rows, element, find, row, say, set } from "./dom.js";
import { cause, count, moment, name, span } from "./format.js";

const SHOWN_MAX = 50;
/** All that the gateway gives at once. */
const ASKED = 500;

const rows = new Rows(find("close-rows"), ({ endpoint, id, at }) => `${endpoint} ${id} ${at}`, line);

/** Of one endpoint or all, the newest first. */
export async function fetchCloses({ contains, endpoint }) {
  // A name is looked for here: the gateway finds whole ones only.
  const { closes } = await get("/api/v1/closes", { endpoint, limit: contains === "" ? SHOWN_MAX : ASKED });
  return closes.filter(({ user }) => user.includes(contains)).slice(0, SHOWN_MAX);
}

export function showCloses(closes, { contains, endpoint }, now) {
  rows.show(closes.map((closed) => ({ ...closed, now })));
  say(find("close-count"), closes.length === 0 ? "" : closes.length === SHOWN_MAX ? `the last ${SHOWN_MAX}` : count(closes.length));
  const empty = find("no-closes");
  empty.hidden = closes.length > 0;
  const whose = contains === "" ? "Nobody" : `No user with “${contains}” in the name`;
  say(empty, `${whose} was closed lately${endpoint && ` on ${endpoint}`}.`);
}

/** What is told of a session that has ended does not change, but for how long ago that was. */
function line(closed) {
  const told = closed.code === null ? "nothing" : `${closed.code} ${closed.reason ?? ""}`;
  const { node, cells } = row({
    User: { node: element("bdi", { class: "name", title: closed.user }, name(closed.user)) },
    Where: { node: element("span", {}, closed.endpoint) },
    Cause: { node: element("span", { class: "cause", "data-cause": closed.cause, title: closed.cause }, cause(closed.cause)) },
    "Client was told": { node: element("bdi", { class: "told" }, told.trim()) },
    Lasted: { node: element("span", {}, span(closed.age_seconds)), number: true },
    When: { number: true },
  });
  const when = cells.at(-1);
  set(when, "title", moment(closed.at));
  return { node, update: ({ at, now }) => say(when, `${span((now - at) / 1000)} ago`) };
}
