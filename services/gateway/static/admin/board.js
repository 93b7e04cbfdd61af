// The newest orders of each state, as events move them along.
import { effect, signal } from "../lib/html.js";
import { epoch, listen } from "./events.js";
import { getRows } from "./rows.js";

export const STATES = ["en cola", "en proceso", "listo", "fallido", "cancelado"];
const KEPT = 24;
const SEEDED = 8;
const SEED_PAGES = 4;

/** Counts up when an order has moved; `lane` tells what is where. */
export const moves = signal(0);
/** Whether the board has been filled once, as far as that was possible; null before, or why nothing of it could be had. */
export const filled = signal(null);

const lanes = new Map(STATES.map((state) => [state, new Map()]));

/** The newest orders of a state, newest first. */
export function lane(state, count) {
  const found = [];
  const orders = [...lanes.get(state).values()];
  for (let place = orders.length - 1; place >= 0 && found.length < count; place--) found.push(orders[place]);
  return found;
}

function place(order) {
  for (const [state, orders] of lanes) {
    if (state !== order.estado) orders.delete(order.id);
  }
  const orders = lanes.get(order.estado);
  if (!orders) return;
  orders.delete(order.id);
  orders.set(order.id, order);
  if (orders.size > KEPT) orders.delete(orders.keys().next().value);
}

async function fill() {
  const found = await Promise.allSettled(
    STATES.map((estado) => getRows("/api/v1/orders", "pedidos", SEEDED, { values: { estado }, limitName: "limite", pages: SEED_PAGES })),
  );
  // A state that could not be had keeps what is known of it.
  found.forEach(({ value }, at) => value && lanes.get(STATES[at]).clear());
  for (const { value } of found) {
    for (const order of value?.rows.reverse() ?? []) {
      place({ ...brief(order), cuando: order.fecha_fin ?? order.fecha_inicio ?? order.recibido });
    }
  }
  if (found.some(({ value }) => value)) filled.value = true;
  else filled.value = filled.value === true || found[0].reason;
  moves.value += 1;
}

function brief({ id, cliente, estado, detalle }) {
  return { id, cliente, estado, detalle };
}

/** Begins to fill the board, again whenever events may have been missed. */
export function fillBoard() {
  listen((news) => {
    for (const { id, cliente, estado, cuando, detalle } of news) place({ id, cliente, estado, cuando, detalle });
    moves.value += 1;
  });
  effect(() => {
    epoch.value;
    fill();
  });
}
