// The page to set a password with the token of a link, or to ask for such a link.
import { PasswordPage } from "../lib/account/password.js";
import { html } from "../lib/html.js";
import { to } from "../lib/router.js";
import { Entry } from "./entry.js";

export default function Password() {
  return html`<${PasswordPage} frame=${Entry} signIn=${to("sign-in")} />`;
}
