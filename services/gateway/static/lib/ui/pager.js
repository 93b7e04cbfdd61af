// Steps to the pages of a list.
import { html } from "../html.js";
import { t } from "../i18n.js";
import { Button } from "./button.js";

/** Steps through a list that is read by cursors: `{ page, back, next }`, where null means that there is no such page. */
export function Pager({ pages }) {
  if (!pages.back && !pages.next) return null;
  return html`<nav class="pager" aria-label=${t("pager.label")}>
    <${Button} disabled=${!pages.back} onClick=${pages.back}>${t("pager.back")}<//>
    <span>${t("pager.page", { n: pages.page })}</span>
    <${Button} disabled=${!pages.next} onClick=${pages.next}>${t("pager.next")}<//>
  </nav>`;
}

/** Links to the pages of a list whose page is in the address; `hrefOf(page)` returns the address of a page. */
export function LinkPager({ page, pages, hrefOf }) {
  if (pages <= 1) return null;
  const step = (to, text, rel) =>
    to >= 1 && to <= pages
      ? html`<a class="button" rel=${rel} href=${hrefOf(to)}><span>${text}</span></a>`
      : html`<a class="button" role="link" aria-disabled="true"><span>${text}</span></a>`;
  return html`<nav class="pager" aria-label=${t("pager.label")}>
    ${step(page - 1, t("pager.back"), "prev")}
    <span>${t("pager.page_of", { n: page, pages })}</span>
    ${step(page + 1, t("pager.next"), "next")}
  </nav>`;
}
