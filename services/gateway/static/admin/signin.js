// The page to sign in to the dashboard.
import { USERS } from "../lib/account/entry_form.js";
import { SignInPage } from "../lib/account/sign_in.js";
import { post } from "../lib/api.js";
import { html } from "../lib/html.js";
import { t } from "../lib/i18n.js";
import { to } from "../lib/router.js";
import { enter, principal, restart } from "../lib/session.js";
import { Entry } from "./entry.js";

export default function SignIn() {
  const goOn = async () => {
    // An old cookie would still be refused.
    await post(`${USERS}/logout`).catch(() => undefined);
    restart(to());
  };
  return html`<${SignInPage} frame=${Entry} hint=${t("signin.hint")} onSignedIn=${enter}>
    ${principal.value?.development && html`<button type="button" class="link" onClick=${goOn}>${t("signin.without")}</button>`}
  <//>`;
}
