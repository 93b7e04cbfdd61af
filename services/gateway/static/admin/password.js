// The page to set a password with the token of a link, or to ask for such a link.
import { post } from "../lib/api.js";
import { html, useState } from "../lib/html.js";
import { t } from "../lib/i18n.js";
import { takeParameter, to } from "../lib/router.js";
import { nameTenant, restart } from "../lib/session.js";
import { SubmitButton } from "../lib/ui/button.js";
import { EmailField, PasswordField, TenantField, useTenant } from "../lib/ui/credentials.js";
import { Refusal } from "../lib/ui/form.js";
import { EmptyState } from "../lib/ui/states.js";
import { Entry, Others, useEntryForm, USERS } from "./entry.js";

function AskReset() {
  const [email, setEmail] = useState("");
  const [tenant, setTenant] = useTenant();
  const [sent, setSent] = useState(false);
  const form = useEntryForm(async () => {
    await post(`${USERS}/password/reset`, { email, ...nameTenant(tenant) });
    setSent(true);
  });
  const title = t("reset.title");
  if (sent) {
    return html`<${Entry} title=${title}><${EmptyState} icon="check" title=${t("entry.mail")}><p>${t("reset.mail")}</p>
      <a class="button" href=${to("sign-in")}>${t("signin.go")}</a><//><//>`;
  }
  return html`<${Entry} title=${title} hint=${t("reset.hint")}>
    <form ref=${form.element} onSubmit=${form.submit}>
      <${EmailField} value=${email} onValue=${setEmail} error=${form.wrong("email")} />
      <${TenantField} value=${tenant} onValue=${setTenant} />
      <${Refusal} problem=${form.problem} fields=${["email"]} texts=${{ 404: t("entry.no_tenant") }} />
      <${SubmitButton} busy=${form.busy}>${t("reset.go")}<//>
    </form>
    <${Others}><a href=${to("sign-in")}>${t("register.signin")}</a><//>
  <//>`;
}

function SetPassword({ token }) {
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
    return html`<${Entry} title=${title}><${EmptyState} icon="check" title=${t("password.done")}><p>${t("password.done.hint")}</p>
      <a class="button primary" href=${to("sign-in")}>${t("signin.go")}</a><//><//>`;
  }
  return html`<${Entry} title=${title} hint=${t("password.set.hint")}>
    <form ref=${form.element} onSubmit=${form.submit}>
      <${PasswordField} label=${t("password.new")} kind="new-password" value=${password} onValue=${setPassword} error=${form.wrong("password")} hint=${t("password.hint")} />
      <${Refusal} problem=${form.problem} fields=${["password"]} texts=${{ 410: t("password.expired"), 503: t("entry.busy") }} />
      <${SubmitButton} busy=${form.busy}>${t("password.go")}<//>
    </form>
    <${Others}><a href=${to("password")} onClick=${ask}>${t("password.ask")}</a><//>
  <//>`;
}

/** Sets a password with the token of a link, or sends such a link. */
export default function Password() {
  // Once: it leaves the address at once.
  const [token] = useState(() => takeParameter("token"));
  return token ? html`<${SetPassword} token=${token} />` : html`<${AskReset} />`;
}
