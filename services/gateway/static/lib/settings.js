// What the reader has chosen: the language and the theme, kept in this browser.
import { computed, effect, signal } from "./html.js";

const root = document.documentElement;

/** Returns a signal whose value is kept in `storage` unless it is `start`. */
export function keepSignal(storage, name, start) {
  const value = signal(storage.getItem(`comanda.${name}`) ?? start);
  effect(() => {
    if (value.value === start) storage.removeItem(`comanda.${name}`);
    else storage.setItem(`comanda.${name}`, value.value);
  });
  return value;
}

export const LANGUAGES = { es: "Español", en: "English" };
export const THEMES = ["auto", "light", "dark"];

export const language = keepSignal(localStorage, "language", navigator.language.startsWith("es") ? "es" : "en");
export const theme = keepSignal(localStorage, "theme", "auto");
/** The locale of numbers and dates: the language with the reader's region, as the browser knows it ("es-MX"). */
export const locale = computed(
  () => navigator.languages.find((one) => one.split("-")[0] === language.value) ?? language.value,
);

effect(() => {
  if (theme.value === "auto") delete root.dataset.theme;
  else root.dataset.theme = theme.value;
});

const preference = matchMedia("(prefers-color-scheme: dark)");
const preferred = signal(preference.matches);
preference.addEventListener("change", (event) => (preferred.value = event.matches));

/** Whether the page is dark now. */
export function isDark() {
  return theme.value === "auto" ? preferred.value : theme.value === "dark";
}
