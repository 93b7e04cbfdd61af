// Forms: one sending at a time, all wrong fields at once, and the refusal of the server.
import { html, useEffect, useRef, useState } from "../html.js";
import { duration, t } from "../i18n.js";
import { Icon } from "./icon.js";
import { describeField, describeProblem } from "./problem.js";

/**
 * The state of a form. `send` sends it; `check` returns what is wrong before that, by field name ({} for nothing).
 * Returns `{ busy, problem, element, submit, wrong }`: `wrong(field)` is the text for a field, or null. The first wrong
 * field gets the focus.
 */
export function useForm(send, { check = () => ({}) } = {}) {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState(null);
  const [errors, setErrors] = useState({});
  const element = useRef(null);
  const isSending = useRef(false);
  useEffect(() => {
    if (problem || Object.keys(errors).length) element.current?.querySelector("[aria-invalid], [type=password]")?.focus();
  }, [problem, errors]);
  const submit = async (event) => {
    event.preventDefault();
    // A second click may come before the button is drawn as disabled.
    if (isSending.current) return;
    const found = check();
    setErrors(found);
    setProblem(null);
    if (Object.keys(found).length) return;
    isSending.current = true;
    setBusy(true);
    try {
      await send();
    } catch (refusal) {
      if (refusal.code === undefined) throw refusal;
      setProblem(refusal);
    } finally {
      isSending.current = false;
      setBusy(false);
    }
  };
  const wrong = (field) => errors[field] ?? describeField(problem, field);
  return { busy, problem, element, submit, wrong };
}

/** The refusal of a form as a whole, unless a field of `fields` shows it. `texts` has texts for single statuses. */
export function Refusal({ problem, fields = [], texts = {} }) {
  if (!problem || fields.includes(problem.field)) return null;
  const text =
    problem.status === 429 && problem.retryAfter
      ? t("entry.wait", { time: duration(problem.retryAfter) })
      : (texts[problem.status] ?? describeProblem(problem));
  return html`<p class="error" role="alert"><${Icon} name="warning" /><span>${text}</span></p>`;
}
