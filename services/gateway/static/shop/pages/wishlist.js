// The wishes of the customer, with their priorities, and what has changed since.
import { html } from "../../lib/html.js";
import { money, t } from "../../lib/i18n.js";
import { Icon } from "../../lib/ui/icon.js";
import { attempt } from "../../lib/ui/toast.js";
import { CartButton, ListPage, ORDERS, RemoveButton, titleOf } from "../listed_books.js";
import { addToList, PRIORITIES } from "../lists.js";
import { useNotices } from "../notices.js";

const NAME = "wishlist";
const WISH_ORDERS = {
  priority: (one, other) => one.priority - other.priority || ORDERS.added(one, other),
  cheaper: (one, other) => saving(other) - saving(one) || ORDERS.title(one, other),
  ...ORDERS,
};

/** Returns by which share a book costs less than when it was added. */
function saving({ cheaper, price, price_when_added: before }) {
  return cheaper ? 1 - price / before : 0;
}

function Marks({ entry, isBack }) {
  const { cheaper, price, price_when_added: before, currency } = entry;
  return html`${cheaper && html`<p class="badge good"><${Icon} name="drop" />${t("wishlist.cheaper", { saved: money(before - price, currency), before: money(before, currency) })}</p>`}
    ${isBack && html`<p class="badge accent"><${Icon} name="book" />${t("wishlist.back")}</p>`}`;
}

function Priority({ entry }) {
  const change = (event) => attempt(() => addToList(NAME, entry.book_id, { priority: Number(event.currentTarget.value) }));
  return html`<label class="wish-priority"><span class="unseen">${t("wishlist.priority.of", { title: titleOf(entry) })}</span>
    <select value=${String(entry.priority)} onChange=${change}>
      ${PRIORITIES.map((priority) => html`<option value=${String(priority)} key=${priority}>${t(`priority.${priority}`)}</option>`)}
    </select>
  </label>`;
}

export default function Wishlist() {
  const back = new Set(useNotices().data?.filter((one) => one.kind === "back_in_stock").map((one) => one.book_id));
  return html`<${ListPage} name=${NAME} title=${t("page.wishlist")} icon="bookmark" empty=${t("wishlist.none.hint")} orders=${WISH_ORDERS}>
    ${(entry) => html`<${Marks} entry=${entry} isBack=${entry.available && back.has(entry.book_id)} />
      ${entry.reason !== "not_listed" && html`<${Priority} entry=${entry} />`}
      <div class="listed-book-actions"><${CartButton} name=${NAME} entry=${entry} moves /><${RemoveButton} name=${NAME} entry=${entry} /></div>`}
  <//>`;
}
