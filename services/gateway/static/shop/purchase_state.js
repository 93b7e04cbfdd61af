// The state of a purchase: in a word, and as the steps that it has taken and will take.
import { html } from "../lib/html.js";
import { moment, t } from "../lib/i18n.js";
import { Icon } from "../lib/ui/icon.js";

const KINDS = { pending: "accent", completed: "good", cancelled: "bad" };
const ICONS = { placed: "check", ordered: "bag", completed: "book", cancelled: "close" };
const WAY = ["placed", "ordered", "completed"];

/** The state in a word. */
export function StateBadge({ purchase: { status } }) {
  return html`<span class=${`badge ${KINDS[status]}`} data-status=${status}>${t(`purchase.state.${status}`)}</span>`;
}

/** Why a purchase was cancelled, in plain words. */
export function cancelReason({ reason }) {
  return t(`purchase.reason.${reason ?? "order_failed"}`);
}

/** The steps with their times; those ahead of a pending purchase are pale. */
export function Timeline({ purchase }) {
  const { steps, status } = purchase;
  const taken = new Map(steps.map(({ step, at }) => [step, at]));
  const shown = status === "cancelled" ? steps.map(({ step }) => step) : WAY;
  return html`<ol class="timeline">
    ${shown.map((step) => {
      const at = taken.get(step);
      return html`<li key=${step} data-step=${step} class=${at ? "taken" : ""} aria-current=${step === steps.at(-1).step ? "step" : undefined}>
        <span class="timeline-mark"><${Icon} name=${at ? ICONS[step] : "clock"} /></span>
        <span><strong>${t(`purchase.step.${step}`)}</strong>${at ? html`<time datetime=${at}>${moment(at)}</time>` : html`<small>${t("purchase.step.ahead")}</small>`}</span>
      </li>`;
    })}
  </ol>`;
}
