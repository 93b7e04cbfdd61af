// The cart as every page needs it: how many copies are in it, and adding to it.
import { get, post } from "../lib/api.js";
import { invalidate, useResource } from "../lib/cache.js";

const CART = "/api/v1/cart";

/** The cart with today's prices: `items` and `summary`, as GET /api/v1/cart returns them. A cookie names a guest's. */
export function useCart() {
  return useResource("cart", (signal) => get(CART, {}, { signal }), { tags: ["cart"] });
}

/** Adds copies of a book to the cart. Raises Problem. */
export async function addToCart(book, quantity) {
  await post(`${CART}/add`, { book_id: book, quantity });
  invalidate("cart");
}
