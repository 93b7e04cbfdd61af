// The page of a book.
import { get } from "../../lib/api.js";
import { useResource } from "../../lib/cache.js";
import { html, useEffect, useState } from "../../lib/html.js";
import { languageName, money, number, t } from "../../lib/i18n.js";
import { go, to, withQuery } from "../../lib/router.js";
import { isSignedIn, rememberAddress } from "../../lib/session.js";
import { Button } from "../../lib/ui/button.js";
import { Icon } from "../../lib/ui/icon.js";
import { Menu } from "../../lib/ui/menu.js";
import { useTitle } from "../../lib/ui/page.js";
import { ErrorState } from "../../lib/ui/states.js";
import { attempt, showToast } from "../../lib/ui/toast.js";
import { Rating, Shelf, Stock } from "../book_card.js";
import { addToCart, MAX_QUANTITY, useCart } from "../cart.js";
import { Cover, splitTitle } from "../cover.js";
import { forgetBook, rememberBook } from "../last_seen.js";
import { addToList, PRIORITIES, removeFromList, useList } from "../lists.js";
import Missing from "../missing.js";
import { Stepper } from "../stepper.js";

const STOCK_MS = 10_000;
const RELATED = 12;

function Breadcrumbs({ book }) {
  return html`<nav class="breadcrumbs" aria-label=${t("book.breadcrumbs")}><ol>
    <li><a href=${to()}>${t("page.home")}</a></li>
    ${book.category && html`<li><a href=${withQuery(to("search"), { category: book.category })}>${book.category}</a></li>`}
    <li aria-current="page">${splitTitle(book.title)[0]}</li>
  </ol></nav>`;
}

function Authors({ author }) {
  const names = (author ?? "").split(",").map((name) => name.trim()).filter(Boolean);
  return html`<p class="authors">${names.map(
    (name, at) => html`${at > 0 && ", "}<a href=${withQuery(to("search"), { author: name })}>${name}</a>`,
  )}</p>`;
}

function Isbn({ isbn }) {
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(isbn);
      showToast(t("book.isbn.copied"));
    } catch {
      showToast(t("id.not_copied"), { kind: "bad" });
    }
  };
  return html`<span class="isbn">${isbn}</span>${navigator.clipboard && html`<${Button} kind="quiet" icon="copy" label=${t("book.isbn.copy")} onClick=${copy} />`}`;
}

