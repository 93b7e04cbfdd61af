// The page of a purchase: its state as it changes, its receipt, and what can be done with it.
import { get, post } from "../../lib/api.js";
import { invalidate, peek, useResource } from "../../lib/cache.js";
import { html, useEffect, useState } from "../../lib/html.js";
import { day, hasText, money, plural, t } from "../../lib/i18n.js";
import { go, query, to } from "../../lib/router.js";
import { Button } from "../../lib/ui/button.js";
import { Confirm } from "../../lib/ui/dialog.js";
import { Icon } from "../../lib/ui/icon.js";
import { useTitle } from "../../lib/ui/page.js";
import { ErrorState, LoadingState } from "../../lib/ui/states.js";
import { attempt, showToast } from "../../lib/ui/toast.js";
import { Address } from "../address.js";
import { Amounts } from "../amounts.js";
import { addToCart } from "../cart.js";
import { splitTitle } from "../cover.js";
import Missing from "../missing.js";
import { cancelReason, StateBadge, Timeline } from "../purchase_state.js";

/** A pending purchase is asked for so often while no events come. */
const POLL_MS = 5000;
const EVENTS = ["purchase.state", "purchase.ordered", "purchase.completed", "purchase.cancelled"];

export default function Purchase({ params: { id } }) {
  const address = `/api/v1/purchases/${encodeURIComponent(id)}`;
  const [isFollowed, setFollowed] = useState(false);
  const key = `purchase|${id}`;
  const isPending = peek(key)?.status === "pending";
  const { data: purchase, problem, reload } = useResource(key, (signal) => get(address, {}, { signal }), {
    tags: ["purchases"],
    every: isPending && !isFollowed ? POLL_MS : 0,
  });
  useEffect(() => (isPending ? follow(`${address}/events`, reload, setFollowed) : undefined), [address, isPending]);
  const title = purchase ? t("purchase.title", { day: day(purchase.created_at) }) : t("page.purchase");
  useTitle(title);
  if (problem?.status === 404) return html`<${Missing} title=${t("purchase.missing")} hint=${t("purchase.missing.hint")} />`;
  return html`<nav class="breadcrumbs no-print" aria-label=${t("book.breadcrumbs")}><ol><li><a href=${to("purchases")}>${t("page.purchases")}</a></li><li aria-current="page">${title}</li></ol></nav>
    <h1 tabindex="-1">${title}</h1>
    ${purchase ? html`<${Shown} purchase=${purchase} reload=${reload} address=${address} />` : problem ? html`<${ErrorState} problem=${problem} retry=${reload} />` : html`<${LoadingState} lines=${8} />`}`;
}

/** Calls `reload` with each event of a purchase; returns what ends that. `setFollowed` says whether events come. */
function follow(address, reload, setFollowed) {
  const source = new EventSource(address);
  const seen = () => (setFollowed(true), reload());
  for (const name of EVENTS) source.addEventListener(name, seen);
  source.onerror = () => setFollowed(false);
  return () => (source.close(), setFollowed(false));
}

function Shown({ purchase, address }) {
  const { status } = purchase;
  const isNew = query.value.new === "1" && status !== "cancelled";
  return html`<div class="purchase">
    <section class="purchase-state no-print" aria-label=${t("purchase.progress")} data-status=${status}>
      <p role="status">
        ${isNew && html`<strong class="thanks">${t("purchase.thanks")}</strong> `}
        ${status === "cancelled" ? cancelReason(purchase) : t(`purchase.now.${status}`)}
      </p>
      <${Timeline} purchase=${purchase} />
      <${Actions} purchase=${purchase} address=${address} />
    </section>
    <${Receipt} purchase=${purchase} />
  </div>`;
}

function Actions({ purchase, address }) {
  const [asks, setAsks] = useState(false);
  const cancel = async () => {
    await attempt(() => post(`${address}/cancel`), t("purchase.cancel.done"));
    invalidate("purchases", "books");
  };
  return html`<div class="purchase-actions">
    ${purchase.status === "pending" && html`<${Button} icon="close" onClick=${() => setAsks(true)}>${t("purchase.cancel")}<//>`}
    <${Button} icon="bag" onClick=${() => buyAgain(purchase)}>${t("purchase.again")}<//>
    <${Button} icon="download" onClick=${() => print()}>${t("purchase.print")}<//>
    ${asks && html`<${Confirm} title=${t("purchase.cancel.ask")} text=${t("purchase.cancel.hint")} action=${t("purchase.cancel")} confirm=${cancel} close=${() => setAsks(false)} />`}
  </div>`;
}

/** Puts the books of a purchase into the cart, as far as they can be bought, and goes there. */
async function buyAgain({ items }) {
  const refused = [];
  for (const { book_id: book, quantity, title } of items) {
    try {
      await addToCart(book, quantity);
    } catch (problem) {
      if (problem.status !== 404 && problem.status !== 409) return void attempt(() => Promise.reject(problem));
      refused.push(splitTitle(title)[0]);
    }
  }
  if (refused.length) showToast(plural("purchase.again.refused", refused.length, { titles: refused.join(", ") }), { kind: "bad" });
  if (refused.length < items.length) go(to("cart"));
  return undefined;
}

function Receipt({ purchase }) {
  const { items, currency } = purchase;
  return html`<article class="receipt" aria-labelledby="receipt">
    <header>
      <h2 id="receipt">${t("receipt.title")}</h2>
      <${StateBadge} purchase=${purchase} />
    </header>
    <dl class="receipt-facts">
      <div><dt>${t("receipt.number")}</dt><dd><code>${purchase.purchase_id}</code></dd></div>
      <div><dt>${t("receipt.date")}</dt><dd><time datetime=${purchase.created_at}>${day(purchase.created_at)}</time></dd></div>
      <div><dt>${t("receipt.payment")}</dt><dd>${paymentName(purchase.payment_method)}</dd></div>
      <div><dt>${t("receipt.address")}</dt><dd><${Address} address=${purchase.shipping_address} /></dd></div>
    </dl>
    <table class="receipt-lines">
      <caption class="unseen">${t("receipt.lines")}</caption>
      <thead><tr><th scope="col">${t("receipt.book")}</th><th scope="col">${t("receipt.copies")}</th><th scope="col">${t("receipt.price")}</th><th scope="col">${t("receipt.amount")}</th></tr></thead>
      <tbody>${items.map(
        (item) => html`<tr key=${item.book_id}>
          <th scope="row"><a href=${to("book", item.book_id)}>${splitTitle(item.title)[0]}</a><small>${item.author}</small></th>
          <td>${item.quantity}</td><td>${money(item.unit_price, currency)}</td><td>${money(item.subtotal, currency)}</td>
        </tr>`,
      )}</tbody>
    </table>
    <${Amounts} of=${purchase} currency=${currency} />
    <p class="note"><${Icon} name="fault" /> ${t("receipt.simulated")}</p>
  </article>`;
}

function paymentName(method) {
  return hasText(`payment.${method}`) ? t(`payment.${method}`) : method;
}
