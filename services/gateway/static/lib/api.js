// Requests to the gateway. A refusal is raised as a Problem with the server's code and values.

const TIMEOUT_MS = 15_000;
/** Routes that answer 401 to a wrong password, too. */
const CREDENTIAL_ROUTES = /^\/api\/v1\/users\/(login|password|register|refresh)/;

/**
 * A refused request, or one without a response (`code` "offline", `status` 0). `reason` and `params` are the precise
 * code with its values, and `errors` has the same of each field that is wrong.
 */
export class Problem extends Error {
  constructor(status, path, details) {
    super(details.detail);
    this.status = status;
    this.path = path;
    this.code = details.error;
    this.reason = details.code;
    this.params = details.params ?? {};
    this.errors = details.errors ?? [];
    this.field = details.field;
    this.hint = details.hint;
    this.report = details.report;
    this.cart = details.cart;
    this.retryAfter = details.retry_after_ms;
  }
}

/** Returns the problem of a response with `status` and `body`; status 0 means that there was no response. */
export function problemOf(status, body = null, path = "") {
  const code = status === 0 ? "offline" : status === 404 ? "not_found" : status >= 500 ? "unavailable" : "bad_request";
  return new Problem(status, path, body && body.error ? body : { error: code, detail: "" });
}

let onUnauthorized = () => undefined;
let headersFor = () => ({});

/** Returns the headers that the app adds to requests for a path. */
export function addedHeaders(path) {
  return headersFor(path);
}

/**
 * Sets what an app does at a 401: `unauthorized(problem)` is called when the session is over. `headers(path)` returns
 * headers for requests to `path`; the session itself goes with a cookie.
 */
export function configureApi({ unauthorized, headers }) {
  if (unauthorized) onUnauthorized = unauthorized;
  if (headers) headersFor = headers;
}

/** Returns the problem of a refused request; a 401 is also reported to the app. */
export function refuse(status, path, body) {
  const problem = problemOf(status, body, path);
  if (status === 401 && !CREDENTIAL_ROUTES.test(path)) onUnauthorized(problem);
  return problem;
}

/** Returns the query of an address; members that are null, undefined or "" are left out. */
export function buildQuery(values) {
  const kept = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return kept.length ? `?${new URLSearchParams(kept)}` : "";
}

/** Sends a request and returns the body of its response. Raises Problem, and AbortError after `signal`. */
async function send(method, path, { body, headers = {}, signal } = {}) {
  const sent = { ...headersFor(path), ...headers };
  let payload;
  if (body !== undefined) {
    sent["Content-Type"] = "application/json";
    payload = typeof body === "string" ? body : JSON.stringify(body);
  }
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  let response;
  let content;
  try {
    response = await fetch(path, { method, headers: sent, body: payload, signal: signal ? AbortSignal.any([signal, timeout]) : timeout });
    const text = await response.text();
    content = text ? JSON.parse(text) : null;
  } catch {
    signal?.throwIfAborted();
    throw problemOf(response ? response.status : 0, null, path);
  }
  if (response.ok) return content;
  throw refuse(response.status, path, content);
}

export const get = (path, values = {}, options = {}) => send("GET", path + buildQuery(values), options);
export const post = (path, body, headers) => send("POST", path, { body, headers });
export const put = (path, body, headers) => send("PUT", path, { body, headers });
export const patch = (path, body, headers) => send("PATCH", path, { body, headers });
export const remove = (path, body, headers) => send("DELETE", path, { body, headers });

/** Returns a new idempotency key, under which it is safe to send the same request again. */
export function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Returns a short hash of a text, in hexadecimal: the same text always has the same one. */
export function hashText(text) {
  let low = 0x811c9dc5;
  let high = 0x1b873593;
  for (let place = 0; place < text.length; place++) {
    low = Math.imul(low ^ text.charCodeAt(place), 0x01000193);
    high = Math.imul(high ^ text.charCodeAt(place), 0x5bd1e995) ^ (low >>> 15);
  }
  return (low >>> 0).toString(16).padStart(8, "0") + (high >>> 0).toString(16).padStart(8, "0");
}
