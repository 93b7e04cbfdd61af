// Dialogs over the page.
import { html, useId, useLayoutEffect, useRef, useState } from "../html.js";
import { t } from "../i18n.js";
import { Button } from "./button.js";

/** A modal dialog; with `side` it is at the edge. Escape and a click beside it close it. */
export function Dialog({ title, close, side, children }) {
  const dialog = useRef(null);
  const id = useId();
  useLayoutEffect(() => {
    const element = dialog.current;
    element.showModal();
    // Closing gives the focus back to where it was.
    return () => element.close();
  }, []);
  return html`<dialog
    ref=${dialog}
    class=${side ? "side" : ""}
    aria-labelledby=${id}
    onCancel=${(event) => (event.preventDefault(), close())}
    onMouseDown=${(event) => event.target === dialog.current && close()}
  >
    <div class="within">
      <header><h2 id=${id}>${title}</h2><${Button} kind="quiet" icon="close" label=${t("action.close")} onClick=${close} /></header>
      ${children}
    </div>
  </dialog>`;
}

/** Asks before something that cannot be taken back easily. */
export function Confirm({ title, text, action, confirm, close }) {
  const [busy, setBusy] = useState(false);
  return html`<${Dialog} title=${title} close=${close}>
    <p>${text}</p>
    <footer>
      <${Button} onClick=${close}>${t("action.keep")}<//>
      <${Button} kind="danger" disabled=${busy} onClick=${async () => (setBusy(true), await confirm(), close())}>${action}<//>
    </footer>
  <//>`;
}
