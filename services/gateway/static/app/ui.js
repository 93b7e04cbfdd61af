// Parts that every page is put together from.
import { html, signal, useLayoutEffect, useRef, useState } from "./html.js";
import { number, stateName, t } from "./i18n.js";
import { Icon } from "./icons.js";

/** Whether the settings are open. */
export const settingsOpen = signal(false);

const TOLD_MS = 6000;
const told = signal([]);
let count = 0;

/** Tells how something went, to those who see it and those who hear it. `kind` is good or bad. */
export function tell(text, kind = "good") {
  const one = { text, kind, id: ++count };
  told.value = [...told.value.slice(-2), one];
  setTimeout(() => dismiss(one.id), TOLD_MS);
}

function dismiss(id) {
  told.value = told.value.filter((other) => other.id !== id);
}

/** Where `tell` speaks. */
export function Tellings() {
  return html`<div class="tellings" role="status" aria-live="polite">
    ${told.value.map(
      ({ id, text, kind }) => html`<div class=${`telling ${kind}`} key=${id}>
        <${Icon} name=${kind === "good" ? "check" : "fault"} /><span>${text}</span>
      </div>`,
    )}
  </div>`;
}

/** What a problem says, in a line. */
export function sayProblem(problem) {
  const title = t(`error.${problem.code}`);
  const known = title !== `error.${problem.code}`;
  if (!problem.message) return known ? title : t("error.internal_error");
  return known ? `${title}: ${problem.message}` : problem.message;
}

const STATE_ICONS = { "en cola": "clock", "en proceso": "gear", listo: "check", fallido: "fault", cancelado: "ban" };

/** A state with its picture and name. */
export function State({ state }) {
  return html`<span class="badge" data-state=${state}><${Icon} name=${STATE_ICONS[state]} />${stateName(state)}</span>`;
}

/** A mark with a picture and words. `kind` is good, bad, warn or plain. */
export function Mark({ kind = "plain", icon, children }) {
  return html`<span class=${`badge ${kind}`}>${icon && html`<${Icon} name=${icon} />`}${children}</span>`;
}

/** An id as it is told where there is little room: its start and its end. */
export function briefId(id) {
  return `${id.slice(0, 4)}…${id.slice(-4)}`;
}

/** An order's id as a whole, and a button that copies it where the browser lets pages do that. */
export function OrderId({ id }) {
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(id);
      tell(t("id.copied"));
    } catch {
      tell(t("id.not_copied"), "bad");
    }
  };
  return html`<span class="id"><code>${id}</code>${navigator.clipboard && html`<${Button} kind="quiet" icon="copy" label=${t("id.copy", { id })} onClick=${copy} />`}</span>`;
}

export function Button({ icon, label, kind = "", children, ...rest }) {
  return html`<button type="button" class=${`button ${kind}`} aria-label=${label} title=${label} ...${rest}>
    ${icon && html`<${Icon} name=${icon} />`}${children && html`<span>${children}</span>`}
  </button>`;
}

/** The head of a page, which gets the focus when the page is gone to. */
export function Heading({ title, hint, children }) {
  return html`<header class="heading">
    <div><h1 tabindex="-1">${title}</h1>${hint && html`<p>${hint}</p>`}</div>
    <div class="actions">${children}</div>
    <${Button} icon="settings" label=${t("settings.title")} onClick=${() => (settingsOpen.value = true)} />
  </header>`;
}

/** Pages within a page. `tabs` are [address, text, how many or null]. */
export function Tabs({ label, tabs, current }) {
  return html`<nav class="tabs" aria-label=${label}>
    ${tabs.map(
      ([address, text, count]) => html`<a href=${address} aria-current=${address === current ? "page" : undefined} key=${address}>
        ${text}${count ? html`<span class="amount">${typeof count === "number" ? number(count) : count}</span>` : null}
      </a>`,
    )}
  </nav>`;
}

/** A word in the place of what is not there. */
export function Blank({ icon = "empty", title, children }) {
  return html`<div class="blank"><${Icon} name=${icon} /><p class="title">${title}</p>${children}</div>`;
}

