// The favourite books of the customer.
import { html } from "../../lib/html.js";
import { t } from "../../lib/i18n.js";
import { CartButton, ListPage, ORDERS, RemoveButton } from "../listed_books.js";

const NAME = "favorites";

export default function Favourites() {
  return html`<${ListPage} name=${NAME} title=${t("page.favourites")} icon="heart" empty=${t("favourites.none.hint")} orders=${ORDERS}>
    ${(entry) => html`<div class="listed-book-actions"><${CartButton} name=${NAME} entry=${entry} /><${RemoveButton} name=${NAME} entry=${entry} /></div>`}
  <//>`;
}
