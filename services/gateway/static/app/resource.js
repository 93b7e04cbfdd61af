// What a part of the page asks for: the last answer stays while a newer one is waited for, or does not come.
import { get } from "./api.js";
import { epoch } from "./events.js";
import { useEffect, useRef, useState } from "./html.js";
import { token, userId } from "./settings.js";

/**
 * The answer of `load`, asked for again when `key` changes, when events may have been missed, when `version`
 * counts up, and every `every` milliseconds while the page is seen.
 */
export function useResource(load, key, { version = 0, every = 0 } = {}) {
  const [state, set] = useState({ key: null, data: undefined, problem: null });
  const asked = useRef(0);
  const loading = useRef(load);
  loading.current = load;
  const whose = `${key}|${token.value}|${userId.value}`;

  const reload = useRef(null);
  reload.current = async () => {
    const number = ++asked.current;
    let found;
    try {
      found = { key: whose, data: await loading.current(), problem: null };
    } catch (problem) {
      found = { problem };
    }
    if (number !== asked.current) return;
    set((before) =>
      found.problem ? { key: whose, data: before.key === whose ? before.data : undefined, problem: found.problem } : found,
    );
  };

  useEffect(() => {
    reload.current();
  }, [whose, version, epoch.value]);
  useEffect(() => {
    if (!every) return undefined;
    const timer = setInterval(() => document.hidden || reload.current(), every);
    return () => clearInterval(timer);
  }, [every]);
  useEffect(() => () => asked.current++, []);

  const current = state.key === whose;
  return {
    data: current ? state.data : undefined,
    problem: current ? state.problem : null,
    reload: () => reload.current(),
  };
}

/** A list that is turned page by page: `rows` of this page, and the steps to the next and back. */
export function usePages(path, values, member, { limit = 25, limitName = "limit", version = 0, every = 0, whose } = {}) {
  const [cursors, setCursors] = useState([]);
  const list = path + JSON.stringify(values);
  const seen = useRef(list);
  const turned = seen.current === list ? cursors : [];
  if (seen.current !== list) {
    seen.current = list;
    setCursors([]);
  }
  const cursor = turned.at(-1);
  const resource = useResource(
    () => get(path, { ...values, ...(whose ? whose() : {}), [limitName]: limit, cursor }),
    `${list}@${cursor ?? ""}`,
    { version, every },
  );
  const next = resource.data?.cursor ?? null;
  return {
    ...resource,
    rows: resource.data?.[member],
    page: turned.length + 1,
    back: turned.length ? () => setCursors(turned.slice(0, -1)) : null,
    next: next === null ? null : () => setCursors([...turned, next]),
    first: () => setCursors([]),
  };
}
