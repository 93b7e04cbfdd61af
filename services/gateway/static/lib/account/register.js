// The page to create an account, of any app.
import { post } from "../api.js";
import { html, useState } from "../html.js";
import { t } from "../i18n.js";
import { nameTenant } from "../session.js";
import { SubmitButton } from "../ui/button.js";
import { EmailField, PasswordField, TenantField, useTenant } from "../ui/credentials.js";
import { Field } from "../ui/field.js";
import { Refusal } from "../ui/form.js";
import { EmptyState } from "../ui/states.js";
import { Others, useEntryForm, USERS } from "./entry_form.js";

/**
 * Creates an account. `frame` is what the app draws around the form; `signIn` is the address of its sign-in;
 * `onSignedIn` is called with the response where the account is open at once.
 */
export function RegisterPage({ frame: Frame, hint, signIn, onSignedIn }) {
  const [form, change] = useState({ email: "", first_name: "", last_name: "", password: "" });
  const [tenant, setTenant] = useTenant();
  const [sent, setSent] = useState(false);
  const set = (member) => (value) => change({ ...form, [member]: value });
  const state = useEntryForm(async () => {
    const found = await post(`${USERS}/register`, { ...form, cookie: true, ...nameTenant(tenant) });
    // With mail, the answer is the same whether the address is taken or not, and the rest comes by mail.
    if (found.user_id) await onSignedIn(found);
    else setSent(true);
  });
  const title = t("register.title");
  if (sent) {
    return html`<${Frame} title=${title}><${EmptyState} icon="check" title=${t("entry.mail")}><p>${t("register.mail")}</p>
      <a class="button" href=${signIn}>${t("signin.go")}</a><//><//>`;
  }
  return html`<${Frame} title=${title} hint=${hint}>
    <form ref=${state.element} onSubmit=${state.submit}>
      <${EmailField} value=${form.email} onValue=${set("email")} error=${state.wrong("email")} />
      <div class="pair">
        <${Field} label=${t("entry.first_name")} name="given-name" autocomplete="given-name" required value=${form.first_name} onValue=${set("first_name")} error=${state.wrong("first_name")} />
        <${Field} label=${t("entry.last_name")} name="family-name" autocomplete="family-name" required value=${form.last_name} onValue=${set("last_name")} error=${state.wrong("last_name")} />
      </div>
      <${PasswordField} label=${t("entry.password")} kind="new-password" value=${form.password} onValue=${set("password")} error=${state.wrong("password")} hint=${t("password.hint")} />
      <${TenantField} value=${tenant} onValue=${setTenant} />
      <${Refusal} problem=${state.problem} fields=${Object.keys(form)} texts=${{ 404: t("entry.no_tenant"), 503: t("entry.busy") }} />
      <${SubmitButton} busy=${state.busy}>${t("register.go")}<//>
    </form>
    <${Others}><a href=${signIn}>${t("register.signin")}</a><//>
  <//>`;
}
