// What the reader may do.
import { computed } from "../lib/html.js";
import { hasRole, principal } from "../lib/session.js";
import { token } from "./player.js";

const VIEWERS = ["viewer", "operator", "admin"];
const OPERATORS = ["operator", "admin"];

/** Whether this person may see stock and tasks of the tenant. */
export const mayView = computed(() => hasRole(...VIEWERS));
/** Whether this person may change stock, tasks and orders. */
export const mayOperate = computed(() => hasRole(...OPERATORS));
/** Whether this person may see orders, which belong to the installation. */
export const maySeeOrders = computed(() => mayView.value && principal.value.tenant === "main");
/** Whether the server is in development and wants no sign-in from this machine. */
export const isOpen = computed(() => principal.value?.kind === "developer");
/** Whether this person may save scores and mark notifications as read, which belong to players. */
export const mayPlay = computed(() => isOpen.value || token.value !== "");
