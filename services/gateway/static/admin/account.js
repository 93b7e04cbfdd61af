// The account of the person who is signed in: role, password, sessions.
import { get, post, remove } from "../lib/api.js";
import { html, useState } from "../lib/html.js";
import { moment, t } from "../lib/i18n.js";
import { to } from "../lib/router.js";
import { isSignedIn, principal, signOut } from "../lib/session.js";
import { Button } from "../lib/ui/button.js";
import { PasswordField } from "../lib/ui/credentials.js";
import { Refusal, useForm } from "../lib/ui/form.js";
import { EmptyState, Loaded } from "../lib/ui/states.js";
import { attempt, showToast } from "../lib/ui/toast.js";
import { Heading, Mark } from "./parts.js";
import { useLiveResource } from "./resource.js";

/** The roles of a principal, in words. */
export function roleNames(roles) {
  return roles.map((role) => t(`role.${role}`)).join(", ") || t("role.none");
}

function Facts() {
  const { name, roles, tenant } = principal.value;
  return html`<section class="panel">
    <h2>${t("account.who")}</h2>
    <dl class="facts">
      <div><dt>${t("entry.email")}</dt><dd>${name}</dd></div>
      <div><dt>${t("account.roles")}</dt><dd>${roleNames(roles)}</dd></div>
      <div><dt>${t("entry.tenant")}</dt><dd>${tenant}</dd></div>
    </dl>
  </section>`;
}

function ChangePassword() {
  const [current, setCurrent] = useState("");
  const [password, setPassword] = useState("");
  const form = useForm(async () => {
    await post("/api/v1/users/password", { current_password: current, new_password: password });
    setCurrent("");
    setPassword("");
    showToast(t("account.password.done"));
  });
  return html`<section class="panel">
    <h2>${t("account.password")}</h2>
    <form ref=${form.element} onSubmit=${form.submit}>
      <input type="text" class="unseen" name="username" autocomplete="username" value=${principal.value.name} readonly tabindex="-1" aria-hidden="true" />
      <${PasswordField} label=${t("account.password.current")} name="current" kind="current-password" value=${current} onValue=${setCurrent} error=${form.wrong("current_password")} />
      <${PasswordField} label=${t("password.new")} name="new" kind="new-password" value=${password} onValue=${setPassword} error=${form.wrong("new_password")} hint=${t("password.hint")} />
      <${Refusal} problem=${form.problem} fields=${["current_password", "new_password"]} texts=${{ 401: t("account.password.wrong") }} />
      <footer><button type="submit" class="button primary" disabled=${form.busy}><span>${t("account.password.go")}</span></button></footer>
    </form>
  </section>`;
}

/** The browser and the system that a program names, briefly. */
function describeAgent(agent) {
  const browser = /(Edg|OPR|Firefox|Chrome|Safari)\//.exec(agent)?.[1];
  const system = /(Android|iPhone|iPad|Windows|Mac OS|Linux)/.exec(agent)?.[1];
  const names = { Edg: "Edge", OPR: "Opera" };
  return browser ? [names[browser] ?? browser, system].filter(Boolean).join(" · ") : agent || t("account.agent.unknown");
}

function Sessions() {
  const resource = useLiveResource(() => get("/api/v1/sessions"), "sessions");
  const end = async ({ id }) => {
    await attempt(() => remove(`/api/v1/sessions/${encodeURIComponent(id)}`), t("account.session.ended"));
    resource.reload();
  };
  const endOthers = async () => {
    await attempt(() => remove("/api/v1/sessions"), t("account.sessions.ended"));
    resource.reload();
  };
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
              ? html`<${Mark} kind="good" icon="check">${t("account.session.current")}<//>`
              : html`<${Button} icon="close" label=${t("account.session.end_of", { agent: describeAgent(one.agent) })} onClick=${() => end(one)}>${t("account.session.end")}<//>`}
          </li>`,
        )}
      </ul>
      ${sessions.length > 1 && html`<footer class="end"><${Button} onClick=${endOthers}>${t("account.sessions.end")}<//></footer>`}`}
    <//>
  </section>`;
}

export default function Account() {
  if (!isSignedIn.value) {
    return html`<${Heading} title=${t("nav.account")} />
      <section class="panel"><${EmptyState} icon="account" title=${t("account.none")}>
        <p>${t("account.none.hint")}</p><a class="button primary" href=${to("sign-in")}>${t("signin.go")}</a>
      <//></section>`;
  }
  return html`<${Heading} title=${t("nav.account")} hint=${principal.value.roles.includes("customer") ? t("account.customer") : undefined}>
      <${Button} icon="leave" onClick=${() => attempt(() => signOut(to("sign-in")))}>${t("account.leave")}<//>
    <//>
    <div class="columns two">
      <div class="stack"><${Facts} /><${ChangePassword} /></div>
      <${Sessions} />
    </div>`;
}
