// The page to sign in, of any app.
import { post } from "../api.js";
import { html, useState } from "../html.js";
import { t } from "../i18n.js";
import { to } from "../router.js";
import { nameTenant } from "../session.js";
import { SubmitButton } from "../ui/button.js";
import { EmailField, PasswordField, TenantField, useTenant } from "../ui/credentials.js";
import { Refusal } from "../ui/form.js";
import { Others, useEntryForm, USERS } from "./entry_form.js";

const WRONG = () => ({ 401: t("signin.wrong"), 404: t("entry.no_tenant"), 503: t("entry.busy") });

/**
 * Signs a person in. `frame` is what the app draws around the form, a component with `title` and `hint`; `onSignedIn`
 * is called with the response; `children` are further links below the form.
 */
export function SignInPage({ frame: Frame, hint, onSignedIn, children }) {
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const [tenant, setTenant] = useTenant();
  const form = useEntryForm(async () => {
    await onSignedIn(await post(`${USERS}/login`, { email, password, cookie: true, ...nameTenant(tenant) }));
  });
  return html`<${Frame} title=${t("signin.title")} hint=${hint}>
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
      ${children}
    <//>
  <//>`;
}
