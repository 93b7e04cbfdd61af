// Data of the dashboard: asked for again when events may have been missed, and for each player by itself.
import { get } from "../lib/api.js";
import { useResource } from "../lib/cache.js";
import { useEffect, useRef, useState } from "../lib/html.js";
import { epoch } from "./events.js";
import { token, userId } from "./player.js";

/**
 * Returns the data of `load`, asked for when a part begins to show it, when `version` counts up, when events may have
 * been missed, and every `every` milliseconds while the page is seen.
 */
export function useLiveResource(load, key, { version = 0, every = 0 } = {}) {
  const resource = useResource(`${key}|${token.value}|${userId.value}`, load, { maxAge: 0, every });
  const counted = `${version}|${epoch.value}`;
  const seen = useRef(counted);
  useEffect(() => {
    if (seen.current === counted) return;
    seen.current = counted;
    resource.reload();
  }, [counted]);
  return resource;
}

/** A list that is read page by page: `rows` of this page, and the steps to the next and back. */
export function useLivePages(path, values, member, { limit = 25, limitName = "limit", version = 0, every = 0, player } = {}) {
  const [cursors, setCursors] = useState([]);
  const list = path + JSON.stringify(values);
  const seen = useRef(list);
  const turned = seen.current === list ? cursors : [];
  if (seen.current !== list) {
    seen.current = list;
    setCursors([]);
  }
  const cursor = turned.at(-1);
  const resource = useLiveResource(
    (signal) => get(path, { ...values, ...(player ? player() : {}), [limitName]: limit, cursor }, { signal }),
    `${list}@${limit}@${cursor ?? ""}`,
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
