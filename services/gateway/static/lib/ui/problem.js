// Problems in the words of the reader.
import { hasText, t } from "../i18n.js";

/** Returns a problem, or one of its `errors`, as one line. */
export function describeProblem(problem) {
  const precise = describeReason(problem.reason, problem.params);
  if (precise) return precise;
  const key = `error.${problem.code}`;
  if (!problem.message) return t(hasText(key) ? key : "error.internal_error");
  return hasText(key) ? `${t(key)}: ${problem.message}` : problem.message;
}

/** Returns the text for a field of a refused request, or null if nothing is wrong with it. */
export function describeField(problem, field) {
  const found = problem?.errors.find((error) => error.field === field);
  if (found) return describeReason(found.code, found.params) ?? found.message;
  return problem?.field === field ? describeProblem(problem) : null;
}

/** Returns the text for a precise code with its values, or null for one without a text. */
function describeReason(code, params = {}) {
  // One character at least: the reader has left the field empty.
  const key = code === "min_length" && params.min === 1 ? "problem.required" : `problem.${code}`;
  if (!hasText(key)) return null;
  const values = Object.entries(params).map(([name, value]) => [name, Array.isArray(value) ? value.join(", ") : value]);
  return t(key, Object.fromEntries(values));
}
