// Who the gateway takes the reader for, and what this person may do.
import { get, onUnauthorized, post } from "./api.js";
import { computed, signal } from "./html.js";
import { to } from "./router.js";
import { token } from "./settings.js";

/** The principal: kind, name, user, tenant, roles, development; null before it is known. */
export const principal = signal(null);
/** Why the principal could not be loaded, or null. */
export const unknown = signal(null);

const RETURN = "comanda.return";
const VIEWERS = ["viewer", "operator", "admin"];
const OPERATORS = ["operator", "admin"];

const has = (roles) => principal.value?.roles.some((role) => roles.includes(role)) ?? false;

/** Whether this person may see stock and tasks of the tenant. */
export const mayView = computed(() => has(VIEWERS));
/** Whether this person may change stock, tasks and orders. */
export const mayOperate = computed(() => has(OPERATORS));
/** Whether this person may see orders, which belong to the installation. */
export const maySeeOrders = computed(() => mayView.value && principal.value.tenant === "main");
/** Whether the person has an account and is signed in. */
export const isSignedIn = computed(() => principal.value?.kind === "account");
/** Whether the server is in development and wants no sign-in from this machine. */
export const isOpen = computed(() => principal.value?.kind === "developer");

/** Whether this person may save scores and mark notifications as read, which belong to players. */
export const mayPlay = computed(() => isOpen.value || token.value !== "");

/** Loads the principal. */
export async function loadPrincipal() {
  try {
    principal.value = await get("/api/v1/principal");
    unknown.value = null;
  } catch (problem) {
    unknown.value = problem;
  }
}

// A host name with a dot may be that of a tenant; for any other the page says the tenant.
const namesTenant = location.hostname.includes(".") && !/^[\d.]+$/.test(location.hostname);

/** Whether the reader has to name the tenant. */
export const asksTenant = signal(!namesTenant);

/** The member that names the tenant of a request without credentials. */
export function naming(tenant) {
  return asksTenant.value && tenant.trim() ? { tenant_id: tenant.trim() } : {};
}

/** Goes back to where the reader was before the sign-in, as the new principal. */
export function enter() {
  const place = sessionStorage.getItem(RETURN) ?? "#/";
  sessionStorage.removeItem(RETURN);
  restart(place);
}

/** Ends the session; nothing of it stays in the page. */
export async function signOut() {
  await post("/api/v1/users/logout");
  sessionStorage.removeItem(RETURN);
  restart(to("sign-in"));
}

/** Loads the page again from nothing: what was loaded for another principal is gone. */
export function restart(place) {
  history.replaceState(null, "", place);
  location.reload();
}

/** Keeps the address that the reader was at, for `enter`. */
export function rememberPlace() {
  sessionStorage.setItem(RETURN, location.hash || "#/");
}

let leaving = false;

onUnauthorized(() => {
  // Several requests may be refused at once.
  if (leaving) return;
  leaving = true;
  rememberPlace();
  restart(to("sign-in"));
});
