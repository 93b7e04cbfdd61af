// What a user was told.
import { post } from "../lib/api.js";
import { html } from "../lib/html.js";
import { moment, plural, t } from "../lib/i18n.js";
import { Button } from "../lib/ui/button.js";
import { Icon } from "../lib/ui/icon.js";
import { Pager } from "../lib/ui/pager.js";
import { EmptyState, Loaded } from "../lib/ui/states.js";
import { attempt } from "../lib/ui/toast.js";
import { stockVersion } from "./events.js";
import { Heading, PlayerProblem } from "./parts.js";
import { namePlayer, token, userId } from "./player.js";
import { useLivePages } from "./resource.js";
import { mayPlay } from "./roles.js";

const ICONS = { info: "notifications", success: "check", warning: "warning", error: "fault" };
const KINDS = { info: "plain", success: "good", warning: "warn", error: "bad" };

export default function Notifications() {
  const pages = useLivePages("/api/notificaciones", {}, "notifications", {
    every: 10_000,
    version: stockVersion.value,
    player: namePlayer,
  });
  const unread = pages.data?.no_leidas ?? 0;
  const read = async (ids) => {
    const marked = await attempt(
      () => post("/api/notificaciones/leidas", { ...namePlayer(), ...(ids ? { ids } : {}) }),
      ({ marcadas }) => plural("notifications.marked", marcadas),
    );
    if (marked) pages.reload();
  };
  return html`<${Heading} title=${t("nav.notifications")} hint=${token.value ? t("notifications.yours") : t("notifications.of", { user: userId.value })}>
      ${mayPlay.value && html`<${Button} icon="check" disabled=${!unread} onClick=${() => read(null)}>${t("notifications.all")}<//>`}
    <//>
    ${!token.value &&
    html`<form class="panel inline narrow" onSubmit=${(event) => event.preventDefault()}>
      <div class="field"><label for="whose">${t("settings.user")}</label>
        <input id="whose" type="number" min="1" inputmode="numeric" value=${userId.value} onChange=${(event) => (userId.value = event.currentTarget.value || "1")} />
      </div>
    </form>`}
    <section class="panel">
      ${pages.data && html`<p class="note" aria-live="polite">${plural("notifications.unread", unread)}</p>`}
      <${Loaded} resource=${pages} error=${PlayerProblem} empty=${html`<${EmptyState} icon="notifications" title=${t("notifications.none")}><p>${t("notifications.none.hint")}</p><//>`}>
        ${() => html`<ul class="lines">
          ${pages.rows.map(
            ({ id, message, type, timestamp, leida }) => html`<li key=${id} class=${leida ? "" : "unread"}>
              <span class=${`round ${KINDS[type]}`}><${Icon} name=${ICONS[type]} /></span>
              <span class="grow"><span>${message}</span><time class="note" datetime=${timestamp}>${moment(timestamp)}</time></span>
              ${leida
                ? null
                : html`<span class="dot unread"><span class="unseen">${t("notifications.new")}</span></span>${mayPlay.value && html`<${Button} kind="quiet" icon="check" label=${t("notifications.read_of", { message })} onClick=${() => read([id])} />`}`}
            </li>`,
          )}
        </ul>`}
      <//>
      <${Pager} pages=${pages} />
    </section>`;
}
