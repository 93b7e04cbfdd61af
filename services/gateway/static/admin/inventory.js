// The stock of the stores.
import { html } from "../lib/html.js";
import { amount, t } from "../lib/i18n.js";
import { path, to } from "../lib/router.js";
import { EmptyState, Loaded } from "../lib/ui/states.js";
import { Alerts } from "./alerts.js";
import { stockVersion } from "./events.js";
import { Importing } from "./importing.js";
import { Heading, Tabs } from "./parts.js";
import { useLiveResource } from "./resource.js";
import { Stock } from "./stock.js";
import { getRows } from "./rows.js";

// More than these nobody looks through; that there are more is said.
const MOST_STORES = 1000;
const MOST_ALERTS = 200;
const PARTS = { stock: Stock, import: Importing, alerts: Alerts };

export default function Inventory() {
  const part = Object.hasOwn(PARTS, path.value[1]) ? path.value[1] : "stock";
  const stores = useLiveResource(() => getRows("/stores", "stores", MOST_STORES), "stores", { version: stockVersion.value });
  const alerts = useLiveResource(() => getRows("/alerts", "alerts", MOST_ALERTS, { values: { state: "open" } }), "alerts", { version: stockVersion.value });
  const Part = PARTS[part];
  const tabs = [
    [to("inventory"), t("inventory.stock"), null],
    [to("inventory", "import"), t("inventory.import"), null],
    [to("inventory", "alerts"), t("inventory.alerts"), alerts.data?.rows.length ? amount(alerts.data) : null],
  ];
  return html`<${Heading} title=${t("nav.inventory")} hint=${t("inventory.hint")} />
    <${Tabs} label=${t("nav.inventory")} tabs=${tabs} current=${part === "stock" ? to("inventory") : to("inventory", part)} />
    ${isAway(stores)
      ? html`<div class="panel"><${EmptyState} icon="away" title=${t("inventory.away")}><p>${t("inventory.away.hint")}</p>
          <button type="button" class="button" onClick=${stores.reload}><span>${t("action.again")}</span></button><//></div>`
      : html`<${Loaded} resource=${stores}>${() => html`<${Part} stores=${stores.data} reload=${stores.reload} />`}<//>`}`;
}

function isAway({ data, problem }) {
  return data === undefined && problem && (problem.status === 404 || problem.status === 503);
}
