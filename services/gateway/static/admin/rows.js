// The first rows of a list, through its pages.
import { get } from "../lib/api.js";

const PAGE_ROWS = 500;
const MAX_PAGES = 10;

/** Returns the first rows of a list, at most `most`, read page by page, and whether there are `more`. */
export async function getRows(path, member, most, { values = {}, limitName = "limit", pages = MAX_PAGES } = {}) {
  const rows = [];
  let cursor = null;
  // A page may be short, or empty, with others behind it: only the cursor tells.
  for (let read = 0; read < pages; read++) {
    const page = await get(path, { ...values, [limitName]: Math.min(PAGE_ROWS, most - rows.length), cursor });
    rows.push(...page[member]);
    cursor = page.cursor ?? null;
    if (cursor === null || rows.length >= most) break;
  }
  return { rows, more: cursor !== null };
}
