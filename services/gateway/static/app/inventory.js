// The stock of the stores.
import { get } from "./api.js";
import { Alerts } from "./alerts.js";
import { stockVersion } from "./events.js";
import { html } from "./html.js";
import { t } from "./i18n.js";
import { Importing } from "./importing.js";
import { useResource } from "./resource.js";
import { path, to } from "./router.js";
import { Stock } from "./stock.js";
import { Blank, Heading, Loaded, Tabs } from "./ui.js";

const PARTS = { stock: Stock, import: Importing, alerts: Alerts };

export default function Inventory() {
  const part = path.value[1] in PARTS ? path.value[1] : "stock";
  const stores = useResource(() => get("/stores", { limit: 200 }), "stores", { version: stockVersion.value });
  const alerts = useResource(() => get("/alerts", { state: "open", limit: 200 }), "alerts", { version: stockVersion.value });
  const Part = PARTS[part];
  const tabs = [
    [to("inventory"), t("inventory.stock"), null],
    [to("inventory", "import"), t("inventory.import"), null],
    [to("inventory", "alerts"), t("inventory.alerts"), alerts.data?.alerts.length],
  ];
  return html`<${Heading} title=${t("nav.inventory")} hint=${t("inventory.hint")} />
    <${Tabs} label=${t("nav.inventory")} tabs=${tabs} current=${part === "stock" ? to("inventory") : to("inventory", part)} />
    ${isAway(stores)
      ? html`<div class="panel"><${Blank} icon="away" title=${t("inventory.away")}><p>${t("inventory.away.hint")}</p>
          <button type="button" class="button" onClick=${stores.reload}><span>${t("action.again")}</span></button><//></div>`
      : html`<${Loaded} resource=${stores}>${() => html`<${Part} stores=${stores.data.stores} reload=${stores.reload} />`}<//>`}`;
}

function isAway({ data, problem }) {
  return data === undefined && problem && (problem.status === 404 || problem.status === 503);
}
