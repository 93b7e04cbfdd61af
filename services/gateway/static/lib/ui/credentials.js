// Fields of e-mail, password and tenant, as password managers know them.
import { html, useState } from "../html.js";
import { t } from "../i18n.js";
import { asksTenant, keepTenant, keptTenant } from "../session.js";
import { Field } from "./field.js";

/** A password, which can be shown. `kind` is current-password or new-password. */
export function PasswordField({ label, kind, value, onValue, error, hint, name = "password" }) {
  const [shown, setShown] = useState(false);
  return html`<div class="password">
    <${Field} label=${label} name=${name} type=${shown ? "text" : "password"} autocomplete=${kind} spellcheck="false" autocapitalize="none" required value=${value} onValue=${onValue} error=${error} hint=${hint} />
    <label class="check"><input type="checkbox" checked=${shown} onChange=${() => setShown(!shown)} /><span>${t("password.show")}</span></label>
  </div>`;
}

/** The e-mail address of an account. */
export function EmailField({ value, onValue, error }) {
  return html`<${Field} label=${t("entry.email")} name="username" type="email" autocomplete="username" inputmode="email" spellcheck="false" autocapitalize="none" required value=${value} onValue=${onValue} error=${error} />`;
}

/** The tenant, for those who need another than the first one. */
export function TenantField({ value, onValue }) {
  if (!asksTenant.value) return null;
  return html`<details class="tenant" open=${value !== "main"}>
    <summary>${t("entry.tenant.of", { tenant: value || "–" })}</summary>
    <${Field} label=${t("entry.tenant")} name="tenant" autocomplete="organization" spellcheck="false" autocapitalize="none" value=${value} onValue=${onValue} hint=${t("entry.tenant.hint")} />
  </details>`;
}

/** The tenant that the reader names, kept in this browser: `[tenant, setTenant]`. */
export function useTenant() {
  const [tenant, set] = useState(keptTenant());
  return [tenant, (value) => (set(value), keepTenant(value))];
}
