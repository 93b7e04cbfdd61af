// Where the reader is: the part of the address behind `#/`.
import { computed, signal } from "./html.js";

const parts = () => location.hash.replace(/^#\/?/, "").split("/").filter(Boolean).map(decoded);
const place = signal(parts());
addEventListener("hashchange", () => (place.value = parts()));

/** The page and what of it: ["inventory", "stock", "Berlin"]. */
export const path = computed(() => place.value);

/** The address of a page. */
export function to(...names) {
  return `#/${names.map(encodeURIComponent).join("/")}`;
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