/** Why something could not be had, and the way to try again. */
export function Trouble({ problem, retry, title }) {
  const token = problem.ofPlayers && (problem.status === 401 || problem.status === 403);
  return html`<div class="blank" role="alert">
    <${Icon} name="away" />
    <p class="title">${title ?? t(token ? "state.token" : "state.trouble")}</p>
    <p>${sayProblem(problem)}</p>
    ${token
      ? html`<${Button} kind="primary" onClick=${() => (settingsOpen.value = true)}>${t("settings.open")}<//>`
      : retry && html`<${Button} icon="retry" onClick=${retry}>${t("action.again")}<//>`}
  </div>`;
}

/** What stands where something will be: bars that hardly move. */
export function Waiting({ lines = 4 }) {
  return html`<div class="waiting" role="status" aria-label=${t("state.loading")}>
    ${Array.from({ length: lines }, (_, at) => html`<span class="bar" key=${at}></span>`)}
  </div>`;
}

/** The content of a resource in whatever state it is. Old data stays, and says that it is old. */
export function Loaded({ resource, empty, lines, title, children }) {
  const { data, problem, reload } = resource;
  if (data === undefined) {
    return problem
      ? html`<${Trouble} problem=${problem} retry=${reload} title=${title} />`
      : html`<${Waiting} lines=${lines} />`;
  }
  const rows = resource.rows;
  return html`${problem && html`<p class="old"><${Icon} name="warning" />${t("state.old")} ${sayProblem(problem)}</p>`}
    ${empty && rows && rows.length === 0 && resource.page === 1 ? empty : children(data)}`;
}

/** Steps to the pages before and behind. */
export function Pager({ pages }) {
  if (!pages.back && !pages.next) return null;
  return html`<nav class="pager" aria-label=${t("pager.label")}>
    <${Button} disabled=${!pages.back} onClick=${pages.back}>${t("pager.back")}<//>
    <span>${t("pager.page", { n: pages.page })}</span>
    <${Button} disabled=${!pages.next} onClick=${pages.next}>${t("pager.next")}<//>
  </nav>`;
}

let fields = 0;

/** An id that no other part of the page has. */
function useName() {
  return useState(() => `f${++fields}`)[0];
}

/** A labelled input with its hint and what is wrong with it, or where that is told. `as` is input, textarea or select. */
export function Field({ label, error, hint, as = "input", children, value, onValue, small, told, ...rest }) {
  const id = useName();
  const described = told ?? (error ? `${id}-error` : hint ? `${id}-hint` : undefined);
  return html`<div class=${`field ${small ? "small" : ""}`}>
    <label for=${id}>${label}</label>
    <${as}
      id=${id}
      value=${value}
      onInput=${(event) => onValue(event.currentTarget.value)}
      aria-invalid=${error || told ? "true" : undefined}
      aria-describedby=${described}
      ...${rest}
    >${children}<//>
    ${error
      ? html`<p class="error" id=${`${id}-error`}>${error}</p>`
      : hint && html`<p class="hint" id=${`${id}-hint`}>${hint}</p>`}
  </div>`;
}

/** A dialog over the page; `side` has it at the edge. Escape and a click beside it close it. */
export function Dialog({ title, close, side, children }) {
  const dialog = useRef(null);
  const id = useName();
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

/** Runs `work`, and tells how it went: `done` where it went well. */
export async function attempt(work, done) {
  try {
    const found = await work();
    if (done) tell(typeof done === "function" ? done(found) : done);
    return found ?? true;
  } catch (problem) {
    if (problem.code === undefined) throw problem;
    tell(sayProblem(problem), "bad");
    return null;
  }
}

/** How much of a bound is used. */
export function Meter({ value, limit, label }) {
  const share = limit ? Math.min(value / limit, 1) : 0;
  const level = share > 0.9 ? "bad" : share > 0.7 ? "warn" : "good";
  return html`<div
    class="meter"
    role="meter"
    aria-label=${label}
    aria-valuemin="0"
    aria-valuemax=${limit}
    aria-valuenow=${value}
    data-level=${level}
  ><span style=${{ width: `${value ? Math.max(share * 100, 1) : 0}%` }}></span></div>`;
}
