// The page to sign in.
import { post } from "../lib/api.js";
import { html, useState } from "../lib/html.js";
import { t } from "../lib/i18n.js";
import { to } from "../lib/router.js";
import { enter, nameTenant, principal, restart } from "../lib/session.js";
import { SubmitButton } from "../lib/ui/button.js";
import { EmailField, PasswordField, TenantField, useTenant } from "../lib/ui/credentials.js";
import { Refusal } from "../lib/ui/form.js";
import { Entry, Others, useEntryForm, USERS } from "./entry.js";

const WRONG = () => ({ 401: t("signin.wrong"), 404: t("entry.no_tenant"), 503: t("entry.busy") });

export default function SignIn() {
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const [tenant, setTenant] = useTenant();
  const form = useEntryForm(async () => {
    await post(`${USERS}/login`, { email, password, cookie: true, ...nameTenant(tenant) });
    enter();
  });
  const goOn = async () => {
    // An old cookie would still be refused.
    await post(`${USERS}/logout`).catch(() => undefined);
    restart(to());
  };
  return html`<${Entry} title=${t("signin.title")} hint=${t("signin.hint")}>
    <form ref=${form.element} onSubmit=${form.submit}>
      <${EmailField} value=${email} onValue=${setEmail} error=${form.wrong("email")} />
      <${PasswordField} label=${t("entry.password")} kind="current-password" value=${password} onValue=${setPassword} />
      <${TenantField} value=${tenant} onValue=${setTenant} />
      <${Refusal} problem=${form.problem} fields=${["email"]} texts=${WRONG()} />
      <${SubmitButton} busy=${form.busy}>${t("signin.go")}<//>
    </form>
    <${Others}>
      <a href=${to("password")}>${t("signin.forgot")}</a>
      <a href=${to("register")}>${t("signin.register")}</a>
      ${principal.value?.development && html`<button type="button" class="link" onClick=${goOn}>${t("signin.without")}</button>`}
    <//>
  <//>`;
}
