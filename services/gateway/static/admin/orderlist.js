// All orders, by state, page by page.
import { remove } from "../lib/api.js";
import { html, useState } from "../lib/html.js";
import { moment, number, t } from "../lib/i18n.js";
import { path, to } from "../lib/router.js";
import { Button } from "../lib/ui/button.js";
import { Pager } from "../lib/ui/pager.js";
import { EmptyState, Loaded } from "../lib/ui/states.js";
import { attempt } from "../lib/ui/toast.js";
import { STATES } from "./board.js";
import { OrderId, State, stateName } from "./parts.js";
import { useLivePages } from "./resource.js";
import { mayOperate } from "./roles.js";

/** What an order asks for, in a line. */
export function goods(order) {
  return order.productos
    .map((one) => (typeof one === "string" ? one : `${one.cantidad > 1 ? `${number(one.cantidad)} × ` : ""}${one.producto}`))
    .join(", ");
}

export function OrderList() {
  const state = STATES.includes(path.value[2]) ? path.value[2] : null;
  const [customer, setCustomer] = useState("");
  const pages = useLivePages("/api/v1/orders", { estado: state, cliente: customer.trim() }, "pedidos", {
    limitName: "limite",
    every: 5000,
  });
  const choices = [[null, t("orders.all")], ...STATES.map((one) => [one, stateName(one)])];
  return html`<section class="panel">
    <div class="tools">
      <nav class="pills" aria-label=${t("orders.by_state")}>
        ${choices.map(
          ([one, text]) => html`<a href=${one ? to("orders", "list", one) : to("orders", "list")} aria-current=${one === state ? "true" : undefined} key=${text}>${text}</a>`,
        )}
      </nav>
      <form role="search" onSubmit=${(event) => event.preventDefault()}>
        <input type="search" aria-label=${t("orders.customer")} placeholder=${t("orders.customer")} value=${customer} onChange=${(event) => setCustomer(event.currentTarget.value)} />
      </form>
    </div>
    <${Loaded} resource=${pages} empty=${html`<${EmptyState} icon="orders" title=${t("orders.none")}><p>${t("orders.none.hint")}</p><//>`}>
      ${() => html`<div class="scroll"><table class="stacks">
        <caption class="unseen">${t("orders.list")}</caption>
        <thead><tr>${["customer", "products", "state", "received"].map((key) => html`<th scope="col" key=${key}>${t(`order.${key}`)}</th>`)}<td></td></tr></thead>
        <tbody>
          ${pages.rows.map(
            (order) => html`<tr key=${order.id}>
              <th scope="row">${order.cliente}<${OrderId} id=${order.id} /></th>
              <td data-label=${t("order.products")} class="wide">${goods(order)}</td>
              <td data-label=${t("order.state")}><${State} state=${order.estado} /></td>
              <td data-label=${t("order.received")} class="when"><time datetime=${order.recibido}>${moment(order.recibido)}</time></td>
              <td class="end">
                ${order.estado === "en cola" && mayOperate.value &&
                html`<${Button}
                  kind="quiet"
                  icon="ban"
                  label=${t("order.cancel_of", { name: order.cliente })}
                  onClick=${async () => (await attempt(() => remove(`/api/v1/orders/${order.id}`), t("order.cancelled")), pages.reload())}
                />`}
              </td>
            </tr>`,
          )}
        </tbody>
      </table></div>`}
    <//>
    <${Pager} pages=${pages} />
  </section>`;
}
