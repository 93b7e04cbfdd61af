// The first page of the shop.
import { get } from "../../lib/api.js";
import { useResource } from "../../lib/cache.js";
import { html } from "../../lib/html.js";
import { number, plural, t } from "../../lib/i18n.js";
import { to, withQuery } from "../../lib/router.js";
import { isSignedIn } from "../../lib/session.js";
import { ErrorState } from "../../lib/ui/states.js";
import { EmptyShelf, Shelf } from "../book_card.js";
import { useCart } from "../cart.js";
import { lastSeen } from "../last_seen.js";

const SHELF = 12;
const SEEN = 6;
const MAX_CATEGORIES = 12;

function useBooks(key, path, values) {
  return useResource(key, (signal) => get(path, { limit: SHELF, ...values }, { signal }), { tags: ["books"] });
}

// One row of a fixed height, whatever is in it: what comes later does not push the books down.
function Categories() {
  const { data } = useBooks("categories", "/api/v1/books/categories", { limit: null });
  const cart = useCart().data?.summary.total_items ?? 0;
  const found = (data?.data ?? []).filter(({ name }) => name).toSorted((one, other) => other.count - one.count);
  return html`<nav class="categories" aria-label=${t("home.categories")}>
    <ul>
      ${cart > 0 && html`<li><a class="continue" href=${to("cart")}>${plural("home.cart", cart)}</a></li>`}
      <li><a href=${to("search")}>${t("search.books")}</a></li>
      ${found.slice(0, MAX_CATEGORIES).map(
        ({ name, count }) => html`<li key=${name}><a href=${withQuery(to("search"), { category: name })}>${name} <small>${number(count)}</small></a></li>`,
      )}
    </ul>
  </nav>`;
}

function BookShelf({ title, resource, all }) {
  if (resource.problem && !resource.data) {
    return html`<section class="shelf"><header><h2>${title}</h2></header><${ErrorState} problem=${resource.problem} retry=${resource.reload} /></section>`;
  }
  if (!resource.data) return html`<${EmptyShelf} title=${title} />`;
  return html`<${Shelf} title=${title} books=${resource.data.data} all=${all} />`;
}

function Recommended() {
  const key = isSignedIn.value ? "recommended" : null;
  const { data, problem } = useResource(key, (signal) => get("/api/v1/books/recommendations/me", { limit: SHELF }, { signal }), {
    tags: ["books", "cart", "favorites"],
  });
  const title = t("home.recommended");
  // A shop without recommendations is one without this shelf.
  if (!data) return key && !problem ? html`<${EmptyShelf} title=${title} />` : null;
  const found = data.recommendations;
  return html`<${Shelf} title=${title} books=${found.map((one) => one.book)} reasonOf=${(at) => t(`reason.${found[at].reason}`)} />`;
}

function LastSeen() {
  const ids = lastSeen.value.slice(0, SEEN);
  const { data } = useResource(
    ids.length ? `seen|${ids}` : null,
    async (signal) => {
      const found = await Promise.allSettled(ids.map((id) => get(`/api/v1/books/${encodeURIComponent(id)}`, {}, { signal })));
      return found.filter(({ value }) => value).map(({ value }) => value);
    },
    { tags: ["books"] },
  );
  if (ids.length && !data) return html`<${EmptyShelf} title=${t("home.seen")} />`;
  return html`<${Shelf} title=${t("home.seen")} books=${data} />`;
}

export default function Home() {
  const rated = useBooks("best rated", "/api/v1/books", { sort: "rating", in_stock: true });
  const newest = useBooks("newest", "/api/v1/books", {});
  return html`<header class="welcome">
      <h1 tabindex="-1">${t("home.title")}</h1>
      <p>${t("home.hint")}</p>
    </header>
    <${Categories} />
    <${LastSeen} />
    <${Recommended} />
    <${BookShelf} title=${t("home.rated")} resource=${rated} all=${withQuery(to("search"), { sort: "rating" })} />
    <${BookShelf} title=${t("home.newest")} resource=${newest} all=${withQuery(to("search"), { sort: "added" })} />`;
}
