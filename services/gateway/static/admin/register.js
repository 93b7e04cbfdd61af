// The page to create an account.
import { post } from "../lib/api.js";
import { html, useState } from "../lib/html.js";
import { t } from "../lib/i18n.js";
import { to } from "../lib/router.js";
import { enter, nameTenant } from "../lib/session.js";
import { SubmitButton } from "../lib/ui/button.js";
import { EmailField, PasswordField, TenantField, useTenant } from "../lib/ui/credentials.js";
import { Field } from "../lib/ui/field.js";
import { Refusal } from "../lib/ui/form.js";
import { EmptyState } from "../lib/ui/states.js";
import { Entry, Others, useEntryForm, USERS } from "./entry.js";

export default function Register() {
  const [form, change] = useState({ email: "", first_name: "", last_name: "", password: "" });
  const [tenant, setTenant] = useTenant();
  const [sent, setSent] = useState(false);
  const set = (member) => (value) => change({ ...form, [member]: value });
  const state = useEntryForm(async () => {
    const found = await post(`${USERS}/register`, { ...form, cookie: true, ...nameTenant(tenant) });
    // With mail, the answer is the same whether the address is taken or not, and the rest comes by mail.
    if (found.user_id) enter();
    else setSent(true);
  });
  const title = t("register.title");
  if (sent) {
    return html`<${Entry} title=${title}><${EmptyState} icon="check" title=${t("entry.mail")}><p>${t("register.mail")}</p>
      <a class="button" href=${to("sign-in")}>${t("signin.go")}</a><//><//>`;
  }
  return html`<${Entry} title=${title} hint=${t("register.hint")}>
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
    <${Others}><a href=${to("sign-in")}>${t("register.signin")}</a><//>
  <//>`;
}
