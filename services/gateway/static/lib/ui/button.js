// Buttons.
import { html } from "../html.js";
import { Icon } from "./icon.js";

/** A button. `kind` is primary, danger, quiet or nothing; a button without words needs a `label`. */
export function Button({ icon, label, kind = "", children, type = "button", ...rest }) {
  return html`<button type=${type} class=${`button ${kind}`} aria-label=${label} title=${label} ...${rest}>
    ${icon && html`<${Icon} name=${icon} />`}${children && html`<span>${children}</span>`}
  </button>`;
}

/** The button that sends a form, in its footer. */
export function SubmitButton({ busy, children }) {
  return html`<footer><${Button} type="submit" kind="primary" disabled=${busy}>${children}<//></footer>`;
}
