// Favourites and wishes of the customer, as far as pages of books need them.
import { get, post, remove } from "../lib/api.js";
import { changeOptimistically, invalidate, useResource } from "../lib/cache.js";
import { isSignedIn } from "../lib/session.js";

/** Priorities of wishes; the first is the most wanted. */
export const PRIORITIES = [1, 2, 3, 4, 5];

const LIMIT = 100;
/** Lists have at most 1,000 books. */
const MAX_PAGES = 10;

async function loadAll(path, signal) {
  const found = [];
  for (let page = 1; page <= MAX_PAGES; page++) {
    const { data, pagination } = await get(path, { limit: LIMIT, page }, { signal });
    found.push(...data);
    if (!pagination.has_next) break;
  }
  return found;
}

/** The list `favorites` or `wishlist` of the customer, all entries; nothing for a guest. */
export function useList(name) {
  return useResource(isSignedIn.value ? name : null, (signal) => loadAll(`/api/v1/users/${name}`, signal), { tags: [name] });
}

/** Puts a book into a list, or changes its `priority`; shown at once. Raises Problem. */
export async function addToList(name, book, { priority } = {}) {
  const entry = { book_id: book, priority };
  await changeOptimistically(
    name,
    (entries) => [...entries.filter((one) => one.book_id !== book), { ...entries.find((one) => one.book_id === book), ...entry }],
    () => sendEntry(name, book, priority),
  );
  invalidate(name);
}

/** Puts an entry back that was taken out of a list just now; shown at once. Raises Problem. */
export async function restoreToList(name, entry) {
  const { book_id: book, priority } = entry;
  await changeOptimistically(name, (entries) => [...entries, entry], () => sendEntry(name, book, priority));
  invalidate(name);
}

/** Takes a book out of a list; shown at once. Raises Problem. */
export async function removeFromList(name, book) {
  await changeOptimistically(
    name,
    (entries) => entries.filter((one) => one.book_id !== book),
    () => remove(`/api/v1/users/${name}/${encodeURIComponent(book)}`),
  );
  invalidate(name);
}

function sendEntry(name, book, priority) {
  return post(`/api/v1/users/${name}/${encodeURIComponent(book)}${priority ? `?priority=${priority}` : ""}`);
}
