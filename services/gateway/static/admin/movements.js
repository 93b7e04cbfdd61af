// What has happened to an item.
import { html } from "../lib/html.js";
import { moment, number, plural, t } from "../lib/i18n.js";
import { Dialog } from "../lib/ui/dialog.js";
import { Pager } from "../lib/ui/pager.js";
import { EmptyState, Loaded } from "../lib/ui/states.js";
import { itemPath } from "./parts.js";
import { useLivePages } from "./resource.js";

export function Movements({ row, close }) {
  const pages = useLivePages(`${itemPath(row)}/movements`, {}, "movements", { version: row.version, every: 2000 });
  return html`<${Dialog} title=${t("movements.title", { item: row.item, store: row.store })} close=${close} side>
    <${Loaded} resource=${pages} empty=${html`<${EmptyState} icon="history" title=${t("movements.none")} />`}>
      ${() => html`<ol class="movements">
        ${pages.rows.map(
          ({ at, change, count, cause, reference }, place) => html`<li key=${`${at}${place}`}>
            <span class=${`change ${change < 0 ? "minus" : "plus"}`}>${change > 0 ? "+" : ""}${number(change)}</span>
            <span class="grow"><span>${t(`cause.${cause}`)}</span>${reference && html`<code>${reference}</code>`}</span>
            <span class="figure">${plural("movements.left", count)}<time class="note" datetime=${at}>${moment(at)}</time></span>
          </li>`,
        )}
      </ol>`}
    <//>
    <${Pager} pages=${pages} />
  <//>`;
}
