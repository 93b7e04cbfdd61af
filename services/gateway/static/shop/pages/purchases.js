// The page of all purchases.
import { get } from "../../lib/api.js";
import { peek, useResource } from "../../lib/cache.js";
import { html } from "../../lib/html.js";
import { day, money, plural, t } from "../../lib/i18n.js";
import { changeQuery, query, to } from "../../lib/router.js";
import { LinkPager } from "../../lib/ui/pager.js";
import { EmptyState, Loaded } from "../../lib/ui/states.js";
import { splitTitle } from "../cover.js";
import { StateBadge } from "../purchase_state.js";

const PURCHASES = "/api/v1/purchases";
const LIMIT = 10;
const STATES = ["pending", "completed", "cancelled"];
const TITLES = 3;
/** So often purchases that are not done are asked for again while the page is seen. */
const PENDING_MS = 5000;

export default function Purchases() {
  const status = STATES.includes(query.value.status) ? query.value.status : null;
  const page = Math.max(Math.trunc(Number(query.value.page)) || 1, 1);
  const key = `purchases|${status}|${page}`;
  const load = (signal) => get(PURCHASES, { limit: LIMIT, page, status }, { signal });
  const every = peek(key)?.data.some((purchase) => purchase.status === "pending") ? PENDING_MS : 0;
  const resource = useResource(key, load, { tags: ["purchases"], keepsPrevious: true, every });
  return html`<h1 tabindex="-1">${t("page.purchases")}</h1>
    <nav class="chips" aria-label=${t("purchases.filter")}>
      ${[null, ...STATES].map((one) => html`<a key=${one} href=${changeQuery({ status: one, page: null })} aria-current=${one === status ? "true" : undefined}>${t(`purchases.filter.${one ?? "all"}`)}</a>`)}
    </nav>
    <${Loaded} resource=${resource} lines=${8}>${({ data, pagination }) => html`
      ${data.length === 0 ? html`<${NoPurchases} status=${status} />` : html`<ul class="purchases" aria-busy=${resource.isStale ? "true" : undefined}>${data.map((purchase) => html`<${Row} key=${purchase.purchase_id} purchase=${purchase} />`)}</ul>`}
      <${LinkPager} page=${page} pages=${pagination.total_pages} hrefOf=${(to) => changeQuery({ page: to > 1 ? to : null })} />
    `}<//>`;
}

function Row({ purchase }) {
  const { items } = purchase;
  const copies = items.reduce((sum, item) => sum + item.quantity, 0);
  const titles = items.slice(0, TITLES).map((item) => splitTitle(item.title)[0]);
  const others = items.length - titles.length;
  return html`<li><a class="purchase-row" href=${to("purchases", purchase.purchase_id)}>
    <span class="purchase-row-head"><strong>${day(purchase.created_at)}</strong><${StateBadge} purchase=${purchase} /></span>
    <span class="purchase-row-titles">${titles.join(" · ")}${others > 0 ? ` ${plural("purchases.others", others)}` : ""}</span>
    <span class="purchase-row-sum"><strong>${money(purchase.total_amount, purchase.currency)}</strong> <small>${plural("cart.books", copies)}</small></span>
  </a></li>`;
}

function NoPurchases({ status }) {
  if (status) {
    return html`<${EmptyState} icon="bag" title=${t("purchases.none.state")}><a class="button" href=${to("purchases")}>${t("purchases.all")}</a><//>`;
  }
  return html`<${EmptyState} icon="bag" title=${t("purchases.none")}><p>${t("cart.empty.hint")}</p><a class="button primary" href=${to("search")}>${t("cart.look")}</a><//>`;
}
