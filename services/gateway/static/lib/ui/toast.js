// Short messages over the page about something that was done.
import { html, signal } from "../html.js";
import { t } from "../i18n.js";
import { Button } from "./button.js";
import { Icon } from "./icon.js";
import { describeProblem } from "./problem.js";

const SHOWN_MS = 6000;
const WITH_ACTION_MS = 10_000;
const MAX_SHOWN = 3;

const toasts = signal([]);
let count = 0;

/** Shows a message for some seconds. `kind` is good or bad; `action` is `{ text, run }`, such as an undo. */
export function showToast(text, { kind = "good", action = null } = {}) {
  const toast = { text, kind, action, id: ++count };
  toasts.value = [...toasts.value.slice(1 - MAX_SHOWN), toast];
  setTimeout(() => dismiss(toast.id), action ? WITH_ACTION_MS : SHOWN_MS);
}

function dismiss(id) {
  toasts.value = toasts.value.filter((other) => other.id !== id);
}

/** The place of the messages; screen readers say them. */
export function Toasts() {
  return html`<div class="toasts" role="status" aria-live="polite">
    ${toasts.value.map(
      ({ id, text, kind, action }) => html`<div class=${`toast ${kind}`} key=${id}>
        <${Icon} name=${kind === "good" ? "check" : "fault"} /><span>${text}</span>
        ${action && html`<${Button} kind="quiet" onClick=${() => (dismiss(id), action.run())}>${action.text}<//>`}
        <${Button} kind="quiet" icon="close" label=${t("action.close")} onClick=${() => dismiss(id)} />
      </div>`,
    )}
  </div>`;
}

/** Runs `work` and shows how it went: `done` (a text, or a function of the result) or the problem. Returns null then. */
export async function attempt(work, done) {
  try {
    const result = await work();
    if (done) showToast(typeof done === "function" ? done(result) : done);
    return result ?? true;
  } catch (problem) {
    if (problem.code === undefined) throw problem;
    showToast(describeProblem(problem), { kind: "bad" });
    return null;
  }
}
