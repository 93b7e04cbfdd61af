// The page itself: where one can go, and what is shown there.
import { fillBoard } from "./board.js";
import { connection, follow, heard } from "./events.js";
import { figures, keepFigures } from "./figures.js";
import { html, render, useEffect, useState } from "./html.js";
import { moment, number, plural, t } from "./i18n.js";
import { Icon } from "./icons.js";
import { Overview } from "./overview.js";
import { Preferences } from "./preferences.js";
import { isOpen, isSignedIn, loadPrincipal, maySeeOrders, mayView, principal, rememberPlace, unknown } from "./principal.js";
import { path, to } from "./router.js";
import { settingsOpen, Tellings, Trouble, Waiting } from "./ui.js";
import { problemOf } from "./api.js";

// Pages that come when they are gone to.
const LATER = {
  orders: () => import("./orders.js"),
  inventory: () => import("./inventory.js"),
  tasks: () => import("./tasks.js"),
  notifications: () => import("./notifications.js"),
  ranking: () => import("./ranking.js"),
  account: () => import("./account.js"),
};
// Pages without the others beside them, for those who are not signed in; one module has them all.
const ENTRIES = ["sign-in", "register", "password"];
const AHEAD_MS = 3000;
const loaded = { overview: Overview };
let entries = null;

// Pages of the installation, of the tenant, and of players, who have tokens instead of accounts.
const OF_ORDERS = ["overview", "orders"];
const OF_TENANT = ["inventory", "tasks"];
const OF_PLAYERS = ["notifications", "ranking"];

/** The pages that are offered to the principal. */
function places() {
  if (maySeeOrders.value) return [...OF_ORDERS, ...OF_TENANT, ...OF_PLAYERS];
  if (mayView.value) return OF_TENANT;
  return isSignedIn.value ? ["account"] : OF_PLAYERS;
}
// Whether a page was gone to from another: the focus goes along then.
let gone = false;

async function bring(name) {
  if (ENTRIES.includes(name)) {
    entries ??= (await import("./signin.js")).default;
    loaded[name] = entries[name];
  } else loaded[name] = (await LATER[name]()).default;
}

function Page({ name }) {
  const [, again] = useState(0);
  const [failed, setFailed] = useState(false);
  const Content = loaded[name];
  const there = Content !== undefined;
  useEffect(() => {
    setFailed(false);
    // It may have come since this was drawn: what counts is what was drawn.
    if (there) return;
    bring(name).then(
      () => again((count) => count + 1),
      () => setFailed(true),
    );
  }, [name]);
  useEffect(() => {
    if (!there) return;
    if (gone) {
      document.querySelector("h1")?.focus({ preventScroll: true });
      scrollTo(0, 0);
    }
    gone = true;
  }, [name, there]);
  if (Content) return html`<${Content} key=${name} />`;
  return failed ? html`<${Trouble} problem=${problemOf(0)} retry=${() => location.reload()} />` : html`<${Waiting} lines=${6} />`;
}

function Places({ current }) {
  const failed = figures.value?.pedidos.fallido;
  return html`<nav class="places" aria-label=${t("nav.label")}>
    <a class="brand" href=${to()}><img src="/static/icon.svg" alt="" width="28" height="28" /><span>Comanda</span></a>
    <ul>
      ${places().map(
        (name) => html`<li key=${name}>
          <a href=${name === "overview" ? to() : to(name)} aria-current=${name === current ? "page" : undefined}>
            <${Icon} name=${name} /><span>${t(`nav.${name}`)}</span>
            ${name === "orders" && failed
              ? html`<span class="amount" title=${plural("nav.failed", failed)}><span aria-hidden="true">${number(failed)}</span><span class="unseen">${plural("nav.failed", failed)}</span></span>`
              : null}
          </a>
        </li>`,
      )}
    </ul>
    ${principal.value.kind === "account" || isOpen.value
      ? html`<a class="account" href=${to("account")} aria-current=${current === "account" ? "page" : undefined}><${Icon} name="account" /><span title=${principal.value.name}>${isSignedIn.value ? principal.value.name : t("nav.open")}</span></a>`
      : html`<a class="account" href=${to("sign-in")}><${Icon} name="account" /><span>${t("signin.go")}</span></a>`}
    <button type="button" class="settings" onClick=${() => (settingsOpen.value = true)}>
      <${Icon} name="settings" /><span>${t("settings.title")}</span>
    </button>
    ${maySeeOrders.value && html`<p class="signal" data-connection=${connection.value}><span class="dot" data-connection=${connection.value}></span>${t(`connection.${connection.value}`)}</p>`}
  </nav>`;
}

function Lost() {
  return html`<div class="lost" role="status" aria-live="polite">
    ${connection.value === "lost" &&
    html`<p><${Icon} name="away" /><span>${t("connection.banner", { time: moment(heard.value) })}</span></p>`}
  </div>`;
}

/** The page that is shown for an address: the one that it names, if the principal may see that. */
function choosePage(name) {
  const offered = places();
  if (ENTRIES.includes(name) || offered.includes(name)) return name;
  if (principal.value.kind === "anonymous") return "sign-in";
  return name === "account" ? name : offered[0];
}

function App() {
  const named = path.value[0] ?? "overview";
  const name = principal.value && choosePage(named);
  const isEntry = ENTRIES.includes(name);
  useEffect(() => {
    if (name) document.title = `${isEntry ? t(`page.${name}`) : t(`nav.${name}`)} · Comanda`;
    // Where the sign-in stands in for a page, it leads there afterwards.
    if (isEntry && named !== name) rememberPlace();
  });
  if (!name) {
    return html`<main class="entry"><h1 class="unseen">Comanda</h1><${Trouble} problem=${unknown.value} retry=${() => location.reload()} /></main>`;
  }
  return html`<a class="skip" href="#main" onClick=${skip}>${t("nav.skip")}</a>
    ${isEntry ? null : html`<${Places} current=${name} />`}
    <main id="main" tabindex="-1" data-place=${isEntry ? name : path.value.join("/")} class=${isEntry ? "entry" : maySeeOrders.value && connection.value === "lost" ? "stale" : ""}>
      ${maySeeOrders.value && !isEntry ? html`<${Lost} />` : null}
      <${Page} name=${name} />
    </main>
    <${Tellings} />
    ${settingsOpen.value && html`<${Preferences} />`}`;
}

function skip(event) {
  event.preventDefault();
  document.getElementById("main").focus();
}

await loadPrincipal();
const root = document.getElementById("app");
root.replaceChildren();
render(html`<${App} />`, root);
if (maySeeOrders.value) {
  follow();
  keepFigures();
  fillBoard();
}
// The other pages are here before anybody goes there.
setTimeout(() => principal.value && Promise.allSettled(places().filter((name) => name in LATER).map(bring)), AHEAD_MS);
