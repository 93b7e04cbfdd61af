// Scores and notifications belong to players, who have numbers in development and tokens of their own elsewhere.
import { keepSignal } from "../lib/settings.js";

const OF_PLAYERS = /^\/api\/(notificaciones|guardar_puntaje)/;

export const userId = keepSignal(localStorage, "user", "1");
/** The player's token; it leaves with the tab. */
export const token = keepSignal(sessionStorage, "token", "");

/** Whether a path is one of players, where the session of an account means nothing. */
export function isOfPlayers(path) {
  return OF_PLAYERS.test(path);
}

/** Returns the header with the player's token, for the paths that read it. */
export function playerHeaders(path) {
  return token.value && isOfPlayers(path) ? { Authorization: `Bearer ${token.value}` } : {};
}

/** Returns the parameter or member that names the player where no token does. */
export function namePlayer() {
  return token.value ? {} : { user_id: Number(userId.value) || 1 };
}
