// The page to create an account.
import { RegisterPage } from "../lib/account/register.js";
import { html } from "../lib/html.js";
import { t } from "../lib/i18n.js";
import { to } from "../lib/router.js";
import { enter } from "../lib/session.js";
import { Entry } from "./entry.js";

export default function Register() {
  return html`<${RegisterPage} frame=${Entry} hint=${t("register.hint")} signIn=${to("sign-in")} onSignedIn=${enter} />`;
}
