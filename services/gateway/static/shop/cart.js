// The cart as every page needs it: how many copies are in it, and adding to it.
import { get, post } from "../lib/api.js";
import { invalidate, useResource } from "../lib/cache.js";

const CART = "/api/v1/cart";
const TOKEN = "comanda.cart";

/** Whether a request is about the cart. */
export function isCartPath(path) {
  return path.startsWith(CART);
}

/** Returns the header by which the server finds the cart of a guest. */
export function cartHeaders() {
  const token = localStorage.getItem(TOKEN);
  return token ? { "X-Cart-Token": token } : {};
}

/** The cart with today's prices: `items` and `summary`, as GET /api/v1/cart returns them. */
export function useCart() {
  return useResource("cart", (signal) => get(CART, {}, { signal }), { tags: ["cart"] });
}

/** Adds copies of a book to the cart. Raises Problem. */
export async function addToCart(book, quantity) {
  const { cart_token: token } = await post(`${CART}/add`, { book_id: book, quantity });
  if (token) localStorage.setItem(TOKEN, token);
  invalidate("cart");
}
