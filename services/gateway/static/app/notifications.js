// What a user was told.
import { asking, post } from "./api.js";
import { stockVersion } from "./events.js";
import { html } from "./html.js";
import { moment, plural, t } from "./i18n.js";
import { Icon } from "./icons.js";
import { mayPlay } from "./principal.js";
import { usePages } from "./resource.js";
import { token, userId } from "./settings.js";
import { attempt, Blank, Button, Heading, Loaded, Pager } from "./ui.js";

const ICONS = { info: "notifications", success: "check", warning: "warning", error: "fault" };
const KINDS = { info: "plain", success: "good", warning: "warn", error: "bad" };

export default function Notifications() {
  const pages = usePages("/api/notificaciones", {}, "notifications", {
    every: 10_000,
    version: stockVersion.value,
    whose: asking,
  });
  const unread = pages.data?.no_leidas ?? 0;
  const read = async (ids) => {
    const marked = await attempt(
      () => post("/api/notificaciones/leidas", { ...asking(), ...(ids ? { ids } : {}) }),
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
      <${Loaded} resource=${pages} empty=${html`<${Blank} icon="notifications" title=${t("notifications.none")}><p>${t("notifications.none.hint")}</p><//>`}>
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
