// What a checkout needs to survive a reload, a sign-in in between, or a lost answer.
import { hashText, newKey } from "../lib/api.js";

const DRAFT = "comanda.checkout";
const PENDING = "comanda.checkout.key";

/** Returns what a user has entered so far in this tab, or {}. That of another user is removed. */
export function loadDraft(user) {
  const found = read(sessionStorage, DRAFT);
  if (found.user === user) return found.draft;
  sessionStorage.removeItem(DRAFT);
  return {};
}

/** Keeps what a user has entered in this tab. */
export function keepDraft(user, draft) {
  sessionStorage.setItem(DRAFT, JSON.stringify({ user, draft }));
}

/**
 * Returns the idempotency key under which a user buys a cart. It stays the same until the outcome is known, in all tabs,
 * and is another one for another cart.
 */
export function takeKey(user, items) {
  const lines = hashText(JSON.stringify(items.map((line) => [line.book_id, line.quantity, line.updated_at])));
  const found = read(localStorage, PENDING);
  if (found.user === user && found.lines === lines) return found.key;
  const key = newKey();
  localStorage.setItem(PENDING, JSON.stringify({ user, lines, key }));
  return key;
}

/** Returns the key of a checkout of a user whose outcome is not known, or null. */
export function pendingKey(user) {
  const found = read(localStorage, PENDING);
  return found.user === user ? found.key : null;
}

/** Forgets the key, since the outcome of its checkout is known. */
export function forgetKey() {
  localStorage.removeItem(PENDING);
}

/** Forgets key and draft after a purchase. */
export function forgetCheckout() {
  forgetKey();
  sessionStorage.removeItem(DRAFT);
}

function read(storage, name) {
  try {
    return JSON.parse(storage.getItem(name)) ?? {};
  } catch {
    return {};
  }
}
