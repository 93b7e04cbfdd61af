// Data of the server, by key: shared by everything that shows it, asked for again when it is stale, and aborted when
// nothing shows it any more. The last answer stays while a newer one is on its way, or does not come.
import { signal, useEffect, useRef } from "./html.js";

const MAX_AGE_MS = 30_000;
/** Entries that are kept for a return to a page. */
const MAX_UNUSED = 60;
const CHANNEL = "comanda.cache";
const EMPTY = { data: undefined, problem: null };

// In the order of their last use. An entry: `state` (a signal of data and problem), `at` (when the data was asked for,
// 0 if stale), `load`, `tags`, `users` (how many parts show it), `controller` (of the request on its way, or null).
const entries = new Map();
let channel = null;

/** Begins to refresh stale data when the reader returns to this tab, and when another tab has changed it. */
export function startCache() {
  channel = new BroadcastChannel(CHANNEL);
  channel.onmessage = ({ data }) => refreshTagged(data);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    for (const entry of entries.values()) if (entry.users && Date.now() - entry.at > entry.maxAge) refresh(entry);
  });
}

/**
 * Returns the data of a key: `{ data, problem, isStale, reload }`. `load(signal)` asks for it and is called again when
 * the key changes, when a tag is invalidated, every `every` milliseconds while the page is seen, and when the data is
 * older than `maxAge` milliseconds as a part begins to show it. Without a key (null) nothing is loaded. With
 * `keepsPrevious`, the data of the key before is returned, with `isStale`, until that of the new key is here.
 */
export function useResource(key, load, { tags = [], maxAge = MAX_AGE_MS, every = 0, keepsPrevious = false } = {}) {
  const loading = useRef(load);
  const previous = useRef(undefined);
  loading.current = load;
  const entry = key === null ? null : findEntry(key);
  useEffect(() => (entry ? use(entry, (signal) => loading.current(signal), tags, maxAge) : undefined), [entry]);
  useEffect(() => {
    if (!every || !entry) return undefined;
    const timer = setInterval(() => document.hidden || refresh(entry), every);
    return () => clearInterval(timer);
  }, [entry, every]);
  const { data, problem } = entry ? entry.state.value : EMPTY;
  if (data !== undefined) previous.current = data;
  const isStale = data === undefined && problem === null && keepsPrevious && previous.current !== undefined;
  return { data: isStale ? previous.current : data, problem, isStale, reload: () => (entry ? refresh(entry) : undefined) };
}

/** Asks again for everything that has one of these tags, here and in other tabs. */
export function invalidate(...tags) {
  refreshTagged(tags);
  channel?.postMessage(tags);
}

/** Returns the data of a key as far as it is here, or undefined. */
export function peek(key) {
  return entries.get(key)?.state.value.data;
}

/**
 * Shows `update(data)` in the place of the data of a key at once, and sends the change. If `send` fails, the data is as
 * before, and the problem is raised.
 */
export async function changeOptimistically(key, update, send) {
  const entry = entries.get(key);
  const before = entry?.state.value;
  let changed = null;
  if (before?.data !== undefined) {
    abort(entry);
    changed = entry.state.value = { data: update(before.data), problem: null };
  }
  try {
    return await send();
  } catch (problem) {
    if (changed && entry.state.value === changed) entry.state.value = before;
    if (changed) refreshOrMark(entry);
    throw problem;
  }
}

function findEntry(key) {
  let entry = entries.get(key);
  if (!entry) {
    entry = { state: signal(EMPTY), at: 0, load: null, tags: [], users: 0, maxAge: MAX_AGE_MS, controller: null };
    entries.set(key, entry);
  }
  return entry;
}

function use(entry, load, tags, maxAge) {
  entry.users += 1;
  Object.assign(entry, { load, tags, maxAge });
  if (!entry.controller && Date.now() - entry.at >= maxAge) refresh(entry);
  return () => {
    entry.users -= 1;
    if (entry.users) return;
    abort(entry);
    evict();
  };
}

async function refresh(entry) {
  entry.controller?.abort();
  const controller = new AbortController();
  entry.controller = controller;
  const at = Date.now();
  try {
    const data = await entry.load(controller.signal);
    if (entry.controller !== controller) return;
    Object.assign(entry, { at, controller: null });
    entry.state.value = { data, problem: null };
  } catch (problem) {
    if (entry.controller !== controller) return;
    Object.assign(entry, { at: 0, controller: null });
    if (problem.code === undefined) throw problem;
    entry.state.value = { data: entry.state.value.data, problem };
  }
}

function abort(entry) {
  entry.controller?.abort();
  entry.controller = null;
}

function refreshTagged(tags) {
  for (const entry of entries.values()) if (entry.tags.some((tag) => tags.includes(tag))) refreshOrMark(entry);
}

function refreshOrMark(entry) {
  if (entry.users) refresh(entry);
  else entry.at = 0;
}

function evict() {
  const unused = [...entries].filter(([, entry]) => !entry.users);
  for (const [key] of unused.slice(0, Math.max(0, unused.length - MAX_UNUSED))) entries.delete(key);
}
