// Figures for people. Everything is bounded in width, so that columns stand still.

const whole = new Intl.NumberFormat("en-GB");
const short = new Intl.NumberFormat("en-GB", { notation: "compact", maximumSignificantDigits: 3 });

/** A count: 9,999 or 12.3K. */
export const count = (number) => (number < 1e4 ? whole.format(number) : short.format(number));

/** Something each second. */
export function rate(number) {
  if (number === 0 || number >= 10) return count(Math.round(number));
  return number.toFixed(1);
}

export function bytes(number) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (number >= 1024 && unit < units.length - 1) [number, unit] = [number / 1024, unit + 1];
  return `${unit === 0 || number >= 100 ? Math.round(number) : number.toFixed(1)} ${units[unit]}`;
}

/** How long something takes: 120 µs, 1.5 ms, 2.4 s. */
export function time(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const [value, unit] = seconds < 1e-3 ? [seconds * 1e6, "µs"] : seconds < 1 ? [seconds * 1e3, "ms"] : [seconds, "s"];
  return `${value >= 100 || Number.isInteger(value) ? Math.round(value) : Number(value.toPrecision(2))} ${unit}`;
}

/** How long something has lasted: 5 s, 3 min, 2 h 14 min, 6 d 3 h. */
export function span(seconds) {
  const all = Math.max(0, Math.floor(seconds));
  if (all < 60) return `${all} s`;
  const minutes = Math.floor(all / 60);
  if (minutes < 60) return minutes < 10 ? `${minutes} min ${all % 60} s` : `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** A moment, as the operator's clock shows it. */
export const moment = (millis) => new Date(millis).toLocaleString();

const CAUSES = {
  client_closed: "client left",
  client_lost: "connection lost",
  client_timed_out: "client did not answer",
  client_misbehaved: "client broke the protocol",
  backend: "closed by backend",
  taken_over: "user came again",
  too_slow: "client too slow",
  expired: "token expired",
  outage: "backend away too long",
  drained: "gateway drains",
  operator: "closed by operator",
};

/** Why a session ended. A cause that this page does not know is shown as the gateway calls it. */
export const cause = (name) => (Object.hasOwn(CAUSES, name) ? CAUSES[name] : name);

/** The parameters of a path, such as `lobby_id=7`. */
export const params = (all) => Object.entries(all).map(([name, value]) => `${name}=${value}`).join(" ");

/** What people name things by; a name of blanks or controls would not be seen. */
export const name = (text) => (/^[\s\p{C}]*$/u.test(text) ? JSON.stringify(text) : text);
