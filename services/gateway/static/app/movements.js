// What has happened to an item.
import { itemPath } from "./api.js";
import { html } from "./html.js";
import { moment, number, plural, t } from "./i18n.js";
import { usePages } from "./resource.js";
import { Blank, Dialog, Loaded, Pager } from "./ui.js";

export function Movements({ row, close }) {
  const pages = usePages(`${itemPath(row)}/movements`, {}, "movements", { version: row.version, every: 2000 });
  return html`<${Dialog} title=${t("movements.title", { item: row.item, store: row.store })} close=${close} side>
    <${Loaded} resource=${pages} empty=${html`<${Blank} icon="history" title=${t("movements.none")} />`}>
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
