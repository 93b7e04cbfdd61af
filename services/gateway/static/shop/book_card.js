// A book in a list: cover, title, author, rating, price and whether it can be bought.
import { html } from "../lib/html.js";
import { money, number, plural, t } from "../lib/i18n.js";
import { to } from "../lib/router.js";
import { Cover, splitTitle } from "./cover.js";

const FEW = 5;

/** Stars of 5, as a picture and in words; nothing for a book that nobody has rated. */
export function Rating({ value, count }) {
  if (!Number(value)) return null;
  return html`<span class="rating" role="img" aria-label=${t("book.rating_of", { rating: number(Number(value), 1, 1) })}>
    <span class="stars" style=${{ "--share": `${(Number(value) / 5) * 100}%` }}></span>
    <span aria-hidden="true">${number(Number(value), 1, 1)}</span>
    ${count ? html`<span class="note" aria-hidden="true">(${number(count)})</span>` : null}
  </span>`;
}

/** How many copies there are, where that matters: few, or none. With `always`, also that there are enough. */
export function Stock({ book, always = false }) {
  if (book.reason === "no_price") return html`<span class="stock none">${t("stock.no_price")}</span>`;
  if (book.stock_quantity <= 0) return html`<span class="stock none">${t("stock.none")}</span>`;
  if (book.stock_quantity <= FEW) return html`<span class="stock few">${plural("stock.few", book.stock_quantity)}</span>`;
  return always ? html`<span class="stock">${t("stock.there")}</span>` : null;
}

/** A book of a list. `reason` is a text that says why it is there. */
export function BookCard({ book, reason, eager }) {
  const [title, rest] = splitTitle(book.title);
  return html`<article class="book-card">
    <a href=${to("book", book.book_id)} class="book-card-link">
      <${Cover} book=${book} eager=${eager} />
      <span class="book-card-text">
        <span class="book-card-title">${title}${rest && html` <small>${rest}</small>`}</span>
        <span class="book-card-author">${book.author}</span>
        <${Rating} value=${book.rating} />
        <span class="book-card-price">${book.price === null ? "" : money(book.price, book.currency)} <${Stock} book=${book} /></span>
        ${reason && html`<span class="book-card-reason">${reason}</span>`}
      </span>
    </a>
  </article>`;
}

/** A row of books with a heading, which scrolls sideways where it does not fit. `all` is the address of the whole list. */
export function Shelf({ title, books, reasonOf, all }) {
  if (!books?.length) return null;
  return html`<section class="shelf" aria-label=${title}>
    <header><h2>${title}</h2>${all && html`<a href=${all}>${t("shelf.all")}</a>`}</header>
    <ul class="shelf-books">
      ${books.map((book, at) => html`<li key=${book.book_id}><${BookCard} book=${book} reason=${reasonOf?.(at)} /></li>`)}
    </ul>
  </section>`;
}

/** The place of a row of books that is loading, as high as the row will be. */
export function EmptyShelf({ title }) {
  return html`<section class="shelf" aria-hidden="true">
    <header><h2>${title}</h2></header>
    <ul class="shelf-books">${Array.from({ length: 6 }, (_, at) => html`<li key=${at}><span class="cover blank-cover"></span><span class="blank-lines"></span></li>`)}</ul>
  </section>`;
}
