// The page of the cart.
import { html, useState } from "../../lib/html.js";
import { plural, t } from "../../lib/i18n.js";
import { go, to } from "../../lib/router.js";
import { Button } from "../../lib/ui/button.js";
import { Icon } from "../../lib/ui/icon.js";
import { EmptyState, Loaded } from "../../lib/ui/states.js";
import { Amounts } from "../amounts.js";
import { useCart } from "../cart.js";
import { CartLine } from "../cart_line.js";

/** Prices and stock are asked for again so often while the page is seen. */
const REFRESH_MS = 15_000;

export default function Cart() {
  const cart = useCart({ every: REFRESH_MS });
  return html`<h1 tabindex="-1">${t("cart.title")}</h1>
    <${Loaded} resource=${cart} lines=${6}>${({ items, summary }) => (items.length ? html`<${Filled} items=${items} summary=${summary} />` : html`<${EmptyCart} />`)}<//>`;
}

/** Says that the cart is empty, and leads to the books. */
export function EmptyCart({ children }) {
  return html`<${EmptyState} icon="bag" title=${t("cart.empty")}>
    ${children ?? html`<p>${t("cart.empty.hint")}</p>`}
    <a class="button primary" href=${to("search")}>${t("cart.look")}</a>
  <//>`;
}

function Filled({ items, summary }) {
  const [isBlocked, setBlocked] = useState(false);
  const wrong = items.filter((line) => !line.available);
  const checkOut = () => {
    if (!wrong.length) return go(to("checkout"));
    setBlocked(true);
    return document.querySelector(`[data-book="${CSS.escape(wrong[0].book_id)}"] :is(button, a[href]:not([tabindex]))`)?.focus();
  };
  return html`<div class="cart-page">
    <section aria-labelledby="cart-lines">
      <h2 class="unseen" id="cart-lines">${t("cart.lines")}</h2>
      <ul class="cart-lines">${items.map((line) => html`<${CartLine} key=${line.book_id} line=${line} currency=${summary.currency} />`)}</ul>
    </section>
    <section class="cart-sum" aria-label=${t("amounts.title")}>
      <h2>${plural("cart.books", summary.total_items)}</h2>
      <${Amounts} of=${summary} currency=${summary.currency} />
      ${wrong.length > 0 && html`<p class="error" role=${isBlocked ? "alert" : undefined}><${Icon} name="warning" /><span>${plural("cart.blocked", wrong.length)}</span></p>`}
      <${Button} kind="primary" onClick=${checkOut}>${t("cart.checkout")}<//>
      <a href=${to("search")}>${t("cart.more_books")}</a>
    </section>
  </div>`;
}
