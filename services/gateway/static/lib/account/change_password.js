// The form in which a signed-in person changes the password.
import { post } from "../api.js";
import { invalidate } from "../cache.js";
import { html, useState } from "../html.js";
import { t } from "../i18n.js";
import { principal } from "../session.js";
import { PasswordField } from "../ui/credentials.js";
import { Refusal, useForm } from "../ui/form.js";
import { showToast } from "../ui/toast.js";
import { USERS } from "./entry_form.js";
import { SESSIONS_TAG } from "./sessions.js";

/** Changes the password, which ends all other sessions. */
export function ChangePassword() {
  const [current, setCurrent] = useState("");
  const [password, setPassword] = useState("");
  const form = useForm(async () => {
    await post(`${USERS}/password`, { current_password: current, new_password: password });
    setCurrent("");
    setPassword("");
    invalidate(SESSIONS_TAG);
    showToast(t("account.password.done"));
  });
  return html`<section class="panel">
    <h2>${t("account.password")}</h2>
    <form ref=${form.element} onSubmit=${form.submit}>
      <input type="text" class="unseen" name="username" autocomplete="username" value=${principal.value.name} readonly tabindex="-1" aria-hidden="true" />
      <${PasswordField} label=${t("account.password.current")} name="current" kind="current-password" value=${current} onValue=${setCurrent} error=${form.wrong("current_password")} />
      <${PasswordField} label=${t("password.new")} name="new" kind="new-password" value=${password} onValue=${setPassword} error=${form.wrong("new_password")} hint=${t("password.hint")} />
      <${Refusal} problem=${form.problem} fields=${["current_password", "new_password"]} texts=${{ 401: t("account.password.wrong") }} />
      <footer><button type="submit" class="button primary" disabled=${form.busy}><span>${t("account.password.go")}</span></button></footer>
    </form>
  </section>`;
}
