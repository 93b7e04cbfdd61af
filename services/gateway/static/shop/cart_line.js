// A line of the cart: the book with today's price, what has changed since it was added, and what stands in its way.
import { html } from "../lib/html.js";
import { money, plural, t } from "../lib/i18n.js";
import { go, to } from "../lib/router.js";
import { isSignedIn, rememberAddress } from "../lib/session.js";
import { Button } from "../lib/ui/button.js";
import { Icon } from "../lib/ui/icon.js";
import { attempt, showToast } from "../lib/ui/toast.js";
import { Stock } from "./book_card.js";
import { addToCart, changeQuantity, MAX_QUANTITY, removeFromCart } from "./cart.js";
import { Cover, splitTitle } from "./cover.js";
import { addToList } from "./lists.js";
import { Stepper } from "./stepper.js";

/** A line that can be changed. */
export function CartLine({ line, currency }) {
  const { book_details: book, book_id: id, quantity } = line;
  return html`<li class="cart-line" data-book=${id}>
    <a href=${to("book", id)} tabindex="-1" aria-hidden="true"><${Cover} book=${book} /></a>
    <div class="cart-line-text">
      <${LineTitle} line=${line} />
      <p class="note">${book.author}</p>
      <${PriceNote} line=${line} currency=${currency} />
      ${line.available ? html`<${Stock} book=${book} />` : html`<${LineProblem} line=${line} />`}
    </div>
    <${LineAmount} line=${line} currency=${currency} />
    <div class="cart-line-actions">
      ${isForSale(line) && html`<${Stepper} value=${quantity} most=${Math.min(book.stock_quantity, MAX_QUANTITY)} title=${titleOf(line)} onValue=${(value) => attempt(() => changeQuantity(id, value))} />`}
      <${TakeLeft} line=${line} />
      <${Remove} line=${line} />
      <${SaveForLater} line=${line} />
    </div>
  </li>`;
}

/** A line as it is bought: it can be changed only if it cannot be bought. */
export function ReviewLine({ line, currency }) {
  return html`<li class="review-line" data-book=${line.book_id}>
    <div>
      <${LineTitle} line=${line} />
      <p class="note">${plural("cart.copies", line.quantity)} · ${t("cart.each", { price: money(line.unit_price, currency) })}</p>
      <${PriceNote} line=${line} currency=${currency} />
      ${!line.available &&
      html`<${LineProblem} line=${line} />
        <div class="cart-line-actions">
          <${TakeLeft} line=${line} />
          <${Remove} line=${line} />
          <${SaveForLater} line=${line} />
        </div>`}
    </div>
    <${LineAmount} line=${line} currency=${currency} />
  </li>`;
}

function LineTitle({ line }) {
  const title = titleOf(line);
  return html`<h3>${line.book_details.title === null ? title : html`<a href=${to("book", line.book_id)}>${title}</a>`}</h3>`;
}

function PriceNote({ line, currency }) {
  if (!line.changed) return null;
  const kind = line.changed === "up" ? "rise" : "fall";
  return html`<p class=${`price-note ${kind}`}>${t(`cart.price.${kind}`, { before: money(line.price_when_added, currency) })}</p>`;
}

function LineAmount({ line, currency }) {
  return html`<p class="cart-line-amount" data-old=${line.isOld ? "true" : undefined}>
    ${line.subtotal === null ? "" : money(line.subtotal, currency)}
    ${line.quantity > 1 && line.subtotal !== null && html`<small>${t("cart.each", { price: money(line.unit_price, currency) })}</small>`}
  </p>`;
}

/** Why a line cannot be bought. */
function LineProblem({ line }) {
  const left = line.book_details.stock_quantity;
  const isShort = line.reason === "out_of_stock";
  return html`<p class="line-problem"><${Icon} name="warning" /><span>
    ${isShort ? (left > 0 ? plural("cart.short", left, { asked: line.quantity }) : t("cart.sold_out")) : t("cart.not_for_sale")}
  </span></p>`;
}

/** Takes the copies that are left, where there are too few. */
function TakeLeft({ line }) {
  const left = line.book_details.stock_quantity;
  if (line.reason !== "out_of_stock" || left <= 0) return null;
  return html`<${Button} onClick=${() => attempt(() => changeQuantity(line.book_id, left))}>${plural("cart.take", left)}<//>`;
}

function Remove({ line }) {
  return html`<${Button} kind="quiet" icon="trash" label=${t("cart.remove.of", { title: titleOf(line) })} onClick=${() => removeWithUndo(line)}>${t("cart.remove")}<//>`;
}

function SaveForLater({ line }) {
  if (line.reason === "not_listed") return null;
  return html`<${Button} kind="quiet" icon="bookmark" onClick=${() => saveForLater(line)}>${t("cart.later")}<//>`;
}

function isForSale(line) {
  return line.available || (line.reason === "out_of_stock" && line.book_details.stock_quantity > 0);
}

function titleOf(line) {
  return line.book_details.title === null ? t("cart.gone") : splitTitle(line.book_details.title)[0];
}

async function removeWithUndo(line) {
  const after = nextFocus(line.book_id);
  if (!(await attempt(() => removeFromCart(line.book_id)))) return;
  moveFocus(after);
  showToast(t("cart.removed", { title: titleOf(line) }), line.available ? { action: undo(line) } : {});
}

async function saveForLater(line) {
  if (!isSignedIn.value) {
    rememberAddress();
    go(to("login"));
    return;
  }
  const after = nextFocus(line.book_id);
  const work = async () => {
    await addToList("wishlist", line.book_id);
    await removeFromCart(line.book_id);
  };
  if (!(await attempt(work))) return;
  moveFocus(after);
  showToast(t("cart.saved", { title: titleOf(line) }), line.available ? { action: undo(line) } : {});
}

function undo(line) {
  return { text: t("cart.undo"), run: () => attempt(() => addToCart(line.book_id, line.quantity)) };
}

/** Returns the book of the line that follows a line, or precedes it, or null. */
function nextFocus(book) {
  const element = document.querySelector(`[data-book="${CSS.escape(book)}"]`);
  return (element?.nextElementSibling ?? element?.previousElementSibling)?.dataset.book ?? null;
}

/** Gives the focus, which was on a line that is gone, to another line or to the heading of the page. */
function moveFocus(book) {
  const line = book && document.querySelector(`[data-book="${CSS.escape(book)}"] :is(h3 a, button)`);
  (line || document.querySelector("h1"))?.focus();
}
