// The search: results, filters with counts, and an order; all of it is in the address.
import { get } from "../../lib/api.js";
import { useResource } from "../../lib/cache.js";
import { html, useEffect, useMemo, useRef, useState } from "../../lib/html.js";
import { languageName, money, number, plural, t } from "../../lib/i18n.js";
import { changeQuery, go, query, to } from "../../lib/router.js";
import { Icon } from "../../lib/ui/icon.js";
import { useTitle } from "../../lib/ui/page.js";
import { LinkPager } from "../../lib/ui/pager.js";
import { describeProblem } from "../../lib/ui/problem.js";
import { EmptyState, ErrorState, LoadingState } from "../../lib/ui/states.js";
import { BookCard } from "../book_card.js";

const PER_PAGE = 24;
const DEEPEST = 10_000;
const FACETS = "category,language,author,price,rating";
const MAX_SHOWN = 8;
const MAX_NAMES = 20;

// The orders by their name in the address: how the API calls them. Without words there is no relevance.
const SORTS = {
  relevance: {},
  popularity: { sort: "popularity" },
  rating: { sort: "rating" },
  price: { sort: "price", order: "asc" },
  price_down: { sort: "price", order: "desc" },
  added: { sort: "added" },
  year: { sort: "year" },
  title: { sort: "title" },
};

/** Returns the parameters of the API for those of the address. */
function readQuery(asked) {
  const page = Math.min(Math.max(Number.parseInt(asked.page, 10) || 1, 1), Math.floor(DEEPEST / PER_PAGE));
  const sort = Object.hasOwn(SORTS, asked.sort ?? "") ? asked.sort : asked.q ? "relevance" : "popularity";
  return {
    page,
    sort,
    values: {
      q: asked.q,
      category: asked.category,
      author: asked.author,
      language: asked.language,
      price_from: asked.min,
      price_to: asked.max,
      rating_from: asked.rating,
      in_stock: asked.in_stock === "true" ? "true" : null,
      ...SORTS[sort],
      page,
      limit: PER_PAGE,
      facets: FACETS,
    },
  };
}

/** Returns the names of a filter; the address has them with `|` between them. */
function chosenNames(name) {
  return (query.value[name] ?? "").split("|").filter(Boolean);
}

/** Goes to the first page of the search with other filters; Back undoes the change. */
function choose(changes) {
  go(changeQuery({ ...changes, page: null }));
}

function toggle(name, value) {
  const chosen = chosenNames(name);
  const names = chosen.includes(value) ? chosen.filter((one) => one !== value) : [...chosen, value].slice(-MAX_NAMES);
  choose({ [name]: names.join("|") });
}

function NameFacet({ name, title, values, wordOf = (value) => value }) {
  const [all, setAll] = useState(false);
  const chosen = chosenNames(name);
  const counted = (values ?? []).filter(({ value }) => value);
  const missing = chosen.filter((one) => !counted.some(({ value }) => value === one)).map((value) => ({ value, count: 0 }));
  const found = [...counted, ...missing];
  if (found.length < 2 && !chosen.length) return null;
  const shown = all ? found : found.filter(({ value }, at) => at < MAX_SHOWN || chosen.includes(value));
  return html`<fieldset class="facet">
    <legend>${title}</legend>
    ${shown.map(
      ({ value, count }) => html`<label key=${value}>
        <input type="checkbox" checked=${chosen.includes(value)} onChange=${() => toggle(name, value)} />
        <span>${wordOf(value)}</span><small>${number(count)}</small>
      </label>`,
    )}
    ${found.length > shown.length && html`<button type="button" class="link" onClick=${() => setAll(true)}>${plural("facet.more", found.length - shown.length)}</button>`}
  </fieldset>`;
}

/** Returns a bound of the address as a field of numbers takes it: nothing for what is no number. */
function readNumber(text) {
  return text && Number.isFinite(Number(text)) ? text : "";
}

