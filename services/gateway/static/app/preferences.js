// The settings of the person in front of the page.
import { html } from "./html.js";
import { t } from "./i18n.js";
import { isSignedIn, principal, signOut } from "./principal.js";
import { to } from "./router.js";
import { language, theme, token, userId } from "./settings.js";
import { attempt, Button, Dialog, Field, settingsOpen } from "./ui.js";

function Choice({ legend, name, value, choices }) {
  return html`<fieldset class="choice">
    <legend>${legend}</legend>
    <div>
      ${choices.map(
        ([key, text]) => html`<label key=${key}>
          <input type="radio" name=${name} value=${key} checked=${value.value === key} onChange=${() => (value.value = key)} />
          <span>${text}</span>
        </label>`,
      )}
    </div>
  </fieldset>`;
}

export function Preferences() {
  const close = () => (settingsOpen.value = false);
  return html`<${Dialog} title=${t("settings.title")} close=${close}>
    ${principal.value && html`<p class="whose"><span>${isSignedIn.value ? principal.value.name : t("account.none")}</span>
      ${isSignedIn.value
        ? html`<a class="button" href=${to("account")} onClick=${close}><span>${t("nav.account")}</span></a><${Button} icon="leave" onClick=${() => attempt(signOut)}>${t("account.leave")}<//>`
        : html`<a class="button" href=${to("sign-in")} onClick=${close}><span>${t("signin.go")}</span></a>`}
    </p>`}
    <form onSubmit=${(event) => (event.preventDefault(), close())}>
    <${Choice} legend=${t("settings.language")} name="language" value=${language} choices=${[["es", "Español"], ["en", "English"]]} />
    <${Choice}
      legend=${t("settings.theme")}
      name="theme"
      value=${theme}
      choices=${["auto", "light", "dark"].map((key) => [key, t(`settings.theme.${key}`)])}
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
