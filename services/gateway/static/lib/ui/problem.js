// Problems in the words of the reader.
import { hasText, t } from "../i18n.js";

/** Returns a problem as one line: the title of its code, and what the server says of this request. */
export function describeProblem(problem) {
  const key = `error.${problem.code}`;
  if (!problem.message) return t(hasText(key) ? key : "error.internal_error");
  return hasText(key) ? `${t(key)}: ${problem.message}` : problem.message;
}
