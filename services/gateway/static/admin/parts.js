// Parts of the dashboard's pages.
import { html, signal, useEffect, useRef } from "../lib/html.js";
import { number, t } from "../lib/i18n.js";
import { Button } from "../lib/ui/button.js";
import { Icon } from "../lib/ui/icon.js";
import { ErrorState } from "../lib/ui/states.js";
import { showToast } from "../lib/ui/toast.js";
import { isOfPlayers } from "./player.js";

/** Whether the settings are open. */
export const settingsOpen = signal(false);

const STATE_ICONS = { "en cola": "clock", "en proceso": "gear", listo: "check", fallido: "fault", cancelado: "ban" };

/** Returns the name of a state in the reader's language. */
export function stateName(state) {
  return t(`state.${state}`);
}

/** A state with its picture and name. */
export function State({ state }) {
  return html`<span class="badge" data-state=${state}><${Icon} name=${STATE_ICONS[state]} />${stateName(state)}</span>`;
}

/** A mark with a picture and words. `kind` is good, bad, warn or plain. */
export function Mark({ kind = "plain", icon, children }) {
  return html`<span class=${`badge ${kind}`}>${icon && html`<${Icon} name=${icon} />`}${children}</span>`;
}

/** Returns the start and the end of an id, for where there is little room. */
export function briefId(id) {
  return `${id.slice(0, 4)}…${id.slice(-4)}`;
}

/** Returns the path of an item. */
export function itemPath({ store, item }) {
  return `/items/${encodeURIComponent(store)}/${encodeURIComponent(item)}`;
}

/** Returns the seconds since something started, in the largest unit that fits. */
export function uptime(seconds) {
  if (seconds < 60) return `${number(seconds)} s`;
  if (seconds < 3600) return `${number(seconds / 60)} min`;
  if (seconds < 172_800) return `${number(seconds / 3600, 1)} h`;
  return `${number(seconds / 86_400)} d`;
}

/** An order's id as a whole, and a button that copies it where the browser lets pages do that. */
export function OrderId({ id }) {
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(id);
      showToast(t("id.copied"));
    } catch {
      showToast(t("id.not_copied"), { kind: "bad" });
    }
  };
  return html`<span class="id"><code>${id}</code>${navigator.clipboard && html`<${Button} kind="quiet" icon="copy" label=${t("id.copy", { id })} onClick=${copy} />`}</span>`;
}

/** The head of a page, which gets the focus when the page is gone to. */
export function Heading({ title, hint, children }) {
  return html`<header class="heading">
    <div><h1 tabindex="-1">${title}</h1>${hint && html`<p>${hint}</p>`}</div>
    <div class="actions">${children}</div>
    <${Button} icon="settings" label=${t("settings.title")} onClick=${() => (settingsOpen.value = true)} />
  </header>`;
}

/** Pages within a page. `tabs` are [address, text, how many or null]; the current one is scrolled into sight. */
export function Tabs({ label, tabs, current }) {
  const nav = useRef(null);
  // Again when a count has come: it makes its tab wider.
  useEffect(() => {
    const tab = nav.current.querySelector("[aria-current]");
    if (tab) nav.current.scrollLeft = tab.offsetLeft - nav.current.offsetLeft;
  }, [current, ...tabs.map(([, , count]) => count)]);
  return html`<nav class="tabs" aria-label=${label} ref=${nav}>
    ${tabs.map(
      ([address, text, count]) => html`<a href=${address} aria-current=${address === current ? "page" : undefined} key=${address}>
        ${text}${count ? html`<span class="amount">${typeof count === "number" ? number(count) : count}</span>` : null}
      </a>`,
    )}
  </nav>`;
}

/** The share of a limit that is used. */
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

/** A problem with data of players: without a valid token, the way to the settings. */
export function PlayerProblem({ problem, ...rest }) {
  if (!isOfPlayers(problem.path) || ![401, 403].includes(problem.status)) return html`<${ErrorState} problem=${problem} ...${rest} />`;
  return html`<${ErrorState} problem=${problem} title=${t("state.token")}>
    <${Button} kind="primary" onClick=${() => (settingsOpen.value = true)}>${t("settings.open")}<//>
  <//>`;
}
