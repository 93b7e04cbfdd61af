// Texts in the language of the reader; numbers, money and dates as the reader's region writes them.
import { computed, effect, signal } from "./html.js";
import { language, locale } from "./settings.js";

// Texts by language, and the language that is shown: a new one only when its texts are here.
const loaded = {};
const shown = signal(null);
const texts = computed(() => loaded[shown.value] ?? {});

/**
 * Loads the texts in the reader's language, and again when that changes. `areas` are functions that load the texts of
 * a language as modules: those of the app, beside those of this library.
 */
export async function loadTexts(...areas) {
  const load = async (code) => {
    if (!loaded[code]) {
      const modules = await Promise.all([import(`./texts/${code}.js`), ...areas.map((area) => area(code))]);
      loaded[code] = Object.assign({}, ...modules.map((module) => module.default));
    }
    if (code !== language.value) return;
    shown.value = code;
    document.documentElement.lang = code;
  };
  await load(language.value);
  // A language that cannot be loaded leaves the page as it is.
  effect(() => {
    load(language.value).catch(() => undefined);
  });
}

/** Returns a text by its key; `{name}` in it stands for a value, numbers as the region writes them. */
export function t(key, values) {
  const text = texts.value[key];
  if (text === undefined) return key;
  if (!values) return text;
  return text.replace(/\{(\w+)\}/g, (whole, name) => {
    const value = values[name];
    return typeof value === "number" ? number(value) : (value ?? whole);
  });
}

/** Whether there is a text with this key. */
export function hasText(key) {
  return texts.value[key] !== undefined;
}

/** Returns the text for a number of things, `{n}`: `key.one`, `key.other`, as the language has its plurals. */
export function plural(key, count, values) {
  const form = format(Intl.PluralRules, {}).select(count);
  return t(hasText(`${key}.${form}`) ? `${key}.${form}` : `${key}.other`, { n: count, ...values });
}

const formats = new Map();

function format(kind, options) {
  const key = `${kind.name}|${locale.value}|${JSON.stringify(options)}`;
  let found = formats.get(key);
  if (!found) formats.set(key, (found = new kind(locale.value, options)));
  return found;
}

/** Returns a number with at most `decimals` and at least `fixed` decimals; a dash for none. */
export function number(value, decimals = 0, fixed = 0) {
  if (value === null || value === undefined) return "–";
  const options = { minimumFractionDigits: fixed, maximumFractionDigits: decimals, useGrouping: "always" };
  return format(Intl.NumberFormat, options).format(value);
}

/** Returns an amount of money, such as "12,90 €"; `currency` is a code of ISO 4217. */
export function money(value, currency) {
  if (value === null || value === undefined) return "–";
  return format(Intl.NumberFormat, { style: "currency", currency, currencyDisplay: "narrowSymbol" }).format(value);
}

/** Returns a day, such as "27 Nov 2026". */
export function day(value) {
  return value ? format(Intl.DateTimeFormat, { day: "numeric", month: "short", year: "numeric" }).format(new Date(value)) : "–";
}

/** Returns the name of a language by its code ("es"), in the reader's language; the code itself where it has none. */
export function languageName(code) {
  try {
    return format(Intl.DisplayNames, { type: "language" }).of(code) ?? code;
  } catch {
    return code;
  }
}

/** Returns how many rows there are, with a plus where there are more than are known. */
export function amount({ rows, more }) {
  return `${number(rows.length)}${more ? "+" : ""}`;
}

/** Returns milliseconds in the largest unit that fits. */
export function duration(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms < 1) return `${number(ms, 2)} ms`;
  if (ms < 10) return `${number(ms, 1)} ms`;
  if (ms < 1000) return `${number(ms)} ms`;
  if (ms < 60_000) return `${number(ms / 1000, 1)} s`;
  return `${number(ms / 60_000, 1)} min`;
}

/** Returns the time of a moment, with its day where that is not today's. */
export function moment(value) {
  if (!value) return "–";
  const date = new Date(value);
  const time = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
  const today = date.toDateString() === new Date().toDateString();
  return format(Intl.DateTimeFormat, today ? time : { day: "numeric", month: "short", ...time }).format(date);
}
