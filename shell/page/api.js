// Asking the gateway. The token, where one is needed, is kept in this tab's memory and its sessionStorage, nowhere else.

const KEPT = "trunkline-admin-token";
const PATIENCE_MS = 10_000;

let token = sessionStorage.getItem(KEPT);

/** Nobody answered, or nobody sensible. */
export class Away extends Error {}

/** The gateway has answered, and not with what was asked for. */
export class Refused extends Error {
  constructor(status, { error = "unknown", message = "" } = {}) {
    super(message || `The gateway has answered ${status}.`);
    this.status = status;
    this.error = error;
  }
}

export const hasToken = () => token !== null;

export function keepToken(text) {
  token = text;
  sessionStorage.setItem(KEPT, text);
}

/** `GET`, with what is not `undefined` or empty of `query`. */
export function get(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== "");
  return ask("GET", given.length === 0 ? path : `${path}?${new URLSearchParams(given)}`);
}

export const post = (path, body) => ask("POST", path, body);

/** A path with names in it, whatever they are. */
export const path = (parts, ...names) => String.raw({ raw: parts }, ...names.map(encodeURIComponent));

async function ask(method, path, body) {
  const headers = {};
  if (token !== null) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const signal = AbortSignal.timeout(PATIENCE_MS);
  let answer, said;
  try {
    answer = await fetch(path, { method, headers, body: body && JSON.stringify(body), signal, cache: "no-store" });
    said = await answer.json();
  } catch (error) {
    throw new Away(error.name === "TimeoutError" ? "The gateway does not answer in time." : "The gateway does not answer.");
  }
  if (!answer.ok) throw new Refused(answer.status, said);
  return said;
}
