// The page of the checkout: address, payment and review, in one form.
import { get, post } from "../../lib/api.js";
import { invalidate, useResource } from "../../lib/cache.js";
import { html, useEffect, useRef, useState } from "../../lib/html.js";
import { money, t } from "../../lib/i18n.js";
import { go, to } from "../../lib/router.js";
import { principal } from "../../lib/session.js";
import { Button } from "../../lib/ui/button.js";
import { useForm } from "../../lib/ui/form.js";
import { Icon } from "../../lib/ui/icon.js";
import { describeProblem } from "../../lib/ui/problem.js";
import { ErrorState, LoadingState } from "../../lib/ui/states.js";
import { Address, AddressFields, checkAddress, emptyAddress, trimAddress } from "../address.js";
import { Amounts } from "../amounts.js";
import { useCart } from "../cart.js";
import { ReviewLine } from "../cart_line.js";
import { forgetCheckout, forgetKey, keepDraft, loadDraft, pendingKey, takeKey } from "../checkout_draft.js";
import { EmptyCart } from "./cart.js";

const PURCHASES = "/api/v1/purchases";
const REFRESH_MS = 15_000;
/** Payments are simulated. */
const METHODS = ["card", "bank_transfer", "cash_on_delivery"];
/** Without an answer, or with one of these, the purchase may have been made. */
const UNKNOWN_OUTCOME = new Set([0, 500, 502, 504]);

export default function Checkout() {
  const cart = useCart({ every: REFRESH_MS });
  const last = useResource("purchases|last", (signal) => get(PURCHASES, { limit: 1 }, { signal }), { tags: ["purchases"] });
  const isReady = cart.data !== undefined && last.data !== undefined;
  const problem = cart.data === undefined ? cart.problem : last.data === undefined ? last.problem : null;
  return html`<h1 tabindex="-1">${t("checkout.title")}</h1>
    ${isReady
      ? html`<${Loaded} cart=${cart} last=${last.data.data[0] ?? null} />`
      : problem
        ? html`<${ErrorState} problem=${problem} retry=${() => (cart.reload(), last.reload())} />`
        : html`<${LoadingState} lines=${8} />`}`;
}

function Loaded({ cart, last }) {
  const { items, summary } = cart.data;
  const user = principal.value.user;
  // Whether the outcome of an earlier attempt is being looked up: its cart is gone, so this buys nothing new.
  const [isResolving, setResolving] = useState(false);
  const isEmpty = items.length === 0;
  useEffect(() => {
    const key = pendingKey(user);
    if (!isEmpty || !key) return;
    setResolving(true);
    resolve(key, loadDraft(user)).finally(() => setResolving(false));
  }, [isEmpty]);
  if (isEmpty && isResolving) return html`<p role="status">${t("checkout.resolving")}</p><${LoadingState} />`;
  if (isEmpty) {
    return html`<${EmptyCart}>${last && html`<p>${t("checkout.empty")} <a href=${to("purchases")}>${t("checkout.empty.purchases")}</a></p>`}<//>`;
  }
  return html`<${Form} items=${items} summary=${summary} lastAddress=${last?.shipping_address ?? null} user=${user} />`;
}

/** Sends a checkout and goes to its purchase. Raises Problem. */
async function buy(key, body) {
  try {
    const { purchase_id: id } = await post(`${PURCHASES}/checkout`, body, { "Idempotency-Key": key });
    finish(id);
  } catch (problem) {
    if (problem.reason !== "key_used") throw problem;
    // An earlier attempt has made the purchase, before something was changed in the form.
    finish(problem.params.purchase_id);
  }
}

/** Goes to the purchase of an earlier attempt if it has made one. */
async function resolve(key, draft) {
  try {
    // Any complete body will do: with another one than at first, the server names the purchase all the same.
    await buy(key, draft.sent ?? { payment_method: METHODS[0], shipping_address: { name: "-" } });
  } catch (problem) {
    if (problem.reason === "cart_empty") forgetKey();
  }
}

function finish(id) {
  forgetCheckout();
  invalidate("cart", "purchases", "books");
  // Back leads to the cart, and not to a checkout that is done.
  go(`${to("purchases", id)}?new=1`, { replace: true });
}

