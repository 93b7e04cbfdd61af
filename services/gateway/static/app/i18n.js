// Texts, numbers and times in the language of the reader.
import { language } from "./settings.js";
import { texts } from "./texts.js";

const PLACE = { en: 0, es: 1 };

/** A text by its key; `{name}` in it stands for a value. */
export function t(key, values) {
  const pair = texts[key];
  if (!pair) return key;
  const text = pair[PLACE[language.value]];
  if (!values) return text;
  return text.replace(/\{(\w+)\}/g, (whole, name) => {
    const value = values[name];
    return typeof value === "number" ? number(value) : (value ?? whole);
  });
}

/** A text of a number of things, `{n}`: `key.one` or `key.many`. */
export function plural(key, count, values) {
  return t(`${key}.${count === 1 ? "one" : "many"}`, { n: count, ...values });
}

/** The name of a state as people read it. */
export function stateName(state) {
  return t(`state.${state}`);
}

const made = new Map();

function format(kind, options) {
  const key = language.value + JSON.stringify(options);
  let found = made.get(key);
  if (!found) {
    found = new kind(language.value, options);
    made.set(key, found);
  }
  return found;
}

/** A number with at most so many decimals; a dash where there is none. */
export function number(value, decimals = 0) {
  if (value === null || value === undefined) return "–";
  return format(Intl.NumberFormat, { maximumFractionDigits: decimals, useGrouping: "always" }).format(value);
}

/** How many rows there are, with a plus where there are more than are known. */
export function amount({ rows, more }) {
  return `${number(rows.length)}${more ? "+" : ""}`;
}

/** Milliseconds as people say them. */
export function duration(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms < 1) return `${number(ms, 2)} ms`;
  if (ms < 10) return `${number(ms, 1)} ms`;
  if (ms < 1000) return `${number(ms)} ms`;
  if (ms < 60_000) return `${number(ms / 1000, 1)} s`;
  return `${number(ms / 60_000, 1)} min`;
}

/** Seconds since something started. */
export function uptime(seconds) {
  if (seconds < 60) return `${number(seconds)} s`;
  if (seconds < 3600) return `${number(seconds / 60)} min`;
  if (seconds < 172_800) return `${number(seconds / 3600, 1)} h`;
  return `${number(seconds / 86_400)} d`;
}

/** The time of a moment, with its day where that is not today's. */
export function moment(value) {
  if (!value) return "–";
  const date = new Date(value);
  const time = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
  const today = date.toDateString() === new Date().toDateString();
  return format(Intl.DateTimeFormat, today ? time : { day: "numeric", month: "short", ...time }).format(date);
}
