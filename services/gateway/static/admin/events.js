// The stream of events. It may bring thousands a second: one comes in as a count and a place in a ring, nothing more.
// A few times a second, and never in a tab that nobody sees, those who listen get what is new since.
import { signal } from "../lib/html.js";

const ADDRESS = "/api/v1/events?topics=orders,stock";
const ORDERS = ["accepted", "started", "finished", "requeued", "failed", "cancelled"].map((name) => `order.${name}`);
const STOCK = ["low", "recovered", "acknowledged", "imported"].map((name) => `stock.${name}`);
const TICK_MS = 200;
const CHANGE_MS = 1000;
const REOPEN_MS = 1500;
const KEPT = 1024;
const SECONDS = 300;
const MEAN = 5;

/** Whether events come: connecting, live or lost. */
export const connection = signal("connecting");
/** When something was last heard, in milliseconds. */
export const heard = signal(Date.now());
/** Counts up when events may have been missed: what is shown has to be asked for again. */
export const epoch = signal(0);
/** Counts up, at most once a second, when the stock has changed. */
export const stockVersion = signal(0);
/** Counts up, at most once a second, when an order has failed, or one that had failed goes on. */
export const failedVersion = signal(0);

const ring = new Array(KEPT).fill(null);
let taken = 0;
let came = 0;
const changes = [
  { names: STOCK, version: stockVersion, changed: false, told: 0 },
  { names: ["order.failed", "order.requeued", "order.cancelled"], version: failedVersion, changed: false, told: 0 },
];
let missed = false;
let source = null;
let opened = false;
const listeners = new Set();

// How many a second, of the last SECONDS seconds; the newest is at `second % SECONDS`.
const counts = { accepted: new Float64Array(SECONDS), finished: new Float64Array(SECONDS) };
let second = Math.floor(Date.now() / 1000);

function turn() {
  const now = Math.floor(Date.now() / 1000);
  const behind = now - second;
  if (behind <= 0) return;
  for (let step = 1; step <= Math.min(behind, SECONDS); step++) {
    const place = (second + step) % SECONDS;
    counts.accepted[place] = 0;
    counts.finished[place] = 0;
  }
  second = now;
}

/** The rates of the last whole seconds, each the mean of a few: times in seconds, accepted and finished a second. */
export function rates() {
  turn();
  const times = [];
  for (let at = second - SECONDS + MEAN; at < second; at++) times.push(at);
  return [times, means(counts.accepted, times), means(counts.finished, times)];
}

function means(of, times) {
  let sum = 0;
  for (let back = 1; back < MEAN; back++) sum += of[(times[0] - back) % SECONDS];
  return times.map((at) => {
    sum += of[at % SECONDS];
    const mean = sum / MEAN;
    sum -= of[(at - MEAN + 1) % SECONDS];
    return mean;
  });
}

/** Fills what was before this page with averages of the minutes that the statistics have. */
export function seedRates(minutes) {
  turn();
  const from = second - SECONDS + 1;
  for (const minute of minutes) {
    const start = Date.parse(minute.minuto) / 1000;
    for (let at = Math.max(start, from); at < Math.min(start + 60, born); at++) {
      counts.accepted[at % SECONDS] = minute.aceptados / 60;
      counts.finished[at % SECONDS] = minute.terminados / 60;
    }
  }
}
const born = second;

/** Has `listener` called with the new events of orders, parsed, oldest first; gives what ends that. */
export function listen(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function took(event) {
  ring[came++ & (KEPT - 1)] = event.data;
}

function counting(into) {
  return (event) => {
    turn();
    into[second % SECONDS] += 1;
    took(event);
  };
}

function open() {
  source = new EventSource(ADDRESS);
  for (const name of ORDERS) {
    const into = name === "order.accepted" ? counts.accepted : name === "order.finished" ? counts.finished : null;
    source.addEventListener(name, into ? counting(into) : took);
  }
  for (const change of changes) {
    for (const name of change.names) source.addEventListener(name, () => (change.changed = true));
  }
  source.addEventListener("gap", () => (missed = true));
  source.onopen = () => {
    // What happened in between is not only in the events: a server may have come back with other settings.
    if (opened) missed = true;
    opened = true;
    connection.value = "live";
  };
  source.onerror = () => {
    if (connection.value === "live") heard.value = Date.now();
    connection.value = "lost";
    opened = true;
    // A refusal ends it for good; a connection that was cut is tried again by the browser itself.
    if (source.readyState === EventSource.CLOSED) setTimeout(open, REOPEN_MS);
  };
}

function tell() {
  if (missed) {
    missed = false;
    epoch.value += 1;
  }
  for (const change of changes) {
    if (!change.changed || Date.now() - change.told < CHANGE_MS) continue;
    change.changed = false;
    change.told = Date.now();
    change.version.value += 1;
  }
  if (came === taken) return;
  if (came - taken > KEPT) {
    taken = came - KEPT;
    missed = true;
  }
  const news = [];
  for (; taken < came; taken++) {
    const place = taken & (KEPT - 1);
    news.push(JSON.parse(ring[place]));
    ring[place] = null;
  }
  for (const listener of listeners) listener(news);
}

function tick() {
  if (!document.hidden) requestAnimationFrame(tell);
}

/** Begins to follow the events. */
export function follow() {
  open();
  setInterval(tick, TICK_MS);
  document.addEventListener("visibilitychange", tick);
}
