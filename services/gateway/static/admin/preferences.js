// The settings of the person in front of the page.
import { html } from "../lib/html.js";
import { t } from "../lib/i18n.js";
import { to } from "../lib/router.js";
import { isSignedIn, principal, signOut } from "../lib/session.js";
import { language, LANGUAGES, theme, THEMES } from "../lib/settings.js";
import { Button } from "../lib/ui/button.js";
import { Dialog } from "../lib/ui/dialog.js";
import { Choice, Field } from "../lib/ui/field.js";
import { attempt } from "../lib/ui/toast.js";
import { settingsOpen } from "./parts.js";
import { token, userId } from "./player.js";

export function Preferences() {
  const close = () => (settingsOpen.value = false);
  return html`<${Dialog} title=${t("settings.title")} close=${close}>
    ${principal.value && html`<p class="whose"><span>${isSignedIn.value ? principal.value.name : t("account.none")}</span>
      ${isSignedIn.value
        ? html`<a class="button" href=${to("account")} onClick=${close}><span>${t("nav.account")}</span></a><${Button} icon="leave" onClick=${() => attempt(() => signOut(to("sign-in")))}>${t("account.leave")}<//>`
        : html`<a class="button" href=${to("sign-in")} onClick=${close}><span>${t("signin.go")}</span></a>`}
    </p>`}
    <form onSubmit=${(event) => (event.preventDefault(), close())}>
    <${Choice} legend=${t("settings.language")} name="language" value=${language} choices=${Object.entries(LANGUAGES)} />
    <${Choice}
      legend=${t("settings.theme")}
      name="theme"
      value=${theme}
      choices=${THEMES.map((key) => [key, t(`settings.theme.${key}`)])}
    />
    <${Field}
      label=${t("settings.user")}
      hint=${t("settings.user.hint")}
      type="number"
      min="1"
      inputmode="numeric"
      value=${userId.value}
      onValue=${(value) => (userId.value = value || "1")}
      disabled=${token.value !== ""}
    />
    <${Field}
      label=${t("settings.token")}
      hint=${t("settings.token.hint")}
      type="password"
      autocomplete="off"
      spellcheck="false"
      value=${token.value}
      onValue=${(value) => (token.value = value.trim())}
    />
    <footer><button type="submit" class="button primary"><span>${t("action.done")}</span></button></footer>
    </form>
  <//>`;
}
