// The page to set a password with the token of a link, or to ask for such a link, of any app.
import { post } from "../api.js";
import { html, useState } from "../html.js";
import { t } from "../i18n.js";
import { takeParameter, to } from "../router.js";
import { nameTenant, restart } from "../session.js";
import { SubmitButton } from "../ui/button.js";
import { EmailField, PasswordField, TenantField, useTenant } from "../ui/credentials.js";
import { Refusal } from "../ui/form.js";
import { EmptyState } from "../ui/states.js";
import { Others, useEntryForm, USERS } from "./entry_form.js";

function AskReset({ frame: Frame, signIn }) {
  const [email, setEmail] = useState("");
  const [tenant, setTenant] = useTenant();
  const [sent, setSent] = useState(false);
  const form = useEntryForm(async () => {
    await post(`${USERS}/password/reset`, { email, ...nameTenant(tenant) });
    setSent(true);
  });
  const title = t("reset.title");
  if (sent) {
    return html`<${Frame} title=${title}><${EmptyState} icon="check" title=${t("entry.mail")}><p>${t("reset.mail")}</p>
      <a class="button" href=${signIn}>${t("signin.go")}</a><//><//>`;
  }
  return html`<${Frame} title=${title} hint=${t("reset.hint")}>
    <form ref=${form.element} onSubmit=${form.submit}>
      <${EmailField} value=${email} onValue=${setEmail} error=${form.wrong("email")} />
      <${TenantField} value=${tenant} onValue=${setTenant} />
      <${Refusal} problem=${form.problem} fields=${["email"]} texts=${{ 404: t("entry.no_tenant") }} />
      <${SubmitButton} busy=${form.busy}>${t("reset.go")}<//>
    </form>
    <${Others}><a href=${signIn}>${t("register.signin")}</a><//>
  <//>`;
}

function SetPassword({ token, frame: Frame, signIn }) {
  const [password, setPassword] = useState("");
  const [done, setDone] = useState(false);
  const form = useEntryForm(async () => {
    await post(`${USERS}/password/reset/confirm`, { token, password });
    setDone(true);
  });
  const ask = (event) => {
    event.preventDefault();
    restart(to("password"));
  };
  const title = t("password.title");
  if (done) {
    return html`<${Frame} title=${title}><${EmptyState} icon="check" title=${t("password.done")}><p>${t("password.done.hint")}</p>
      <a class="button primary" href=${signIn}>${t("signin.go")}</a><//><//>`;
  }
  return html`<${Frame} title=${title} hint=${t("password.set.hint")}>
    <form ref=${form.element} onSubmit=${form.submit}>
      <${PasswordField} label=${t("password.new")} kind="new-password" value=${password} onValue=${setPassword} error=${form.wrong("password")} hint=${t("password.hint")} />
      <${Refusal} problem=${form.problem} fields=${["password"]} texts=${{ 410: t("password.expired"), 503: t("entry.busy") }} />
      <${SubmitButton} busy=${form.busy}>${t("password.go")}<//>
    </form>
    <${Others}><a href=${to("password")} onClick=${ask}>${t("password.ask")}</a><//>
  <//>`;
}

/**
 * Sets a password with the token of a link, or sends such a link. `frame` is what the app draws around the form;
 * `signIn` is the address of its sign-in.
 */
export function PasswordPage({ frame, signIn }) {
  // Once: it leaves the address at once.
  const [token] = useState(() => takeParameter("token"));
  return token
    ? html`<${SetPassword} token=${token} frame=${frame} signIn=${signIn} />`
    : html`<${AskReset} frame=${frame} signIn=${signIn} />`;
}
