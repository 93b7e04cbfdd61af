// The items of a store: how many there are, corrected by hand where they were counted.
import { buildQuery, put } from "../lib/api.js";
import { html, useEffect, useRef, useState } from "../lib/html.js";
import { amount, moment, number, t } from "../lib/i18n.js";
import { path, to } from "../lib/router.js";
import { Button } from "../lib/ui/button.js";
import { Icon } from "../lib/ui/icon.js";
import { Pager } from "../lib/ui/pager.js";
import { describeProblem } from "../lib/ui/problem.js";
import { EmptyState, Loaded } from "../lib/ui/states.js";
import { showToast } from "../lib/ui/toast.js";
import { stockVersion } from "./events.js";
import { Movements } from "./movements.js";
import { itemPath, Mark } from "./parts.js";
import { useLivePages } from "./resource.js";
import { mayOperate } from "./roles.js";

// With more stores than the first of these there is a field to find one; more than the second are shown when asked for.
const FEW_STORES = 8;
const SHOWN_STORES = 23;

function Count({ row, done }) {
  // The version that was seen when it was begun: what came in meanwhile is not written over.
  const [seen] = useState(row.version);
  const [value, setValue] = useState(String(row.count));
  const [problem, setProblem] = useState(null);
  const input = useRef(null);
  useEffect(() => input.current.select(), []);
  const save = async (event) => {
    event.preventDefault();
    try {
      const found = await put(itemPath(row), { count: /^\d+$/.test(value) ? Number(value) : value }, { "If-Match": `"${seen}"` });
      showToast(t("stock.counted", { item: row.item, count: found.count }));
      done();
    } catch (found) {
      if (found.status === 412) (showToast(t("stock.changed", { item: row.item }), { kind: "bad" }), done());
      else setProblem(found);
    }
  };
  return html`<form class="count" onSubmit=${save} onKeyDown=${(event) => event.key === "Escape" && done()} novalidate>
    <input
      ref=${input}
      type="number"
      min="0"
      inputmode="numeric"
      aria-label=${t("stock.count_of", { item: row.item })}
      aria-invalid=${problem ? "true" : undefined}
      aria-describedby=${problem ? "count-error" : undefined}
      value=${value}
      onInput=${(event) => setValue(event.currentTarget.value)}
    />
    <button type="submit" class="button primary" aria-label=${t("action.save")}><${Icon} name="check" /></button>
    <${Button} kind="quiet" icon="close" label=${t("action.cancel")} onClick=${done} />
    ${problem && html`<p class="error" id="count-error" role="alert">${describeProblem(problem)}</p>`}
  </form>`;
}