function PriceFacet({ ranges, currency }) {
  const { min, max } = query.value;
  const [low, setLow] = useState("");
  const [high, setHigh] = useState("");
  useEffect(() => (setLow(readNumber(min)), setHigh(readNumber(max))), [min, max]);
  const submit = (event) => {
    event.preventDefault();
    choose({ min: low, max: high });
  };
  const nameOf = ({ low: from, high: until }) =>
    until === null
      ? t("facet.price.from", { low: money(from, currency) })
      : from === null || Number(from) === 0
        ? t("facet.price.until", { high: money(until, currency) })
        : t("facet.price.between", { low: money(from, currency), high: money(until, currency) });
  const isChosen = (range) => (min ?? "") === String(range.low ?? "") && (max ?? "") === String(range.high ?? "");
  return html`<fieldset class="facet">
    <legend>${t("facet.price")}</legend>
    ${(ranges ?? []).filter(({ count }) => count).map(
      (range) => html`<button type="button" class="facet-choice" aria-pressed=${isChosen(range) ? "true" : "false"} key=${range.low} onClick=${() => choose(isChosen(range) ? { min: null, max: null } : { min: range.low, max: range.high })}>
        <span>${nameOf(range)}</span><small>${number(range.count)}</small>
      </button>`,
    )}
    <form class="price-range" onSubmit=${submit}>
      <input type="number" min="0" step="any" inputmode="decimal" aria-label=${t("facet.price.min")} placeholder=${t("facet.price.min")} value=${low} onInput=${(event) => setLow(event.currentTarget.value)} />
      <input type="number" min="0" step="any" inputmode="decimal" aria-label=${t("facet.price.max")} placeholder=${t("facet.price.max")} value=${high} onInput=${(event) => setHigh(event.currentTarget.value)} />
      <button type="submit" class="button">${t("facet.apply")}</button>
    </form>
  </fieldset>`;
}

function RatingFacet({ ranges }) {
  const chosen = Number(query.value.rating) || null;
  const atLeast = [4, 3, 2].map((stars) => ({
    stars,
    count: (ranges ?? []).filter(({ low }) => low !== null && low >= stars).reduce((sum, { count }) => sum + count, 0),
  }));
  const shown = atLeast.filter(({ stars, count }) => count || stars === chosen);
  if (!shown.length) return null;
  return html`<fieldset class="facet">
    <legend>${t("facet.rating")}</legend>
    ${shown.map(
      ({ stars, count }) => html`<button type="button" class="facet-choice" aria-pressed=${chosen === stars ? "true" : "false"} key=${stars} onClick=${() => choose({ rating: chosen === stars ? null : stars })}>
        <span>${t("facet.rating.from", { stars })}</span><small>${number(count)}</small>
      </button>`,
    )}
  </fieldset>`;
}

function Filters({ data }) {
  const facets = data?.facets ?? {};
  const currency = data?.data[0]?.currency ?? "EUR";
  return html`<label class="facet-switch"><input type="checkbox" checked=${query.value.in_stock === "true"} onChange=${() => choose({ in_stock: query.value.in_stock === "true" ? null : "true" })} /><span>${t("facet.in_stock")}</span></label>
    <${NameFacet} name="category" title=${t("facet.category")} values=${facets.category} />
    <${NameFacet} name="author" title=${t("facet.author")} values=${facets.author} />
    <${NameFacet} name="language" title=${t("facet.language")} values=${facets.language} wordOf=${languageName} />
    <${PriceFacet} ranges=${facets.price} currency=${currency} />
    <${RatingFacet} ranges=${facets.rating} />`;
}

/** The filters that are set, each with a button that takes it away. */
function ChosenFilters() {
  const { min, max, rating, in_stock: inStock } = query.value;
  const names = ["category", "author", "language"].flatMap((name) =>
    chosenNames(name).map((value) => ({ text: name === "language" ? languageName(value) : value, drop: () => toggle(name, value) })),
  );
  const others = [
    (min || max) && { text: t("facet.price.chosen", { low: min ?? "0", high: max ?? "∞" }), drop: () => choose({ min: null, max: null }) },
    rating && { text: t("facet.rating.from", { stars: rating }), drop: () => choose({ rating: null }) },
    inStock === "true" && { text: t("facet.in_stock"), drop: () => choose({ in_stock: null }) },
  ].filter(Boolean);
  const all = [...names, ...others];
  if (!all.length) return null;
  return html`<ul class="chosen-filters" aria-label=${t("facet.chosen")}>
    ${all.map(({ text, drop }) => html`<li key=${text}><button type="button" onClick=${drop} aria-label=${t("facet.drop", { name: text })}>${text}<${Icon} name="close" /></button></li>`)}
    <li><button type="button" class="link" onClick=${clearFilters}>${t("facet.clear")}</button></li>
  </ul>`;
}

