// Orders that failed: each can be tried again as it is, mended and placed anew, or discarded.
import { get, hashText, post, remove } from "../lib/api.js";
import { html, useState } from "../lib/html.js";
import { moment, plural, t } from "../lib/i18n.js";
import { Button } from "../lib/ui/button.js";
import { Confirm, Dialog } from "../lib/ui/dialog.js";
import { Field } from "../lib/ui/field.js";
import { Icon } from "../lib/ui/icon.js";
import { Pager } from "../lib/ui/pager.js";
import { describeProblem } from "../lib/ui/problem.js";
import { EmptyState, Loaded } from "../lib/ui/states.js";
import { attempt, showToast } from "../lib/ui/toast.js";
import { failedVersion } from "./events.js";
import { goods } from "./orderlist.js";
import { briefId, OrderId } from "./parts.js";
import { formOf, isAtField, OrderFields, orderOf } from "./placing.js";
import { useLivePages, useLiveResource } from "./resource.js";
import { mayOperate } from "./roles.js";

const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

/**
 * Sets a failed order going with its new content: that is placed under a key which the content decides, so that
 * doing it twice makes one order; only then is the failed one discarded. Gives the id of the new order.
 */
async function replay(id, text) {
  const { id: placed } = await post("/api/v1/orders", text, { "Idempotency-Key": `replay:${id}:${hashText(text)}` });
  await remove(`/api/v1/orders/${id}`);
  return placed;
}

function Mend({ order, close }) {
  const start = orderOf(formOf(order));
  const [form, setForm] = useState(formOf(order));
  const [json, setJson] = useState(null);
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);

  const read = () => {
    try {
      return JSON.parse(json);
    } catch (error) {
      setProblem({ code: "invalid_json", message: error.message });
      return null;
    }
  };
  const swap = () => {
    setProblem(null);
    if (json === null) setJson(JSON.stringify(orderOf(form), null, 2));
    else {
      const order = read();
      if (order && Array.isArray(order.productos)) (setForm(formOf(order)), setJson(null));
    }
  };
  const send = async (event) => {
    event.preventDefault();
    const content = json === null ? orderOf(form) : read();
    if (!content) return;
    setBusy(true);
    setProblem(null);
    try {
      if (same(content, start)) {
        await post(`/api/v1/orders/${order.id}/retry`);
        showToast(t("failed.retried"));
      } else {
        const placed = await replay(order.id, JSON.stringify(content));
        showToast(t("failed.replaced", { old: briefId(order.id), id: briefId(placed) }));
      }
      close(true);
    } catch (found) {
      setProblem(found);
      setBusy(false);
    }
  };
  return html`<${Dialog} title=${t("failed.mend")} close=${close}>
    <form onSubmit=${send} novalidate>
      <p class="old"><${Icon} name="fault" />${order.detalle}</p>
      ${json === null
        ? html`<${OrderFields} form=${form} change=${setForm} problem=${problem} />`
        : html`<${Field} as="textarea" rows="14" spellcheck="false" class="code" label=${t("failed.json")} value=${json} onValue=${setJson} />`}
      ${problem && (json !== null || !isAtField(problem)) && html`<p class="error" role="alert"><${Icon} name="warning" />${describeProblem(problem)}</p>`}
      <p class="hint">${t("failed.mend.hint")}</p>
      <footer>
        <${Button} kind="quiet" onClick=${swap}>${t(json === null ? "failed.as_json" : "failed.as_fields")}<//>
        <button type="submit" class="button primary" disabled=${busy}><span>${t("failed.replay")}</span></button>
      </footer>
    </form>
  <//>`;
}

/** Every failed attempt at an order: its error, where it was raised, and how it got there. */
function Attempts({ order, close }) {
  const story = useLiveResource(() => get(`/api/v1/orders/${order.id}/explain`), `explain:${order.id}`);
  return html`<${Dialog} title=${t("failed.attempts")} close=${close}>
    <p class="note">${order.cliente} · ${goods(order)}</p>
    <${Loaded} resource=${story}>
      ${({ errores = [] }) => html`<ol class="attempts">
        ${errores.map(
          (failed) => html`<li key=${failed.intento}>
            <p class="fault"><${Icon} name="fault" /><span>${t("failed.attempt", { n: failed.intento })}: ${failed.detalle}</span></p>
            <p class="note"><time datetime=${failed.cuando}>${moment(failed.cuando)}</time>${failed.lugar && html` · <code>${failed.lugar}</code>`}</p>
            ${failed.traza && html`<pre class="code" tabindex="0" aria-label=${t("failed.traceback", { n: failed.intento })}>${failed.traza}</pre>`}
          </li>`,
        )}
      </ol>
      ${errores.length === 0 && html`<p>${t("failed.no_attempts")}</p>`}`}
    <//>
  <//>`;
}

export function Failed() {
  const pages = useLivePages("/api/v1/orders", { estado: "fallido" }, "pedidos", { limitName: "limite", limit: 20, version: failedVersion.value });
  const [mended, setMended] = useState(null);
  const [discarded, setDiscarded] = useState(null);
  const [explained, setExplained] = useState(null);
  const again = async (order) => {
    await attempt(() => post(`/api/v1/orders/${order.id}/retry`), t("failed.retried"));
    pages.reload();
  };
  return html`<section>
    <${Loaded}
      resource=${pages}
      empty=${html`<div class="panel"><${EmptyState} icon="check" title=${t("failed.none")}><p>${t("failed.none.hint")}</p><//></div>`}
    >
      ${() => html`<ul class="letters">
        ${pages.rows.map(
          (order) => html`<li class="panel letter" key=${order.id} data-order=${order.id}>
            <header><strong>${order.cliente}</strong><${OrderId} id=${order.id} /><time datetime=${order.fecha_fin}>${moment(order.fecha_fin ?? order.recibido)}</time></header>
            <p class="fault"><${Icon} name="fault" /><span>${order.detalle}</span></p>
            <p class="note">${goods(order)} · ${order.direccion} · ${plural("failed.attempts", order.intentos)}</p>
            <footer>
              ${mayOperate.value &&
              html`<${Button} icon="retry" onClick=${() => again(order)}>${t("failed.retry")}<//>
                <${Button} icon="edit" onClick=${async () => setMended(await attempt(() => get(`/api/v1/orders/${order.id}`)))}>${t("failed.edit")}<//>`}
              <${Button} kind="quiet" icon="history" onClick=${() => setExplained(order)}>${t("failed.attempts")}<//>
              ${mayOperate.value && html`<${Button} kind="quiet" icon="trash" onClick=${() => setDiscarded(order)}>${t("failed.discard")}<//>`}
            </footer>
          </li>`,
        )}
      </ul>`}
    <//>
    <${Pager} pages=${pages} />
    ${explained && html`<${Attempts} order=${explained} close=${() => setExplained(null)} key=${explained.id} />`}
    ${mended && html`<${Mend} order=${mended} close=${() => (setMended(null), pages.reload())} key=${mended.id} />`}
    ${discarded &&
    html`<${Confirm}
      title=${t("failed.discard.title")}
      text=${t("failed.discard.text", { name: discarded.cliente })}
      action=${t("failed.discard")}
      confirm=${async () => (await attempt(() => remove(`/api/v1/orders/${discarded.id}`), t("failed.discarded")), pages.reload())}
      close=${() => setDiscarded(null)}
    />`}
  </section>`;
}
