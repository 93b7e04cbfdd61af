// What the person in front of the page has chosen. Language, theme and user stay; the token leaves with the tab.
import { effect, signal } from "./html.js";

const root = document.documentElement;

function kept(storage, name, start) {
  const value = signal(storage.getItem(`comanda.${name}`) ?? start);
  effect(() => {
    if (value.value === start) storage.removeItem(`comanda.${name}`);
    else storage.setItem(`comanda.${name}`, value.value);
  });
  return value;
}

const browsers = navigator.language.startsWith("es") ? "es" : "en";
export const language = kept(localStorage, "language", browsers);
export const theme = kept(localStorage, "theme", "auto");
export const userId = kept(localStorage, "user", "1");
export const token = kept(sessionStorage, "token", "");

effect(() => {
  root.lang = language.value;
});

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
