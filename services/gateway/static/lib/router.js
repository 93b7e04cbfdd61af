// The address of the page: its path below the app's prefix, its query, and the way from one address to another.
import { computed, signal } from "./html.js";

const KEPT_POSITIONS = 50;
const POSITIONS = "comanda.scroll";
/** Prefix of the addresses that the dashboard had in the fragment, before it had paths. */
const OLD_PREFIX = "#/";
const OLD_APP = "/admin/";

let base = "/";
let positions = {};

// `move` is how the reader came here: "load", "push" (a link) or "pop" (back and forward).
const address = signal({ pathname: "/", search: "", key: 0, move: "load" });
const pathname = computed(() => address.value.pathname);
const search = computed(() => address.value.search);

/** The decoded segments of the path below the prefix: ["inventory", "stock", "Berlin"]. */
export const path = computed(() => pathname.value.slice(base.length).split("/").filter(Boolean).map(decodeSegment));
/** The query of the address as an object of texts. */
export const query = computed(() => Object.fromEntries(new URLSearchParams(search.value)));
/** How the reader came to this address: `{ key, move }`, with `move` of "load", "push" and "pop". */
export const arrival = computed(() => ({ key: address.value.key, move: address.value.move }));

/** Returns the address of a page below the prefix of the app: `to("book", id)`. */
export function to(...segments) {
  return base + segments.map(encodeURIComponent).join("/");
}

/** Returns `href` with a query; members that are null, undefined or "" are left out. */
export function withQuery(href, values) {
  const kept = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return kept.length ? `${href}?${new URLSearchParams(kept)}` : href;
}

/** Returns the present address with some members of its query changed; those that become null or "" leave it. */
export function changeQuery(changes) {
  return withQuery(pathname.value, { ...query.value, ...changes });
}

/** Returns the present address below the origin: path and query. */
export function currentAddress() {
  return pathname.value + search.value;
}

/** Goes to an address of this app. With `replace`, Back leads to the page before the present one. */
export function go(href, { replace = false } = {}) {
  const target = new URL(href, location.href);
  keepPosition();
  const same = target.href === location.href;
  const key = replace || same ? (history.state?.key ?? 0) : Date.now();
  history[replace || same ? "replaceState" : "pushState"]({ key }, "", target);
  read("push");
}

/** Changes members of the query in place: the page stays, and Back does not step through each change. */
export function setQuery(changes) {
  history.replaceState(history.state, "", changeQuery(changes));
  address.value = { ...address.value, search: location.search };
}

/** Returns a parameter in the fragment, `#name=value`, and removes the fragment: no secret stays in the history. */
export function takeParameter(name) {
  const found = new URLSearchParams(location.hash.slice(1)).get(name);
  if (found !== null) history.replaceState(history.state, "", location.pathname + location.search);
  return found;
}

/** Returns the height to which the page was scrolled when the reader left the present entry of the history, or null. */
export function keptPosition() {
  return positions[address.value.key] ?? null;
}

/** Begins to follow the address of an app whose pages are below `prefix`, and to serve its links without a load. */
export function startRouter(prefix) {
  base = prefix;
  if (location.hash.startsWith(OLD_PREFIX)) {
    // A link from an older mail or bookmark. What stood behind its `?` may be a secret and stays in the fragment.
    const [old, parameters] = location.hash.slice(OLD_PREFIX.length).split("?");
    location.replace(OLD_APP + old + (parameters ? `#${parameters}` : ""));
    return;
  }
  history.scrollRestoration = "manual";
  positions = JSON.parse(sessionStorage.getItem(POSITIONS) ?? "{}");
  read("load");
  addEventListener("popstate", () => read("pop"));
  addEventListener("scroll", keepPosition, { passive: true });
  addEventListener("pagehide", savePositions);
  document.addEventListener("click", follow);
}

/**
 * Returns the route of a path and the values of its placeholders, or null. A route is `{ path, load, title, needs }`;
 * in its path, `:name` stands for one segment, and a last `*` for any number of them.
 */
export function matchRoute(routes, segments) {
  for (const route of routes) {
    const params = matchPath(route.path, segments);
    if (params) return { route, params };
  }
  return null;
}

function matchPath(template, segments) {
  const parts = template.split("/").filter(Boolean);
  const open = parts.at(-1) === "*";
  if (open) parts.pop();
  if (open ? segments.length < parts.length : segments.length !== parts.length) return null;
  const params = {};
  for (const [at, part] of parts.entries()) {
    if (part.startsWith(":")) params[part.slice(1)] = segments[at];
    else if (part !== segments[at]) return null;
  }
  return params;
}

function read(move) {
  address.value = { pathname: location.pathname, search: location.search, key: history.state?.key ?? 0, move };
}

function keepPosition() {
  positions[history.state?.key ?? 0] = scrollY;
}

function savePositions() {
  const newest = Object.entries(positions).slice(-KEPT_POSITIONS);
  sessionStorage.setItem(POSITIONS, JSON.stringify(Object.fromEntries(newest)));
}

function follow(event) {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = event.target.closest("a[href]");
  if (!link || link.target || link.hasAttribute("download")) return;
  if (link.origin !== location.origin || !link.pathname.startsWith(base) || link.getAttribute("href").startsWith("#")) return;
  event.preventDefault();
  go(link.href);
}

function decodeSegment(segment) {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
