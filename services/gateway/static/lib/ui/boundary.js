// Keeps a fault of one part from taking the whole page along.
import { html, useEffect, useErrorBoundary } from "../html.js";
import { t } from "../i18n.js";
import { Button } from "./button.js";
import { EmptyState } from "./states.js";

/** Shows `children`, or that they failed and a way to try again, also at another `place`. The console has the fault. */
export function ErrorBoundary({ place, children }) {
  const [fault, reset] = useErrorBoundary((error) => console.error(error));
  useEffect(reset, [place]);
  if (!fault) return children;
  return html`<div role="alert"><${EmptyState} icon="fault" title=${t("state.failed")}>
    <p>${t("state.failed.hint")}</p><${Button} icon="retry" onClick=${reset}>${t("action.again")}<//>
  <//></div>`;
}
