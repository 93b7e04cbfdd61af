// The sessions of the account: where it is signed in, and how to end that.
import { get, remove } from "../api.js";
import { invalidate, useResource } from "../cache.js";
import { html } from "../html.js";
import { moment, t } from "../i18n.js";
import { Button } from "../ui/button.js";
import { Icon } from "../ui/icon.js";
import { Loaded } from "../ui/states.js";
import { attempt } from "../ui/toast.js";

const SESSIONS = "/api/v1/sessions";
/** The tag of the list of sessions in the cache. */
export const SESSIONS_TAG = "sessions";

/** The browser and the system that a program names, briefly. */
function describeAgent(agent) {
  const browser = /(Edg|OPR|Firefox|Chrome|Safari)\//.exec(agent)?.[1];
  const system = /(Android|iPhone|iPad|Windows|Mac OS|Linux)/.exec(agent)?.[1];
  const names = { Edg: "Edge", OPR: "Opera" };
  return browser ? [names[browser] ?? browser, system].filter(Boolean).join(" · ") : agent || t("account.agent.unknown");
}

/** The sessions, each with a way to end it, and one to end all others. */
export function Sessions() {
  const resource = useResource(SESSIONS_TAG, (signal) => get(SESSIONS, {}, { signal }), { tags: [SESSIONS_TAG], maxAge: 0 });
  const end = async (work, done) => {
    await attempt(work, done);
    invalidate(SESSIONS_TAG);
  };
  const endOne = ({ id }) => end(() => remove(`${SESSIONS}/${encodeURIComponent(id)}`), t("account.session.ended"));
  const endOthers = () => end(() => remove(SESSIONS), t("account.sessions.ended"));
  return html`<section class="panel">
    <h2>${t("account.sessions")}</h2>
    <p class="hint">${t("account.sessions.hint")}</p>
    <${Loaded} resource=${resource}>
      ${({ sessions }) => html`<ul class="lines">
        ${sessions.map(
          (one) => html`<li key=${one.id} data-session=${one.id}>
            <span class="grow"><span title=${one.agent}>${describeAgent(one.agent)}</span>
              <span class="note">${t("account.session.since", { time: moment(one.created_at) })} · ${t("account.session.until", { time: moment(one.expires_at * 1000) })}</span></span>
            ${one.current
              ? html`<span class="badge good"><${Icon} name="check" />${t("account.session.current")}</span>`
              : html`<${Button} icon="close" label=${t("account.session.end_of", { agent: describeAgent(one.agent) })} onClick=${() => endOne(one)}>${t("account.session.end")}<//>`}
          </li>`,
        )}
      </ul>
      ${sessions.length > 1 && html`<footer class="end"><${Button} onClick=${endOthers}>${t("account.sessions.end")}<//></footer>`}`}
    <//>
  </section>`;
}
