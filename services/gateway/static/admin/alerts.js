// Items that run low, until somebody has seen to them.
import { post } from "../lib/api.js";
import { html, useState } from "../lib/html.js";
import { moment, plural, t } from "../lib/i18n.js";
import { Button } from "../lib/ui/button.js";
import { Icon } from "../lib/ui/icon.js";
import { Pager } from "../lib/ui/pager.js";
import { EmptyState, Loaded } from "../lib/ui/states.js";
import { attempt } from "../lib/ui/toast.js";
import { stockVersion } from "./events.js";
import { Mark } from "./parts.js";
import { useLivePages } from "./resource.js";
import { mayOperate } from "./roles.js";

const FILTERS = ["open", "acknowledged"];

export function Alerts() {
  const [state, setState] = useState("open");
  const pages = useLivePages("/alerts", { state }, "alerts", { version: stockVersion.value });
  const acknowledge = async ({ store, item }) => {
    await attempt(() => post("/alerts/acknowledge", { store, item }), t("alerts.acknowledged.told", { item }));
    pages.reload();
  };
  return html`<section class="panel">
    <div class="pills" role="group" aria-label=${t("alerts.filter")}>
      ${FILTERS.map((key) => html`<button type="button" aria-pressed=${key === state} onClick=${() => setState(key)} key=${key}>${t(`alerts.${key}`)}</button>`)}
    </div>
    <${Loaded} resource=${pages} empty=${html`<${EmptyState} icon="check" title=${t(`alerts.${state}.none`)}><p>${t("alerts.none.hint")}</p><//>`}>
      ${() => html`<ul class="lines">
        ${pages.rows.map(
          (alert) => html`<li key=${`${alert.store}/${alert.item}`}>
            <span class="round warn"><${Icon} name="warning" /></span>
            <span class="grow"><strong>${alert.item}</strong><span class="note">${alert.store} · ${t("alerts.since", { time: moment(alert.since) })}</span></span>
            <${Mark} kind="warn">${plural("alerts.left", alert.count, { threshold: alert.threshold })}<//>
            ${alert.state !== "open"
              ? html`<${Mark} icon="check">${t("alerts.acknowledged")}<//>`
              : mayOperate.value &&
                html`<${Button} icon="check" label=${t("alerts.acknowledge_of", { item: alert.item })} onClick=${() => acknowledge(alert)}>${t("alerts.acknowledge")}<//>`}
          </li>`,
        )}
      </ul>`}
    <//>
    <${Pager} pages=${pages} />
  </section>`;
}
