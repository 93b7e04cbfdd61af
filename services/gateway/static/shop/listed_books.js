// A list of the customer as a grid of books: sorted, page by page, with what can be done with each.
import { html } from "../lib/html.js";
import { money, plural, t } from "../lib/i18n.js";
import { changeQuery, go, query, setQuery, to } from "../lib/router.js";
import { Button } from "../lib/ui/button.js";
import { LinkPager } from "../lib/ui/pager.js";
import { EmptyState, Loaded } from "../lib/ui/states.js";
import { attempt, showToast } from "../lib/ui/toast.js";
import { addToCart } from "./cart.js";
import { Cover, splitTitle } from "./cover.js";
import { removeFromList, restoreToList, useList } from "./lists.js";

const PAGE = 24;

/** Orders that fit any list; each compares two entries. */
export const ORDERS = {
  added: (one, other) => other.added_at.localeCompare(one.added_at),
  title: (one, other) => titleOf(one).localeCompare(titleOf(other)),
  price: (one, other) => (one.price ?? Infinity) - (other.price ?? Infinity),
};

/** Returns the title of an entry, without what stands in brackets behind it. */
export function titleOf({ title }) {
  return title ? splitTitle(title)[0] : t("cart.gone");
}

/**
 * The page of the list `name`: `orders` by their names, of which the first is the default, `order.NAME` being its text.
 * `children` is a function of an entry: its marks and its buttons, below the price. `empty` is the hint for an empty list.
 */
export function ListPage({ name, title, icon, empty, orders, children: draw }) {
  const resource = useList(name);
  const chosen = Object.hasOwn(orders, query.value.sort ?? "") ? query.value.sort : Object.keys(orders)[0];
  return html`<div class="list-head">
      <h1 tabindex="-1">${title}</h1>
      ${resource.data?.length > 1 &&
      html`<label class="sort"><span>${t("search.sort")}</span>
        <select value=${chosen} onChange=${(event) => setQuery({ sort: event.currentTarget.value, page: null })}>
          ${Object.keys(orders).map((key) => html`<option value=${key} key=${key}>${t(`order.${key}`)}</option>`)}
        </select>
      </label>`}
    </div>
    <${Loaded} resource=${resource} lines=${8}>
      ${(entries) =>
        entries.length
          ? html`<${Grid} entries=${entries.filter(isComplete).toSorted(orders[chosen])} draw=${draw} />`
          : html`<${EmptyState} icon=${icon} title=${t("list.none")}><p>${empty}</p><a class="button primary" href=${to("search")}>${t("cart.look")}</a><//>`}
    <//>`;
}

/** Whether an entry is as the server returned it, and not one that was added just now. */
function isComplete({ added_at: added }) {
  return added !== undefined;
}

function Grid({ entries, draw }) {
  const pages = Math.ceil(entries.length / PAGE);
  const page = Math.min(Math.max(Math.trunc(Number(query.value.page)) || 1, 1), pages);
  return html`<p class="list-hint" role="status">${plural("cart.books", entries.length)}</p>
    <ul class="listed-books">
      ${entries.slice((page - 1) * PAGE, page * PAGE).map((entry) => html`<${ListedBook} key=${entry.book_id} entry=${entry}>${draw(entry)}<//>`)}
    </ul>
    <${LinkPager} page=${page} pages=${pages} hrefOf=${(to) => changeQuery({ page: to })} />`;
}

function ListedBook({ entry, children }) {
  const { book_id: id, title, author, price, currency } = entry;
  const isLinked = entry.reason !== "not_listed";
  const cover = html`<${Cover} book=${entry} />`;
  return html`<li class="listed-book" data-book=${id}>
    ${isLinked ? html`<a href=${to("book", id)} tabindex="-1" aria-hidden="true">${cover}</a>` : cover}
    <div class="listed-book-text">
      <h2>${isLinked ? html`<a href=${to("book", id)}>${titleOf(entry)}</a>` : titleOf(entry)}</h2>
      ${title && html`<p class="note">${author}</p>`}
      <p class="listed-book-price">${price === null || price === undefined ? "" : money(price, currency)} <${Obstacle} entry=${entry} /></p>
      ${children}
    </div>
  </li>`;
}

function Obstacle({ entry: { reason } }) {
  return reason ? html`<span class="stock none">${t(`obstacle.${reason}`)}</span>` : null;
}

/** The button that puts a book into the cart; with `moves` it leaves the list. */
export function CartButton({ name, entry, moves = false }) {
  const title = titleOf(entry);
  const add = async () => {
    const work = async () => {
      await addToCart(entry.book_id, 1);
      if (moves) await removeFromList(name, entry.book_id);
    };
    if (!(await attempt(work))) return;
    if (moves) document.querySelector("h1").focus();
    showToast(t("cart.added", { title }), { action: { text: t("cart.show"), run: () => go(to("cart")) } });
  };
  const label = moves ? t("list.move.of", { title }) : t("list.cart.of", { title });
  return html`<${Button} kind="primary" icon="bag" label=${label} disabled=${!entry.available} onClick=${add}>${moves ? t("list.move") : t("cart.add")}<//>`;
}

/** The button that takes a book out of the list, which can be undone. */
export function RemoveButton({ name, entry }) {
  const drop = async () => {
    if (!(await attempt(() => removeFromList(name, entry.book_id)))) return;
    document.querySelector("h1").focus();
    const undo = { text: t("cart.undo"), run: () => attempt(() => restoreToList(name, entry)) };
    showToast(t("cart.removed", { title: titleOf(entry) }), entry.reason === "not_listed" ? {} : { action: undo });
  };
  return html`<${Button} kind="quiet" icon="trash" label=${t("cart.remove.of", { title: titleOf(entry) })} onClick=${drop} />`;
}
