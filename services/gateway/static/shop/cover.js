// Covers of books: the uploaded picture, or one that is drawn from title and author.
import { hashText } from "../lib/api.js";
import { html } from "../lib/html.js";
import { t } from "../lib/i18n.js";
import { Picture } from "../lib/ui/picture.js";

const CLOTHS = 8;
const PATTERNS = 4;

/** A cover. The title stands beside it wherever it is shown, so only a `large` one has a text for screen readers. */
export function Cover({ book, large = false, eager = false }) {
  const src = ownAddress(large ? book.cover_image_url : book.thumbnail_url || book.cover_image_url);
  const alt = large ? t("book.cover_of", { title: book.title ?? "" }) : "";
  return html`<span class=${`cover ${large ? "large" : ""}`}>
    <${Picture} src=${src} alt=${alt} width=${large ? 400 : 200} height=${large ? 600 : 300} eager=${eager} fallback=${html`<${DrawnCover} book=${book} />`} />
  </span>`;
}

/** Returns an address of this server; pictures of other servers are not loaded, which would tell them of the reader. */
function ownAddress(address) {
  return address?.startsWith("/") ? address : null;
}

function DrawnCover({ book }) {
  const title = book.title ?? "";
  const drawn = parseInt(hashText(`${title}|${book.author ?? ""}`).slice(0, 6), 16);
  const [main, rest] = splitTitle(title);
  return html`<span class="drawn" aria-hidden="true" data-cloth=${drawn % CLOTHS} data-pattern=${(drawn >> 4) % PATTERNS} data-long=${main.length > 34 ? "true" : undefined}>
    <span class="drawn-title">${main}</span>
    ${rest && html`<span class="drawn-rest">${rest}</span>`}
    <span class="drawn-author">${firstAuthor(book.author)}</span>
  </span>`;
}

/** Splits what stands in brackets at the end of a title, such as a series, from the title. */
export function splitTitle(title) {
  const found = /^(.+?)\s*\(([^()]+)\)\s*$/.exec(title);
  return found ? [found[1], found[2]] : [title, null];
}

function firstAuthor(author) {
  return (author ?? "").split(",")[0].trim();
}
