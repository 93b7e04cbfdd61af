// The settings of the person in front of the page.
import { html } from "./html.js";
import { t } from "./i18n.js";
import { language, theme, token, userId } from "./settings.js";
import { Dialog, Field, settingsOpen } from "./ui.js";

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
