// The shop: its pages, its header and footer around them, and the session of the customer.
import { configureApi } from "../lib/api.js";
import { startCache } from "../lib/cache.js";
import { html, render } from "../lib/html.js";
import { loadTexts, t } from "../lib/i18n.js";
import { path, startRouter, to } from "../lib/router.js";
import { asksTenant, isReturning, isSignedIn, keptTenant, leaveForSignIn, loadPrincipal, principal, rememberAddress } from "../lib/session.js";
import { RoutedPage } from "../lib/ui/page.js";
import { Toasts } from "../lib/ui/toast.js";
import { ROUTES } from "./routes.js";
import { Footer, Header } from "./shell.js";

/**
 * Returns the sign-in for a guest where a page needs an account, and the way back is remembered; or the account, for a
 * customer who comes back to the sign-in. Who was sent there by a refusal stays: the account would refuse again.
 */
function redirect({ route }) {
  if (route.forGuests) return isSignedIn.value && !isReturning() ? to("account") : null;
  if (!route.needsAccount || isSignedIn.value || !principal.value) return null;
  rememberAddress();
  return to("login");
}

/** Returns the header that names the tenant of a guest, where no host name does. */
function guestHeaders() {
  return asksTenant.value && !isSignedIn.value ? { "X-Tenant-Id": keptTenant() } : {};
}

function App() {
  return html`<a class="skip" href="#main" onClick=${skip}>${t("nav.skip")}</a>
    <${Header} />
    <main id="main" tabindex="-1" data-place=${path.value.join("/")}>
      <${RoutedPage} routes=${ROUTES} redirect=${redirect} />
    </main>
    <${Footer} />
    <${Toasts} />`;
}

function skip(event) {
  event.preventDefault();
  document.getElementById("main").focus();
}

startRouter("/shop/");
configureApi({ headers: guestHeaders, unauthorized: () => leaveForSignIn(to("login")) });
startCache();
await Promise.all([loadTexts((code) => import(`./texts/${code}.js`)), loadPrincipal()]);
const root = document.getElementById("app");
root.replaceChildren();
render(html`<${App} />`, root);
