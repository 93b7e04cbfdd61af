// The cart: what is in it, and how it is changed. The server finds the cart of a guest by a cookie.
import { get, post, put, remove } from "../lib/api.js";
import { changeOptimistically, invalidate, useResource } from "../lib/cache.js";

const CART = "/api/v1/cart";
const KEY = "cart";
export const MAX_QUANTITY = 999;

// The quantity that was chosen last for a book, while earlier ones are on their way.
const chosen = new Map();
// The end of the last change of a quantity: changes reach the server in the order in which they were made.
let lastChange = Promise.resolve();

/** The cart with today's prices: `items` and `summary`, as GET /api/v1/cart returns them. */
export function useCart({ every = 0 } = {}) {
  return useResource(KEY, (signal) => get(CART, {}, { signal }), { tags: [KEY], every });
}

/** Adds copies of a book to the cart. Raises Problem. */
export async function addToCart(book, quantity) {
  await post(`${CART}/add`, { book_id: book, quantity });
  invalidate(KEY);
}

/**
 * Sets the copies of a book in the cart; shown at once. Of several changes in a row only the first and the last need a
 * request. Raises Problem.
 */
export async function changeQuantity(book, quantity) {
  chosen.set(book, quantity);
  const send = async () => {
    if (chosen.get(book) === quantity) await put(linePath("update", book), { quantity });
  };
  try {
    await changeOptimistically(KEY, (cart) => withLine(cart, book, quantity), () => (lastChange = lastChange.then(send, send)));
  } finally {
    if (chosen.get(book) === quantity) {
      chosen.delete(book);
      invalidate(KEY);
    }
  }
}

/** Takes a book out of the cart; shown at once. Raises Problem. */
export async function removeFromCart(book) {
  await changeOptimistically(KEY, (cart) => withLine(cart, book, 0), () => remove(linePath("remove", book)));
  invalidate(KEY);
}

function linePath(action, book) {
  return `${CART}/${action}/${encodeURIComponent(book)}`;
}

/** Returns a cart with another quantity of a book; its sums are `isOld` until the server has computed them. */
function withLine(cart, book, quantity) {
  const items = cart.items
    .map((line) => (line.book_id === book ? { ...line, quantity, isOld: true } : line))
    .filter((line) => line.quantity > 0);
  const total = items.reduce((sum, line) => sum + line.quantity, 0);
  return { items, summary: { ...cart.summary, total_items: total, isOld: true } };
}
