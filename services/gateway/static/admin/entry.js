// The frame of the pages before one is signed in.
import { html } from "../lib/html.js";
import { t } from "../lib/i18n.js";
import { asksTenant } from "../lib/session.js";
import { Button } from "../lib/ui/button.js";
import { useForm } from "../lib/ui/form.js";
import { settingsOpen } from "./parts.js";

/** The routes of accounts. */
export const USERS = "/api/v1/users";

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

/** Links to what one can do instead. */
export function Others({ children }) {
  return html`<nav class="others" aria-label=${t("entry.others")}>${children}</nav>`;
}

/** The state of a form that sends credentials; an unknown tenant asks the reader for it. */
export function useEntryForm(send) {
  const sendOrAsk = async () => {
    try {
      await send();
    } catch (problem) {
      if (problem.status === 404) asksTenant.value = true;
      throw problem;
    }
  };
  return useForm(sendOrAsk);
}