function clearFilters() {
  choose({ category: null, author: null, language: null, min: null, max: null, rating: null, in_stock: null });
}

function SortChoice({ sort }) {
  const names = Object.keys(SORTS).filter((name) => name !== "relevance" || query.value.q);
  return html`<label class="sort"><span>${t("search.sort")}</span>
    <select value=${sort} onChange=${(event) => choose({ sort: event.currentTarget.value })}>
      ${names.map((name) => html`<option value=${name} key=${name}>${t(`sort.${name}`)}</option>`)}
    </select>
  </label>`;
}

function NoResult({ hasFilters }) {
  return html`<${EmptyState} icon="search" title=${t("search.none")}>
    <p>${t(hasFilters ? "search.none.filters" : "search.none.words")}</p>
    ${hasFilters && html`<button type="button" class="button primary" onClick=${clearFilters}><span>${t("facet.clear")}</span></button>`}
    <a class="button" href=${to("search")}>${t("search.all")}</a>
  <//>`;
}

export default function Search() {
  const asked = query.value;
  const { page, sort, values } = readQuery(asked);
  const path = asked.q ? "/api/v1/books/search" : "/api/v1/books";
  const resource = useResource(`${path}|${JSON.stringify(values)}`, (signal) => get(path, values, { signal }), {
    tags: ["books"],
    keepsPrevious: true,
  });
  const { data, problem, isStale, reload } = resource;
  const results = useRef(null);
  const seen = useRef(page);
  useEffect(() => {
    if (seen.current !== page) results.current?.scrollIntoView({ block: "start" });
    seen.current = page;
  }, [page]);
  const title = asked.q ? t("search.title", { q: asked.q }) : t("search.books");
  useTitle(title);
  // The same books are not drawn again while a filter waits for its answer.
  const books = useMemo(
    () => data && html`<ul class="book-grid">${data.data.map((book) => html`<li key=${book.book_id}><${BookCard} book=${book} /></li>`)}</ul>`,
    [data],
  );
  const showResults = (event) => {
    event.currentTarget.closest("details").open = false;
    results.current.scrollIntoView({ block: "start" });
  };
  const hasFilters = ["category", "author", "language", "min", "max", "rating", "in_stock"].some((name) => asked[name]);
  const total = data?.pagination.total_items;
  return html`<header class="search-head">
      <h1 tabindex="-1">${title}</h1>
      <p class="search-total" role="status">${total === undefined ? "" : plural("search.total", total)}${data?.corrected && !isStale ? html` <span class="corrected">${t("search.corrected", { q: asked.q })}</span>` : null}</p>
    </header>
    <div class="search-page">
      <details class="filters" open=${matchMedia("(min-width: 861px)").matches}>
        <summary><${Icon} name="filter" />${t("facet.title")}</summary>
        <${Filters} data=${data} />
        <button type="button" class="button primary" onClick=${showResults}><span>${total === undefined ? t("search.results") : plural("search.show", total)}</span></button>
      </details>
      <section class="results" ref=${results} aria-label=${t("search.results")} aria-busy=${isStale ? "true" : undefined}>
        <div class="results-head"><${ChosenFilters} /><${SortChoice} sort=${sort} /></div>
        ${problem && data && html`<p class="old">${describeProblem(problem)}</p>`}
        ${data === undefined
          ? problem
            ? html`<${ErrorState} problem=${problem} retry=${reload}><button type="button" class="button" onClick=${hasFilters ? clearFilters : reload}><span>${t(hasFilters ? "facet.clear" : "action.again")}</span></button><//>`
            : html`<${LoadingState} lines=${8} />`
          : data.data.length === 0
            ? html`<${NoResult} hasFilters=${hasFilters} />`
            : html`${books}
                <${LinkPager} page=${page} pages=${Math.min(data.pagination.total_pages, Math.floor(DEEPEST / PER_PAGE))} hrefOf=${(number) => changeQuery({ page: number > 1 ? number : null })} />`}
      </section>
    </div>`;
}
