// Labelled inputs.
import { html, useId } from "../html.js";

/**
 * A labelled input with a hint, or with what is wrong with it; `described` is the id of an element that says that
 * elsewhere. `as` is input, textarea or select; other properties go to that element.
 */
export function Field({ label, error, hint, as = "input", children, value, onValue, small, described, ...rest }) {
  const id = useId();
  const describedBy = described ?? (error ? `${id}-error` : hint ? `${id}-hint` : undefined);
  return html`<div class=${`field ${small ? "small" : ""}`}>
    <label for=${id}>${label}</label>
    <${as}
      id=${id}
      value=${value}
      onInput=${(event) => onValue(event.currentTarget.value)}
      aria-invalid=${error || described ? "true" : undefined}
      aria-describedby=${describedBy}
      ...${rest}
    >${children}<//>
    ${error
      ? html`<p class="error" id=${`${id}-error`}>${error}</p>`
      : hint && html`<p class="hint" id=${`${id}-hint`}>${hint}</p>`}
  </div>`;
}

/** A choice of one out of a few; `value` is a signal, and `choices` are [key, text]. */
export function Choice({ legend, name, value, choices }) {
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
