// What stands at an address without a page: a way to search.
import { html } from "../lib/html.js";
import { t } from "../lib/i18n.js";
import { to } from "../lib/router.js";
import { EmptyState } from "../lib/ui/states.js";
import { SearchBox } from "./search_box.js";

/** Says that there is no page, or with `title` and `hint` what is not there, and offers a search. */
export default function Missing({ title, hint }) {
  return html`<section class="missing">
    <h1 class="unseen" tabindex="-1">${title ?? t("page.missing")}</h1>
    <${EmptyState} icon="book" title=${title ?? t("page.missing")}>
      <p>${hint ?? t("page.missing.hint")}</p>
      <${SearchBox} name="missing" />
      <a class="button" href=${to()}>${t("page.start")}</a>
    <//>
  </section>`;
}
