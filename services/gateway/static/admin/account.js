// The account of the person who is signed in: role, password, sessions.
import { ChangePassword } from "../lib/account/change_password.js";
import { Sessions } from "../lib/account/sessions.js";
import { html } from "../lib/html.js";
import { t } from "../lib/i18n.js";
import { to } from "../lib/router.js";
import { isSignedIn, principal, signOut } from "../lib/session.js";
import { Button } from "../lib/ui/button.js";
import { EmptyState } from "../lib/ui/states.js";
import { attempt } from "../lib/ui/toast.js";
import { Heading } from "./parts.js";

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