function Form({ items, summary, lastAddress, user }) {
  const [draft, setDraft] = useState(() => ({ usesLast: lastAddress !== null, address: emptyAddress(), method: METHODS[0], ...loadDraft(user) }));
  const change = (changes) => {
    const next = { ...draft, ...changes };
    setDraft(next);
    keepDraft(user, next);
  };
  const usesLast = draft.usesLast && lastAddress !== null;
  const wrong = items.filter((line) => !line.available);
  const moved = usePriceMove(items, summary);
  const state = useForm(
    async () => {
      const body = {
        payment_method: draft.method,
        shipping_address: usesLast ? lastAddress : trimAddress(draft.address),
        expected_total: summary.total_amount,
      };
      change({ sent: body });
      try {
        await buy(takeKey(user, items), body);
      } catch (problem) {
        // An empty cart tells that the purchase was made.
        if (problem.status === 409 || UNKNOWN_OUTCOME.has(problem.status)) invalidate("cart", "books");
        throw problem;
      }
    },
    { check: () => (usesLast ? {} : checkAddress(draft.address)) },
  );
  const notice = useRef(null);
  useEffect(() => {
    if (state.problem) notice.current?.focus();
  }, [state.problem]);
  return html`<form class="checkout" ref=${state.element} onSubmit=${state.submit} novalidate>
    <div class="checkout-parts">
      <fieldset class="part">
        <legend><h2><span class="part-number" aria-hidden="true">1</span>${t("checkout.address")}</h2></legend>
        ${lastAddress !== null &&
        html`<${Radio} name="address" value="last" checked=${usesLast} choose=${() => change({ usesLast: true })} title=${t("checkout.address.last")}><${Address} address=${lastAddress} /><//>
          <${Radio} name="address" value="other" checked=${!usesLast} choose=${() => change({ usesLast: false })} title=${t("checkout.address.other")} />`}
        ${!usesLast && html`<${AddressFields} address=${draft.address} change=${(address) => change({ address })} wrong=${state.wrong} />`}
      </fieldset>
      <fieldset class="part">
        <legend><h2><span class="part-number" aria-hidden="true">2</span>${t("checkout.payment")}</h2></legend>
        <p class="simulated"><${Icon} name="fault" /><span>${t("checkout.simulated")}</span></p>
        ${METHODS.map((method) => html`<${Radio} key=${method} name="method" value=${method} checked=${draft.method === method} choose=${() => change({ method })} title=${t(`payment.${method}`)} />`)}
      </fieldset>
    </div>
    <section class="part review" aria-labelledby="review">
      <h2 id="review"><span class="part-number" aria-hidden="true">3</span>${t("checkout.review")}</h2>
      ${state.problem && html`<${Refused} problem=${state.problem} wrong=${wrong} notice=${notice} />`}
      <div role="status">${moved !== null && !state.problem && html`<p class="moved"><${Icon} name="warning" /><span>${t("checkout.moved", { before: money(moved, summary.currency), now: money(summary.total_amount, summary.currency) })}</span></p>`}</div>
      <ul class="review-lines">${items.map((line) => html`<${ReviewLine} key=${line.book_id} line=${line} currency=${summary.currency} />`)}</ul>
      <${Amounts} of=${summary} currency=${summary.currency} />
      ${wrong.length > 0 && html`<p class="error"><${Icon} name="warning" /><span>${t("checkout.blocked")}</span></p>`}
      <${Button} type="submit" kind="primary" disabled=${state.busy || summary.isOld || wrong.length > 0}>
        ${state.busy ? t("checkout.busy") : t("checkout.buy", { total: money(summary.total_amount, summary.currency) })}
      <//>
      <a href=${to("cart")}>${t("checkout.back")}</a>
    </section>
  </form>`;
}

/** Returns the total that the customer saw first, if prices have moved since; null if not, or if lines have changed. */
function usePriceMove(items, summary) {
  const first = useRef(null);
  const lines = JSON.stringify(items.map((line) => [line.book_id, line.quantity, line.available]));
  if (summary.isOld) return null;
  if (first.current?.lines !== lines) first.current = { lines, total: summary.total_amount };
  return first.current.total === summary.total_amount ? null : first.current.total;
}

function Radio({ name, value, checked, choose, title, children }) {
  return html`<label class="radio" data-value=${value}>
    <input type="radio" name=${name} value=${value} checked=${checked} onChange=${choose} />
    <span><strong>${title}</strong>${children}</span>
  </label>`;
}

/** Why nothing was bought, or that this is not known, and what can be done. */
function Refused({ problem, wrong, notice }) {
  const { total, expected, currency } = problem.params;
  const [title, text] = UNKNOWN_OUTCOME.has(problem.status)
    ? [t("checkout.unknown"), t("checkout.unknown.hint")]
    : problem.reason === "price_higher"
      ? [t("checkout.price"), t("checkout.price.hint", { before: money(expected, currency), now: money(total, currency) })]
      : problem.reason === "lines_unavailable"
        ? [t("checkout.lines"), t(wrong.length ? "checkout.lines.hint" : "checkout.lines.mended")]
        : [t("checkout.refused"), describeProblem(problem)];
  return html`<div class="refused" role="alert" tabindex="-1" ref=${notice}>
    <${Icon} name="warning" /><div><p class="title">${title}</p><p>${text}</p></div>
  </div>`;
}
