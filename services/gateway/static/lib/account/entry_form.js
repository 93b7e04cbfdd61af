// What the forms of those who are not signed in share.
import { html } from "../html.js";
import { t } from "../i18n.js";
import { asksTenant } from "../session.js";
import { useForm } from "../ui/form.js";

/** The routes of accounts. */
export const USERS = "/api/v1/users";

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
