// The books that were looked at last in this browser.
import { signal } from "../lib/html.js";

const NAME = "comanda.seen";
const KEPT = 12;

/** The ids of those books, newest first. */
export const lastSeen = signal(read());

/** Puts a book before all others. */
export function rememberBook(id) {
  lastSeen.value = [id, ...lastSeen.value.filter((other) => other !== id)].slice(0, KEPT);
  localStorage.setItem(NAME, JSON.stringify(lastSeen.value));
}

/** Forgets a book that is gone. */
export function forgetBook(id) {
  lastSeen.value = lastSeen.value.filter((other) => other !== id);
  localStorage.setItem(NAME, JSON.stringify(lastSeen.value));
}

function read() {
  try {
    const found = JSON.parse(localStorage.getItem(NAME) ?? "[]");
    return Array.isArray(found) ? found.filter((one) => typeof one === "string").slice(0, KEPT) : [];
  } catch {
    return [];
  }
}
