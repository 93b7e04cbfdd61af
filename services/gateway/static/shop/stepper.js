// A number of copies.
import { html } from "../lib/html.js";
import { t } from "../lib/i18n.js";
import { Button } from "../lib/ui/button.js";

/** Chooses a number of copies from 1 to `most`; `title` is that of the book, where there are several. */
export function Stepper({ value, most, onValue, title = null }) {
  const name = title === null ? t("cart.quantity") : t("cart.quantity.of", { title });
  const choose = (event) => {
    const typed = Math.trunc(Number(event.currentTarget.value)) || 1;
    const kept = Math.max(Math.min(typed, most), 1);
    // The input may show what was typed, also where the value stays as it was.
    event.currentTarget.value = String(kept);
    if (kept !== value) onValue(kept);
  };
  return html`<div class="stepper" role="group" aria-label=${name}>
    <${Button} icon="minus" label=${t("cart.less")} disabled=${value <= 1} onClick=${() => onValue(value - 1)} />
    <input type="number" min="1" max=${Math.max(most, 1)} inputmode="numeric" aria-label=${name} value=${value} onChange=${choose} />
    <${Button} icon="plus" label=${t("cart.more")} disabled=${value >= most} onClick=${() => onValue(value + 1)} />
  </div>`;
}
