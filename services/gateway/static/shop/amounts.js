// The sums of a cart or a purchase.
import { html } from "../lib/html.js";
import { money, t } from "../lib/i18n.js";

/** Net amount, tax and total; without the first two where there is no tax. */
export function Amounts({ of: sums, currency }) {
  return html`<dl class="amounts" data-old=${sums.isOld ? "true" : undefined}>
    ${Number(sums.tax_amount) !== 0 &&
    html`<div><dt>${t("amounts.net")}</dt><dd>${money(sums.net_amount, currency)}</dd></div>
      <div><dt>${t("amounts.tax")}</dt><dd>${money(sums.tax_amount, currency)}</dd></div>`}
    <div class="amounts-total"><dt>${t("amounts.total")}</dt><dd>${money(sums.total_amount, currency)}</dd></div>
  </dl>`;
}