function Facts({ book }) {
  const facts = [
    [t("book.publisher"), book.editorial],
    [t("book.year"), book.publication_year === null ? null : yearOf(book.publication_year)],
    [t("book.language"), book.language && languageName(book.language)],
    [t("book.pages"), book.pages && number(book.pages)],
    ["ISBN", book.isbn && html`<${Isbn} isbn=${book.isbn} />`],
  ].filter(([, value]) => value);
  if (!facts.length) return null;
  return html`<dl class="book-facts">${facts.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

/** Returns a year without grouping; years before Christ are negative. */
function yearOf(year) {
  return year < 0 ? t("book.year.before", { year: String(-year) }) : String(year);
}

function AddToCart({ book }) {
  const [quantity, setQuantity] = useState(1);
  const [busy, setBusy] = useState(false);
  const inCart = useCart().data?.items.find((line) => line.book_id === book.book_id)?.quantity ?? 0;
  const most = Math.min(Math.max(book.stock_quantity - inCart, 0), MAX_QUANTITY - inCart);
  const wanted = Math.max(Math.min(quantity, most), 1);
  const add = async (event) => {
    event.preventDefault();
    // Not by disabling the button, which would lose the focus of a keyboard.
    if (busy) return;
    setBusy(true);
    if (await attempt(() => addToCart(book.book_id, wanted))) {
      setQuantity(1);
      showToast(t("cart.added", { title: splitTitle(book.title)[0] }), { action: { text: t("cart.show"), run: () => go(to("cart")) } });
    }
    setBusy(false);
  };
  if (!book.available) return null;
  return html`<form class="add-to-cart" onSubmit=${add}>
    <${Stepper} value=${wanted} most=${most} onValue=${setQuantity} />
    <${Button} type="submit" kind="primary" icon="bag" disabled=${most < 1}>${t("cart.add")}<//>
    ${inCart > 0 && html`<p class="note in-cart"><a href=${to("cart")}>${t("cart.there", { n: inCart })}</a>${most < 1 ? ` ${t("cart.all")}` : ""}</p>`}
  </form>`;
}

/** Runs `work` for a customer; a guest goes to the sign-in and comes back. */
function asCustomer(work) {
  return () => {
    if (isSignedIn.value) return attempt(work);
    rememberAddress();
    return go(to("login"));
  };
}

function Lists({ book }) {
  const id = book.book_id;
  const favourite = useList("favorites").data?.some((one) => one.book_id === id) ?? false;
  const wish = useList("wishlist").data?.find((one) => one.book_id === id);
  return html`<div class="book-lists">
    <button type="button" class="button heart" aria-pressed=${favourite ? "true" : "false"} onClick=${asCustomer(() => (favourite ? removeFromList("favorites", id) : addToList("favorites", id)))}>
      <${Icon} name="heart" /><span>${t(favourite ? "list.favourite.there" : "list.favourite")}</span>
    </button>
    <${Menu} icon="bookmark" text=${wish ? t("list.wish.there", { priority: wish.priority }) : t("list.wish")}>
      <p class="menu-head">${t("list.wish.priority")}</p>
      ${PRIORITIES.map(
        (priority) => html`<button type="button" key=${priority} aria-pressed=${wish?.priority === priority ? "true" : "false"} onClick=${asCustomer(() => addToList("wishlist", id, { priority }))}>${t(`priority.${priority}`)}</button>`,
      )}
      ${wish && html`<button type="button" onClick=${asCustomer(() => removeFromList("wishlist", id))}>${t("list.wish.remove")}</button>`}
    <//>
  </div>`;
}

function Related({ id }) {
  const { data } = useResource(`related|${id}`, (signal) => get(`/api/v1/books/${encodeURIComponent(id)}/related`, { limit: RELATED }, { signal }), {
    tags: ["books"],
  });
  const found = data?.recommendations ?? [];
  return html`<${Shelf} title=${t("book.related")} books=${found.map((one) => one.book)} reasonOf=${(at) => t(`reason.${found[at].reason}`)} />`;
}

export default function Book({ params: { id } }) {
  const { data: book, problem, reload } = useResource(`book|${id}`, (signal) => get(`/api/v1/books/${encodeURIComponent(id)}`, {}, { signal }), {
    tags: ["books"],
    every: STOCK_MS,
  });
  const isGone = problem?.status === 404;
  useTitle(isGone ? t("book.gone") : (book?.title ?? null));
  useEffect(() => {
    if (isGone) forgetBook(id);
    else if (book) rememberBook(id);
  }, [id, Boolean(book), isGone]);
  if (isGone) return html`<${Missing} title=${t("book.gone")} hint=${t("book.gone.hint")} />`;
  if (!book) return problem ? html`<${ErrorState} problem=${problem} retry=${reload} />` : html`<${LoadingBook} />`;
  const [title, rest] = splitTitle(book.title);
  return html`<${Breadcrumbs} book=${book} />
    <article class="book" key=${id}>
      <${Cover} book=${book} large eager />
      <div class="book-text">
        <h1 tabindex="-1">${title}${rest && html`<small>${rest}</small>`}</h1>
        <${Authors} author=${book.author} />
        <${Rating} value=${book.rating} count=${book.ratings} />
        <p class="price">${book.price === null ? "" : money(book.price, book.currency)}${book.price === null ? "" : html` <small>${t("book.tax")}</small>`}</p>
        <p role="status"><${Stock} book=${book} always /></p>
        <${AddToCart} book=${book} />
        <${Lists} book=${book} />
        ${book.description && html`<p class="description">${book.description}</p>`}
        <${Facts} book=${book} />
      </div>
    </article>
    <${Related} id=${id} />`;
}

function LoadingBook() {
  return html`<div class="book" role="status" aria-label=${t("state.loading")}>
    <span class="cover large blank-cover"></span>
    <div class="book-text"><span class="blank-lines"></span></div>
  </div>`;
}
