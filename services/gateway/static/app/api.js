// Requests to the gateway. What is refused is raised as a Problem, in the server's own words.
import { token, userId } from "./settings.js";

const PATIENCE_MS = 15_000;
const PAGE = 500;
const MOST_PAGES = 10;
/** Routes that answer 401 to a wrong password, too. */
const ACCOUNTS = "/api/v1/users/";

class Problem extends Error {
  constructor(status, told) {
    super(told.detail);
    this.status = status;
    this.code = told.error;
    this.field = told.field;
    this.hint = told.hint;
    this.report = told.report;
    this.retryAfter = told.retry_after_ms;
    /** Whether it is about something of players, whose tokens are in the settings. */
    this.ofPlayers = false;
  }
}

/** A problem of an answer, or of the lack of one. */
export function problemOf(status, body) {
  const code = status === 0 ? "offline" : status === 404 ? "not_found" : status >= 500 ? "unavailable" : "bad_request";
  return new Problem(status, body && body.error ? body : { error: code, detail: "" });
}

// Scores and notifications belong to players, who have tokens of their own. Everything else goes by the session's cookie.
const OF_PLAYERS = /^\/api\/(notificaciones|guardar_puntaje)/;

/** The player's token, for the paths that know it. */
function credentials(path) {
  return token.value && OF_PLAYERS.test(path) ? { Authorization: `Bearer ${token.value}` } : {};
}

let unauthorized = () => undefined;

/** Has `listener` called when the server refuses a request for the lack of a session. */
export function onUnauthorized(listener) {
  unauthorized = listener;
}

/** The problem of an answer for a path. */
function refusal(status, path, told) {
  const problem = problemOf(status, told);
  problem.ofPlayers = OF_PLAYERS.test(path);
  return problem;
}

function hearRefusal(status, path) {
  if (status === 401 && !OF_PLAYERS.test(path) && !path.startsWith(ACCOUNTS)) unauthorized();
}

/** The parameter or member that says who asks where no token does. */
export function asking() {
  return token.value ? {} : { user_id: Number(userId.value) || 1 };
}

/** Returns the path of an item. */
export function itemPath({ store, item }) {
  return `/items/${encodeURIComponent(store)}/${encodeURIComponent(item)}`;
}

/** The query of an address; what is null or undefined is left out. */
export function query(values) {
  const found = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return found.length ? `?${new URLSearchParams(found)}` : "";
}

/** Asks, and gives what was answered. Raises Problem. */
async function call(method, path, { body, headers = {} } = {}) {
  const sent = { ...credentials(path), ...headers };
  let payload;
  if (body !== undefined) {
    sent["Content-Type"] = "application/json";
    payload = typeof body === "string" ? body : JSON.stringify(body);
  }
  let answer;
  let told;
  try {
    answer = await fetch(path, { method, headers: sent, body: payload, signal: AbortSignal.timeout(PATIENCE_MS) });
    const text = await answer.text();
    told = text ? JSON.parse(text) : null;
  } catch {
    throw problemOf(answer ? answer.status : 0, null);
  }
  if (answer.ok) return told;
  hearRefusal(answer.status, path);
  throw refusal(answer.status, path, told);
}

export const get = (path, values = {}) => call("GET", path + query(values));

/** The rows of a list from its first on, through its pages, at most `most` of them; `more` says whether others follow. */
export async function getRows(path, member, most, { values = {}, limitName = "limit", pages = MOST_PAGES } = {}) {
  const rows = [];
  let cursor = null;
  // A page may be short, or empty, with others behind it: only the cursor tells.
  for (let turned = 0; turned < pages; turned++) {
    const page = await get(path, { ...values, [limitName]: Math.min(PAGE, most - rows.length), cursor });
    rows.push(...page[member]);
    cursor = page.cursor ?? null;
    if (cursor === null || rows.length >= most) break;
  }
  return { rows, more: cursor !== null };
}

export const post = (path, body, headers) => call("POST", path, { body, headers });
export const put = (path, body, headers) => call("PUT", path, { body, headers });
export const patch = (path, body, headers) => call("PATCH", path, { body, headers });
export const remove = (path, headers) => call("DELETE", path, { headers });

/** Sends a file; `progress` hears the share that has gone out, from 0 to 1. Raises Problem. */
export function upload(path, file, progress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    for (const [name, value] of Object.entries({ ...credentials(path), "Content-Type": "text/csv" })) {
      request.setRequestHeader(name, value);
    }
    request.upload.onprogress = (event) => event.lengthComputable && progress(event.loaded / event.total);
    request.onerror = request.onabort = () => reject(problemOf(0, null));
    request.onload = () => {
      let told = null;
      try {
        told = JSON.parse(request.responseText);
      } catch {
        // Whatever stands in between has answered in its own way.
      }
      if (request.status >= 200 && request.status < 300 && told) resolve(told);
      else {
        hearRefusal(request.status, path);
        reject(problemOf(request.status, told));
      }
    };
    request.send(file);
  });
}

/** A new key under which it is safe to send the same again. */
export function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A short hash of a text, in hexadecimal: the same text always has the same one. */
export function hashOf(text) {
  let low = 0x811c9dc5;
  let high = 0x1b873593;
  for (let place = 0; place < text.length; place++) {
    low = Math.imul(low ^ text.charCodeAt(place), 0x01000193);
    high = Math.imul(high ^ text.charCodeAt(place), 0x5bd1e995) ^ (low >>> 15);
  }
  return (low >>> 0).toString(16).padStart(8, "0") + (high >>> 0).toString(16).padStart(8, "0");
}
