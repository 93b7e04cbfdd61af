// Where the reader is: the part of the address behind `#/`.
import { computed, signal } from "./html.js";

const parts = () => location.hash.replace(/^#\/?/, "").replace(/\?.*/, "").split("/").filter(Boolean).map(decoded);
const place = signal(parts());
addEventListener("hashchange", () => (place.value = parts()));

/** Returns a parameter behind the `?` of the address, and removes all of them, so that no secret stays in the history. */
export function takeParameter(name) {
  const query = location.hash.split("?")[1];
  if (query === undefined) return null;
  history.replaceState(null, "", location.hash.split("?")[0]);
  return new URLSearchParams(query).get(name);
}

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
