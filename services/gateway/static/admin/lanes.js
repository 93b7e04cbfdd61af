// Orders on their way: a lane for each state, and cards that move from one to the next.
import { html, useLayoutEffect, useRef } from "../lib/html.js";
import { moment, number, t } from "../lib/i18n.js";
import { to } from "../lib/router.js";
import { ErrorState } from "../lib/ui/states.js";
import { filled, lane, moves, STATES } from "./board.js";
import { figures } from "./figures.js";
import { briefId, State, stateName } from "./parts.js";

const SHOWN = 5;
// With more of them than this at once nobody could follow them with their eyes.
const MOST_MOVES = 12;
const TRAVEL = { duration: 320, easing: "cubic-bezier(.2,.8,.2,1)" };
const calm = matchMedia("(prefers-reduced-motion: reduce)");

function Card({ order }) {
  const { id, cliente, cuando, detalle } = order;
  return html`<li class="card" data-id=${id}>
    <strong title=${cliente}>${cliente}</strong>
    <span class="note">${detalle ? html`<span title=${detalle}>${detalle}</span>` : html`<span title=${id}>${briefId(id)}</span><time datetime=${cuando}>${moment(cuando)}</time>`}</span>
  </li>`;
}

function Lane({ state }) {
  const count = figures.value?.pedidos[state];
  const orders = lane(state, SHOWN);
  const more = state === "fallido" ? to("orders", "failed") : to("orders", "list", state);
  return html`<section class="lane" data-state=${state} aria-label=${stateName(state)}>
    <a class="top" href=${more}><${State} state=${state} /><span class="count">${number(count)}</span></a>
    <ol>${orders.map((order) => html`<${Card} order=${order} key=${order.id} />`)}</ol>
    ${orders.length === 0 && html`<p class="none">${filled.value === null ? t("state.loading") : t(count ? "lanes.unseen" : "lanes.none")}</p>`}
  </section>`;
}

/** The lanes; cards travel to where they are now. */
export function Lanes() {
  moves.value;
  const element = useRef(null);
  const places = useRef(new Map());
  useLayoutEffect(() => {
    const before = places.current;
    const now = new Map();
    const found = [];
    for (const card of element.current.querySelectorAll(".card")) {
      const { left, top } = card.getBoundingClientRect();
      const place = { left: left + scrollX, top: top + scrollY };
      const old = before.get(card.dataset.id);
      now.set(card.dataset.id, place);
      if (!old) found.push([card, null]);
      else if (old.left !== place.left || old.top !== place.top) found.push([card, old, place]);
    }
    places.current = now;
    const first = before.size === 0 && now.size > 1;
    if (first || calm.matches || found.length > MOST_MOVES) return;
    for (const [card, old, place] of found) {
      if (!old) card.animate([{ opacity: 0, transform: "translateY(-8px)" }, { opacity: 1, transform: "none" }], TRAVEL);
      else {
        const by = `translate(${old.left - place.left}px, ${old.top - place.top}px)`;
        card.animate([{ transform: by, zIndex: 2 }, { transform: "none", zIndex: 2 }], TRAVEL);
      }
    }
  });
  const problem = filled.value && filled.value !== true ? filled.value : null;
  return html`<div class="lanes" ref=${element}>
    ${problem ? html`<${ErrorState} problem=${problem} />` : STATES.map((state) => html`<${Lane} state=${state} key=${state} />`)}
  </div>`;
}