function Row({ row, all, reload, show }) {
  const [edited, setEdited] = useState(false);
  return html`<tr class=${row.low ? "low" : ""}>
    ${all && html`<td class="store-of" data-label=${t("stock.store")}>${row.store}</td>`}
    <th scope="row">${row.item}</th>
    <td class=${`figure ${edited ? "editing" : ""}`} data-label=${t("stock.count")}>
      ${edited ? html`<${Count} row=${row} done=${() => (setEdited(false), reload())} />` : html`<span class="amounts">${number(row.count)}</span>`}
    </td>
    <td class=${`level-of ${row.low ? "is-low" : ""}`} data-label=${t("stock.level")}>${row.low ? html`<${Mark} kind="warn" icon="warning">${t("stock.low")}<//>` : html`<span class="note">${t("stock.enough")}</span>`}</td>
    <td class="when" data-label=${t("stock.when")}><time datetime=${row.changed}>${moment(row.changed)}</time></td>
    <td class="end">
      ${mayOperate.value && html`<${Button} kind="quiet" icon="edit" label=${t("stock.edit_of", { item: row.item })} onClick=${() => setEdited(true)} />`}
      <${Button} kind="quiet" icon="history" label=${t("stock.movements_of", { item: row.item })} onClick=${() => show(row)} />
    </td>
  </tr>`;
}

/** A name as it is compared: accents and capitals say nothing. */
function plain(name) {
  return name.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
}

function Stores({ stores, store }) {
  const { rows, more } = stores;
  const [wanted, setWanted] = useState("");
  const [all, setAll] = useState(false);
  const found = wanted.trim() ? rows.filter((one) => plain(one.store).includes(plain(wanted.trim()))) : rows;
  const shown = all ? [...found] : found.slice(0, SHOWN_STORES);
  // The one whose items are below is to be seen, wherever it comes.
  const own = rows.find((one) => one.store === store);
  if (own && !shown.includes(own)) {
    if (shown.length < found.length) shown.pop();
    shown.unshift(own);
  }
  return html`${rows.length > FEW_STORES &&
    html`<div class="find">
      <input type="search" aria-label=${t("stock.find")} placeholder=${t("stock.find")} value=${wanted} onInput=${(event) => setWanted(event.currentTarget.value)} />
      <p class="note" aria-live="polite">${found.length ? t("stock.shown", { n: shown.length, all: amount(stores) }) : t("stock.find.none")}</p>
      ${shown.length < found.length && html`<${Button} onClick=${() => setAll(true)}>${t("stock.show_all")}<//>`}
    </div>`}
    ${more && html`<p class="note">${t("stock.beyond", { n: rows.length })}</p>`}
    <nav class="stores" aria-label=${t("stock.stores")}>
      <a href=${to("inventory")} aria-current=${store ? undefined : "true"}><strong>${t("stock.all")}</strong><span>${t("stock.of_stores", { n: amount(stores) })}</span></a>
      ${shown.map(
        (one) => html`<a href=${to("inventory", "stock", one.store)} aria-current=${one.store === store ? "true" : undefined} key=${one.store}>
          <strong title=${one.store}>${one.store}</strong><span>${t("stock.items", { n: one.items })}</span><span>${t("stock.units", { n: one.units })}</span>
          ${one.low ? html`<${Mark} kind="warn" icon="warning">${t("stock.low_count", { n: one.low })}<//>` : null}
        </a>`,
      )}
    </nav>`;
}

export function Stock({ stores, reload }) {
  const store = path.value[1] === "stock" ? (path.value[2] ?? null) : null;
  const pages = useLivePages(store ? `/api/v1/items/${encodeURIComponent(store)}` : "/api/v1/items", {}, "items", { version: stockVersion.value });
  const [shown, setShown] = useState(null);
  if (stores.rows.length === 0) {
    return html`<div class="panel"><${EmptyState} icon="inventory" title=${t("stock.none")}>
      ${mayOperate.value &&
      html`<p>${t("stock.none.hint")}</p><a class="button primary" href=${to("inventory", "import")}><${Icon} name="upload" /><span>${t("inventory.import")}</span></a>`}
    <//></div>`;
  }
  const again = () => (pages.reload(), reload());
  const columns = [...(store ? [] : ["store"]), "item", "count", "level", "when"];
  return html`<${Stores} stores=${stores} store=${store} />
    <section class="panel">
      <div class="tools">
        <h2>${store ?? t("stock.all")}</h2>
        <a class="button" href=${`/items.csv${buildQuery({ store })}`} download><${Icon} name="download" /><span>${t("stock.export")}</span></a>
      </div>
      <${Loaded} resource=${pages} lines=${8} empty=${html`<${EmptyState} icon="inventory" title=${t("stock.none")} />`}>
        ${() => html`<div class="scroll"><table class="stacks items">
          <caption class="unseen">${t("stock.caption", { store: store ?? t("stock.all") })}</caption>
          <thead><tr>${columns.map((key) => html`<th scope="col" class=${key === "count" ? "figure" : ""} key=${key}>${t(`stock.${key}`)}</th>`)}<td></td></tr></thead>
          <tbody>
            ${pages.rows.map(
              (row) => html`<${Row} row=${row} all=${!store} reload=${again} show=${setShown} key=${`${row.store}/${row.item}`} />`,
            )}
          </tbody>
        </table></div>`}
      <//>
      <${Pager} pages=${pages} />
    </section>
    ${shown && html`<${Movements} row=${shown} close=${() => setShown(null)} />`}`;
}
