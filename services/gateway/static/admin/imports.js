// The imports that there were; each can be undone.
import { post } from "../lib/api.js";
import { html, useState } from "../lib/html.js";
import { moment, number, t } from "../lib/i18n.js";
import { Button } from "../lib/ui/button.js";
import { Confirm } from "../lib/ui/dialog.js";
import { Pager } from "../lib/ui/pager.js";
import { EmptyState, Loaded } from "../lib/ui/states.js";
import { attempt } from "../lib/ui/toast.js";
import { stockVersion } from "./events.js";
import { Mark } from "./parts.js";
import { useLivePages } from "./resource.js";
import { mayOperate } from "./roles.js";

const KINDS = { accepted: ["accent", "gear"], applied: ["good", "check"], undoing: ["accent", "gear"], undone: ["plain", "undo"] };

function Name({ one }) {
  const [kind, icon] = KINDS[one.state];
  const going = one.state === "accepted" || one.state === "undoing";
  return html`<${Mark} kind=${kind} icon=${icon}>${t(`import.state.${one.state}`)}${going && one.rows ? ` ${number((one.applied / one.rows) * 100)} %` : ""}<//>`;
}

export function Imports({ version, reload }) {
  const pages = useLivePages("/imports", {}, "imports", { limit: 10, version: version + stockVersion.value, every: 3000 });
  const [undone, setUndone] = useState(null);
  const undo = async ({ id }) => {
    await attempt(() => post(`/imports/${id}/undo`), t("import.undo.told"));
    pages.reload();
    reload();
  };
  return html`<section class="panel">
    <h2>${t("imports.title")}</h2>
    <${Loaded} resource=${pages} empty=${html`<${EmptyState} icon="upload" title=${t("imports.none")} />`}>
      ${() => html`<div class="scroll"><table class="stacks">
        <caption class="unseen">${t("imports.title")}</caption>
        <thead><tr>${["name", "state", "rows", "changes", "received"].map((key) => html`<th scope="col" class=${key === "rows" ? "figure" : ""} key=${key}>${t(`imports.${key}`)}</th>`)}<td></td></tr></thead>
        <tbody>${pages.rows.map(
          (one) => html`<tr key=${one.id} data-import=${one.id}>
            <th scope="row">${one.name}<code>${t(`source.${one.source}`)}</code></th>
            <td data-label=${t("imports.state")}><${Name} one=${one} /></td>
            <td class="figure" data-label=${t("imports.rows")}>${number(one.rows)}</td>
            <td data-label=${t("imports.changes")}>${t("imports.summary", { new: one.new, changed: one.changed, same: one.same, faults: one.faults })}</td>
            <td class="when" data-label=${t("imports.received")}><time datetime=${one.received}>${moment(one.received)}</time></td>
            <td class="end">${one.state === "applied" && mayOperate.value && html`<${Button} kind="quiet" icon="undo" label=${t("import.undo_of", { name: one.name })} onClick=${() => setUndone(one)}>${t("import.undo")}<//>`}</td>
          </tr>`,
        )}</tbody>
      </table></div>`}
    <//>
    <${Pager} pages=${pages} />
    ${undone &&
    html`<${Confirm} title=${t("import.undo.title")} text=${t("import.undo.text", { name: undone.name })} action=${t("import.undo")} confirm=${() => undo(undone)} close=${() => setUndone(null)} />`}
  </section>`;
}
