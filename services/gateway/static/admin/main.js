// The dashboard: where one can go, and what is shown there.
import { configureApi } from "../lib/api.js";
import { startCache } from "../lib/cache.js";
import { html, render } from "../lib/html.js";
import { loadTexts, moment, number, plural, t } from "../lib/i18n.js";
import { matchRoute, path, startRouter, to } from "../lib/router.js";
import { isSignedIn, leaveForSignIn, loadPrincipal, principal, principalProblem, rememberAddress } from "../lib/session.js";
import { addIcons, Icon } from "../lib/ui/icon.js";
import { preload, RoutedPage } from "../lib/ui/page.js";
import { ErrorState } from "../lib/ui/states.js";
import { Toasts } from "../lib/ui/toast.js";
import { fillBoard } from "./board.js";
import { connection, follow, heard } from "./events.js";
import { figures, keepFigures } from "./figures.js";
import * as overview from "./overview.js";
import { ICONS } from "./icons.js";
import { settingsOpen } from "./parts.js";
import { isOfPlayers, playerHeaders } from "./player.js";
import { Preferences } from "./preferences.js";
import { isOpen, maySeeOrders, mayView } from "./roles.js";

const AHEAD_MS = 3000;

const anybody = () => true;
// Notifications and the ranking are of players, who have tokens instead of accounts.
const players = () => maySeeOrders.value || !isSignedIn.value;
const known = () => principal.value.kind !== "anonymous";

const PLACES = [
  { path: "/", name: "overview", load: async () => overview, needs: () => maySeeOrders.value },
  { path: "/orders/*", name: "orders", load: () => import("./orders.js"), needs: () => maySeeOrders.value },
  { path: "/inventory/*", name: "inventory", load: () => import("./inventory.js"), needs: () => mayView.value },
  { path: "/tasks", name: "tasks", load: () => import("./tasks.js"), needs: () => mayView.value },
  { path: "/notifications", name: "notifications", load: () => import("./notifications.js"), needs: players },
  { path: "/ranking", name: "ranking", load: () => import("./ranking.js"), needs: players },
  { path: "/account", name: "account", load: () => import("./account.js"), needs: known },
].map((route) => ({ ...route, title: `nav.${route.name}` }));
// Pages without the others beside them, for those who are not signed in.
const ENTRIES = [
  { path: "/sign-in", name: "sign-in", load: () => import("./signin.js") },
  { path: "/register", name: "register", load: () => import("./register.js") },
  { path: "/password", name: "password", load: () => import("./password.js") },
].map((route) => ({ ...route, title: `page.${route.name}`, needs: anybody, isEntry: true }));
const ROUTES = [...PLACES, ...ENTRIES];

/** The routes that the navigation offers to the principal. */
function offeredPlaces() {
  if (isSignedIn.value && !mayView.value) return PLACES.filter(({ name }) => name === "account");
  return PLACES.filter(({ name, needs }) => name !== "account" && needs());
}

/** Returns the page for a reader who may not see that of a match: the sign-in, or the first one that is offered. */
function redirect({ route }) {
  if (route.needs()) return null;
  if (principal.value.kind === "anonymous") {
    rememberAddress();
    return to("sign-in");
  }
  return addressOf(offeredPlaces()[0]);
}

function addressOf({ name }) {
  return name === "overview" ? to() : to(name);
}

function Places({ current }) {
  const failed = figures.value?.pedidos.fallido;
  return html`<nav class="places" aria-label=${t("nav.label")}>
    <a class="brand" href=${to()}><img src="/static/icon.svg" alt="" width="28" height="28" /><span>Comanda</span></a>
    <ul>
      ${offeredPlaces().map(
        (route) => html`<li key=${route.name}>
          <a href=${addressOf(route)} aria-current=${route.name === current ? "page" : undefined}>
            <${Icon} name=${route.name} /><span>${t(route.title)}</span>
            ${route.name === "orders" && failed
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

function ConnectionLost() {
  return html`<div class="lost" role="status" aria-live="polite">
    ${connection.value === "lost" &&
    html`<p><${Icon} name="away" /><span>${t("connection.banner", { time: moment(heard.value) })}</span></p>`}
  </div>`;
}

function App() {
  if (!principal.value) {
    return html`<main class="entry"><h1 class="unseen">Comanda</h1><${ErrorState} problem=${principalProblem.value} retry=${() => location.reload()} /></main>`;
  }
  const route = matchRoute(ROUTES, path.value)?.route;
  const isEntry = route?.isEntry ?? false;
  return html`<a class="skip" href="#main" onClick=${skip}>${t("nav.skip")}</a>
    ${isEntry ? null : html`<${Places} current=${route?.name} />`}
    <main id="main" tabindex="-1" data-place=${path.value.join("/")} class=${isEntry ? "entry" : maySeeOrders.value && connection.value === "lost" ? "stale" : ""}>
      ${maySeeOrders.value && !isEntry ? html`<${ConnectionLost} />` : null}
      <${RoutedPage} routes=${ROUTES} redirect=${redirect} />
    </main>
    <${Toasts} />
    ${settingsOpen.value && html`<${Preferences} />`}`;
}

function skip(event) {
  event.preventDefault();
  document.getElementById("main").focus();
}

addIcons(ICONS);
startRouter("/admin/");
configureApi({
  headers: playerHeaders,
  unauthorized: ({ path: refused }) => isOfPlayers(refused) || leaveForSignIn(to("sign-in")),
});
startCache();
await Promise.all([loadTexts((code) => import(`./texts/${code}.js`)), loadPrincipal()]);
const root = document.getElementById("app");
root.replaceChildren();
render(html`<${App} />`, root);
if (maySeeOrders.value) {
  follow();
  keepFigures();
  fillBoard();
}
// The other pages are here before anybody goes there.
setTimeout(() => principal.value && Promise.allSettled(offeredPlaces().map(preload)), AHEAD_MS);
