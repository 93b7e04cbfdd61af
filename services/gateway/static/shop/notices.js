// Notices to the customer: those that are there, and how many of them are new.
import { get, remove } from "../lib/api.js";
import { changeOptimistically, invalidate, useResource } from "../lib/cache.js";
import { computed, signal } from "../lib/html.js";
import { isSignedIn, principal } from "../lib/session.js";

const NOTICES = "/api/v1/users/notices";
const KEY = "notices";
/** A user has at most so many. */
const LIMIT = 100;
const EVERY_MS = 60_000;
const SEEN = "comanda.notices";

// The newest notice that was seen in this browser, "USER NOTICE"; ids of notices are in the order of their time.
const kept = signal(localStorage.getItem(SEEN) ?? "");
const lastSeen = computed(() => {
  const [user, notice] = kept.value.split(" ");
  return user === principal.value?.user ? notice : "";
});

/** The notices of the customer, newest first, and how many are `unread`; nothing for a guest. */
export function useNotices() {
  const load = async (signal) => (await get(NOTICES, { limit: LIMIT }, { signal })).data;
  const resource = useResource(isSignedIn.value ? KEY : null, load, { tags: [KEY], every: EVERY_MS });
  return { ...resource, unread: resource.data?.filter(isUnread).length ?? 0 };
}

/** Whether a notice has come after those that were seen. */
export function isUnread({ notice_id: notice }) {
  return notice > lastSeen.value;
}

/** Keeps that these notices, newest first, have been seen. */
export function markSeen(notices) {
  if (!notices.length || !isUnread(notices[0])) return;
  kept.value = `${principal.value.user} ${notices[0].notice_id}`;
  localStorage.setItem(SEEN, kept.value);
}

/** Removes a notice; shown at once. Raises Problem. */
export async function removeNotice({ notice_id: notice }) {
  const without = (notices) => notices.filter((one) => one.notice_id !== notice);
  await changeOptimistically(KEY, without, () => remove(`${NOTICES}/${encodeURIComponent(notice)}`));
  invalidate(KEY);
}
