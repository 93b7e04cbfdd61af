// Items that run low, until somebody has seen to them.
import { post } from "./api.js";
import { stockVersion } from "./events.js";
import { html, useState } from "./html.js";
import { moment, plural, t } from "./i18n.js";
import { Icon } from "./icons.js";
import { mayOperate } from "./principal.js";
import { usePages } from "./resource.js";
import { attempt, Blank, Button, Loaded, Mark, Pager } from "./ui.js";

const FILTERS = ["open", "acknowledged"];

export function Alerts() {
  const [state, setState] = useState("open");
  const pages = usePages("/alerts", { state }, "alerts", { version: stockVersion.value });
  const acknowledge = async ({ store, item }) => {
    await attempt(() => post("/alerts/acknowledge", { store, item }), t("alerts.acknowledged.told", { item }));
    pages.reload();
  };
  return html`<section class="panel">
    <div class="pills" role="group" aria-label=${t("alerts.filter")}>
      ${FILTERS.map((key) => html`<button type="button" aria-pressed=${key === state} onClick=${() => setState(key)} key=${key}>${t(`alerts.${key}`)}</button>`)}
    </div>
    <${Loaded} resource=${pages} empty=${html`<${Blank} icon="check" title=${t(`alerts.${state}.none`)}><p>${t("alerts.none.hint")}</p><//>`}>
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
