// What stands in the place of data: that it loads, that it failed, that there is none.
import { html } from "../html.js";
import { t } from "../i18n.js";
import { Button } from "./button.js";
import { Icon } from "./icon.js";
import { describeProblem } from "./problem.js";

/** Says that there is nothing, and what can be done. */
export function EmptyState({ icon = "empty", title, children }) {
  return html`<div class="blank"><${Icon} name=${icon} /><p class="title">${title}</p>${children}</div>`;
}

/** Says why something could not be loaded; `children`, or a button that calls `retry`, are the way on. */
export function ErrorState({ problem, retry, title, children }) {
  return html`<div class="blank" role="alert">
    <${Icon} name="away" />
    <p class="title">${title ?? t("state.trouble")}</p>
    <p>${describeProblem(problem)}</p>
    ${children ?? (retry && html`<${Button} icon="retry" onClick=${retry}>${t("action.again")}<//>`)}
  </div>`;
}

/** Bars in the place of what is loading. */
export function LoadingState({ lines = 4 }) {
  return html`<div class="waiting" role="status" aria-label=${t("state.loading")}>
    ${Array.from({ length: lines }, (_, at) => html`<span class="bar" key=${at}></span>`)}
  </div>`;
}

/**
 * The content of a resource in whatever state it is: `children` is a function of its data. Old data stays, and says
 * that it is old. `error` is the component for a problem, ErrorState by default; `loading` stands in for bars.
 */
export function Loaded({ resource, empty, lines, title, loading, error: Failure = ErrorState, children }) {
  const { data, problem, reload } = resource;
  if (data === undefined) {
    return problem
      ? html`<${Failure} problem=${problem} retry=${reload} title=${title} />`
      : (loading ?? html`<${LoadingState} lines=${lines} />`);
  }
  const rows = resource.rows;
  return html`${problem && html`<p class="old"><${Icon} name="warning" />${t("state.old")} ${describeProblem(problem)}</p>`}
    ${empty && rows && rows.length === 0 && resource.page === 1 ? empty : children(data)}`;
}
