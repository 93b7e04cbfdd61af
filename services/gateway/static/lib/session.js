// The session of the reader: the principal that the gateway sees, sign-out, and the way back after a sign-in.
import { get, post } from "./api.js";
import { computed, signal } from "./html.js";
import { currentAddress, to } from "./router.js";

/** The principal: kind, name, user, tenant, roles, development; null before it is known. */
export const principal = signal(null);
/** The problem because of which the principal could not be loaded, or null. */
export const principalProblem = signal(null);
/** Whether the person has an account and is signed in. */
export const isSignedIn = computed(() => principal.value?.kind === "account");

const RETURN = "comanda.return";
const TENANT = "comanda.tenant";
const MAIN = "main";

/** Whether the principal has one of these roles. */
export function hasRole(...roles) {
  return principal.value?.roles.some((role) => roles.includes(role)) ?? false;
}

/** Loads the principal. */
export async function loadPrincipal() {
  try {
    principal.value = await get("/api/v1/principal");
    principalProblem.value = null;
  } catch (problem) {
    principalProblem.value = problem;
  }
}

// A host name with a dot may be that of a tenant; for any other the page says the tenant.
const namesTenant = location.hostname.includes(".") && !/^[\d.]+$/.test(location.hostname);

/** Whether the reader has to name the tenant. */
export const asksTenant = signal(!namesTenant);

/** Returns the tenant that the reader named last, or the first one of the installation. */
export function keptTenant() {
  return localStorage.getItem(TENANT) ?? MAIN;
}

/** Keeps the tenant that the reader names. */
export function keepTenant(tenant) {
  if (tenant === MAIN) localStorage.removeItem(TENANT);
  else localStorage.setItem(TENANT, tenant);
}

/** Returns the member that names the tenant in a request without credentials. */
export function nameTenant(tenant) {
  return asksTenant.value && tenant.trim() ? { tenant_id: tenant.trim() } : {};
}

/** Keeps the present address for `enter`. */
export function rememberAddress() {
  sessionStorage.setItem(RETURN, currentAddress());
}

/** Whether the reader was elsewhere before the sign-in, and returns there afterwards. */
export function isReturning() {
  return sessionStorage.getItem(RETURN) !== null;
}

/** Loads the app again, as the new principal, where the reader was before the sign-in. */
export function enter() {
  const address = sessionStorage.getItem(RETURN) ?? to();
  sessionStorage.removeItem(RETURN);
  restart(address);
}

/** Ends the session; nothing of it stays in the page, which loads again at `address`. */
export async function signOut(address) {
  await post("/api/v1/users/logout");
  sessionStorage.removeItem(RETURN);
  restart(address);
}

/** Loads the app again at an address: everything that was loaded for another principal is gone. */
export function restart(address) {
  location.replace(address);
}

let isLeaving = false;

/** Goes to the sign-in at `address` because the session is over, and back here afterwards. */
export function leaveForSignIn(address) {
  // Several requests may be refused at once.
  if (isLeaving) return;
  isLeaving = true;
  rememberAddress();
  restart(address);
}
