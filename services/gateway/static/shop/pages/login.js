// The page to sign in.
import { SignInPage } from "../../lib/account/sign_in.js";
import { html } from "../../lib/html.js";
import { t } from "../../lib/i18n.js";
import { query } from "../../lib/router.js";
import { isReturning } from "../../lib/session.js";
import { Entry, enterShop } from "../entry.js";

function hint() {
  if (query.value.deleted) return t("login.deleted");
  return isReturning() ? t("login.return") : t("login.hint");
}

export default function Login() {
  return html`<${SignInPage} frame=${Entry} hint=${hint()} onSignedIn=${enterShop} />`;
}
