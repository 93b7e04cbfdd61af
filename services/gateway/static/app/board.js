// The newest orders of each state, as events move them along.
import { get } from "./api.js";
import { epoch, listen } from "./events.js";
import { effect, signal } from "./html.js";

export const STATES = ["en cola", "en proceso", "listo", "fallido", "cancelado"];
const KEPT = 24;
const SEEDED = 8;

/** Counts up when an order has moved; `lane` tells what is where. */
export const moves = signal(0);
/** Whether the board has been filled once, or why it could not be. */
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

listen((news) => {
  for (const { id, cliente, estado, cuando, detalle } of news) place({ id, cliente, estado, cuando, detalle });
  moves.value += 1;
});

async function fill() {
  try {
    const pages = await Promise.all(
      STATES.map((estado) => get("/api/v1/orders", { estado, limite: SEEDED })),
    );
    pages.forEach(({ pedidos }, at) => {
      const orders = lanes.get(STATES[at]);
      orders.clear();
      for (const order of pedidos.reverse()) {
        place({ ...brief(order), cuando: order.fecha_fin ?? order.fecha_inicio ?? order.recibido });
      }
    });
    filled.value = true;
    moves.value += 1;
  } catch (problem) {
    filled.value = filled.value || problem;
  }
}

function brief({ id, cliente, estado, detalle }) {
  return { id, cliente, estado, detalle };
}

/** Begins to fill the board, again whenever events may have been missed. */
export function fillBoard() {
  effect(() => {
    epoch.value;
    fill();
  });
}
