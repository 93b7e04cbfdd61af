// The intake's own figures: how many orders are in which state, the queue, the workers, how long orders take.
import { get } from "../lib/api.js";
import { effect, signal } from "../lib/html.js";
import { epoch, listen } from "./events.js";

const IDLE_MS = 3000;
const BUSY_MS = 500;
const SAMPLES = 150;

/** The figures; null before the first. */
export const figures = signal(null);
/** Why the last figures could not be had, or null. */
export const trouble = signal(null);

// Over time: seconds, p50 and p95 of the wait, p50 and p95 of the work, in milliseconds.
const latencies = [[], [], [], [], []];

let timer = 0;
let due = 0;
let asking = false;

async function ask() {
  asking = true;
  clearTimeout(timer);
  due = 0;
  try {
    const told = await get("/api/v1/stats");
    sample(told);
    trouble.value = null;
    figures.value = told;
  } catch (problem) {
    trouble.value = problem;
  }
  asking = false;
  plan(IDLE_MS);
}

function sample({ espera_ms: wait, proceso_ms: work }) {
  const now = Date.now() / 1000;
  const values = [now, wait?.p50 ?? null, wait?.p95 ?? null, work?.p50 ?? null, work?.p95 ?? null];
  if (latencies[0].length && now - latencies[0].at(-1) < 1.5) return;
  values.forEach((value, at) => {
    latencies[at].push(value);
    if (latencies[at].length > SAMPLES) latencies[at].shift();
  });
}

/** Percentiles over time, up to now: seconds, p50 and p95 of the wait, p50 and p95 of the work, in milliseconds. */
export function percentiles() {
  if (latencies[0].length === 0) return latencies;
  return latencies.map((values, at) => [...values, at === 0 ? Date.now() / 1000 : values.at(-1)]);
}

function plan(ms) {
  const at = Date.now() + ms;
  if (asking || (due && due <= at)) return;
  clearTimeout(timer);
  due = at;
  timer = setTimeout(() => {
    due = 0;
    if (document.hidden) plan(IDLE_MS);
    else ask();
  }, ms);
}

/** Begins to ask for the figures: at once when something happens, else every few seconds. */
export function keepFigures() {
  listen(() => plan(BUSY_MS));
  document.addEventListener("visibilitychange", () => plan(0));
  effect(() => {
    epoch.value;
    if (!asking) ask();
  });
}
