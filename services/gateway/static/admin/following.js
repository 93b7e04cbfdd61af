// One order, followed until nothing more happens to it.
import { get, remove } from "../lib/api.js";
import { html, useEffect, useState } from "../lib/html.js";
import { duration, moment, t } from "../lib/i18n.js";
import { Button } from "../lib/ui/button.js";
import { Icon } from "../lib/ui/icon.js";
import { attempt } from "../lib/ui/toast.js";
import { epoch, listen } from "./events.js";
import { OrderId, State, stateName } from "./parts.js";

const STEPS = ["en cola", "en proceso", "listo"];
const FINAL = ["listo", "fallido", "cancelado"];
const ASK_MS = 3000;

/** The life of an order as steps; `order` has its id, its customer and what was answered when it was accepted. */
export function Follow({ order }) {
  const [known, setKnown] = useState({ estado: order.accepted.estado, times: { "en cola": new Date().toISOString() } });
  const { estado, times, detalle } = known;
  const final = FINAL.includes(estado);

  useEffect(() => {
    const read = async () => {
      try {
        const found = await get(`/api/v1/orders/${order.id}`);
        const seen = { "en cola": found.recibido, "en proceso": found.fecha_inicio, [found.estado]: found.fecha_fin ?? found.fecha_inicio ?? found.recibido };
        setKnown((before) =>
          STEPS.indexOf(found.estado) < STEPS.indexOf(before.estado) && before.estado === "listo"
            ? before
            : { estado: found.estado, detalle: found.detalle, times: { ...before.times, ...seen } },
        );
      } catch {
        // The events tell it, too; and it is asked for again.
      }
    };
    read();
    if (final) return undefined;
    const end = listen((news) => {
      for (const event of news) {
        if (event.id !== order.id) continue;
        setKnown((before) => ({
          estado: event.estado,
          detalle: event.detalle,
          times: { ...before.times, [event.estado]: event.cuando },
        }));
      }
    });
    const timer = setInterval(read, ASK_MS);
    return () => (end(), clearInterval(timer));
  }, [order.id, final, epoch.value]);

  const at = STEPS.indexOf(estado);
  const took = times.listo && times["en cola"] ? Date.parse(times.listo) - Date.parse(times["en cola"]) : null;
  return html`<article class="follow" data-order=${order.id} data-state=${estado} aria-live="polite">
    <header><strong>${order.cliente}</strong><${OrderId} id=${order.id} /><${State} state=${estado} /></header>
    ${at >= 0 &&
    html`<ol class="steps">
      ${STEPS.map(
        (step, place) => html`<li key=${step} class=${place < at || estado === "listo" ? "done" : place === at ? "now" : ""} aria-current=${place === at ? "step" : undefined}>
          <span class="mark">${place < at || estado === "listo" ? html`<${Icon} name="check" />` : place + 1}</span>
          <span class="name">${stateName(step)}</span>
          <time>${place <= at ? moment(times[step]) : ""}</time>
        </li>`,
      )}
    </ol>`}
    ${detalle && estado === "fallido" && html`<p class="error">${detalle}</p>`}
    <footer>
      ${estado === "listo" && took !== null && html`<span class="note">${t("follow.took", { time: duration(took) })}</span>`}
      ${estado === "en cola" &&
      html`<span class="note">${order.accepted.espera_ms ? t("follow.wait", { time: duration(order.accepted.espera_ms) }) : ""}</span>
        <${Button} kind="quiet" icon="ban" onClick=${() => attempt(() => remove(`/api/v1/orders/${order.id}`), t("order.cancelled"))}>${t("order.cancel")}<//>`}
    </footer>
  </article>`;
}
