// The frame of the pages before one is signed in.
import { html } from "../lib/html.js";
import { t } from "../lib/i18n.js";
import { Button } from "../lib/ui/button.js";
import { settingsOpen } from "./parts.js";

/** The frame: the name of the product, a title, and one form. */
export function Entry({ title, hint, children }) {
  return html`<header class="product"><img src="/static/icon.svg" alt="" width="36" height="36" /><span>Comanda</span>
      <${Button} kind="quiet" icon="settings" label=${t("settings.title")} onClick=${() => (settingsOpen.value = true)} /></header>
    <section class="panel">
      <h1 tabindex="-1">${title}</h1>
      ${hint && html`<p class="hint">${hint}</p>`}
      ${children}
    </section>`;
}
