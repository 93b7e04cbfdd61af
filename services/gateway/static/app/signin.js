// The pages before one is signed in: sign in, create an account, set a password.
import { post } from "./api.js";
import { html, useEffect, useRef, useState } from "./html.js";
import { duration, t } from "./i18n.js";
import { Icon } from "./icons.js";
import { asksTenant, enter, naming, principal, restart } from "./principal.js";
import { takeParameter, to } from "./router.js";
import { Blank, Button, Field, sayProblem, settingsOpen } from "./ui.js";

const USERS = "/api/v1/users";
const TENANT = "comanda.tenant";
const MAIN = "main";

/** The frame of these pages: the name of the product, a title, and one form. */
function Entry({ title, hint, children }) {
  return html`<header class="product"><img src="/static/icon.svg" alt="" width="36" height="36" /><span>Comanda</span>
      <${Button} kind="quiet" icon="settings" label=${t("settings.title")} onClick=${() => (settingsOpen.value = true)} /></header>
    <section class="panel">
      <h1 tabindex="-1">${title}</h1>
      ${hint && html`<p class="hint">${hint}</p>`}
      ${children}
    </section>`;
}

/** The rules for new passwords, by the words in which the server refuses one. */
const REFUSED = {
  short: /has fewer than (\d+) characters/,
  long: /has more than (\d+) characters/,
  repeats: /repeats one character/,
  sequence: /is a sequence of neighbouring/,
  personal: /consists of the e-mail address/,
  frequent: /attackers try first/,
};

function sayRefusal(problem) {
  for (const [rule, words] of Object.entries(REFUSED)) {
    const found = words.exec(problem.message);
    if (found) return t(`password.refused.${rule}`, { count: found[1] });
  }
  return sayProblem(problem);
}

/** Sends a form: `busy` while it is sent, `problem` if it was refused; the first wrong field gets the focus. */
export function useForm(send) {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState(null);
  const element = useRef(null);
  useEffect(() => {
    if (problem) element.current.querySelector("[aria-invalid], [type=password]")?.focus();
  }, [problem]);
  const submit = async (event) => {
    event.preventDefault();
    if (busy) return;
    setBusy(true);
    setProblem(null);
    try {
      await send();
    } catch (found) {
      if (found.code === undefined) throw found;
      if (found.status === 404) asksTenant.value = true;
      setProblem(found);
    }
    setBusy(false);
  };
  const wrong = (field) => (problem?.field === field ? sayRefusal(problem) : null);
  return { busy, problem, element, submit, wrong };
}

/** The refusal of a form as a whole. `texts` has texts for single statuses. */
export function Refusal({ problem, fields = [], texts = {} }) {
  if (!problem || fields.includes(problem.field)) return null;
  const text =
    problem.status === 429 && problem.retryAfter
      ? t("entry.wait", { time: duration(problem.retryAfter) })
      : (texts[problem.status] ?? sayProblem(problem));
  return html`<p class="error" role="alert"><${Icon} name="warning" /><span>${text}</span></p>`;
}

/** A password, which can be shown. `kind` is current-password or new-password, as password managers know them. */
export function PasswordField({ label, kind, value, onValue, error, hint, name = "password" }) {
  const [shown, setShown] = useState(false);
  return html`<div class="password">
    <${Field} label=${label} name=${name} type=${shown ? "text" : "password"} autocomplete=${kind} spellcheck="false" autocapitalize="none" required value=${value} onValue=${onValue} error=${error} hint=${hint} />
    <label class="check"><input type="checkbox" checked=${shown} onChange=${() => setShown(!shown)} /><span>${t("password.show")}</span></label>
  </div>`;
}

function EmailField({ value, onValue, error }) {
  return html`<${Field} label=${t("entry.email")} name="username" type="email" autocomplete="username" inputmode="email" spellcheck="false" autocapitalize="none" required value=${value} onValue=${onValue} error=${error} />`;
}

/** The tenant, for those who need another than the first one. */
function TenantField({ value, onValue }) {
  if (!asksTenant.value) return null;
  return html`<details class="tenant" open=${value !== MAIN}>
    <summary>${t("entry.tenant.of", { tenant: value || "–" })}</summary>
    <${Field} label=${t("entry.tenant")} name="tenant" autocomplete="organization" spellcheck="false" autocapitalize="none" value=${value} onValue=${onValue} hint=${t("entry.tenant.hint")} />
  </details>`;
}

function useTenant() {
  const [tenant, set] = useState(localStorage.getItem(TENANT) ?? MAIN);
  const keep = (value) => {
    set(value);
    if (value === MAIN) localStorage.removeItem(TENANT);
    else localStorage.setItem(TENANT, value);
  };
  return [tenant, keep];
}

/** What one can do instead. */
function Others({ children }) {
  return html`<nav class="others" aria-label=${t("entry.others")}>${children}</nav>`;
}

function SubmitButton({ busy, children }) {
  return html`<footer><button type="submit" class="button primary" disabled=${busy}><span>${children}</span></button></footer>`;
}

const WRONG = () => ({ 401: t("signin.wrong"), 404: t("entry.no_tenant"), 503: t("entry.busy") });

export function SignIn() {
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const [tenant, setTenant] = useTenant();
  const form = useForm(async () => {
    await post(`${USERS}/login`, { email, password, cookie: true, ...naming(tenant) });
    enter();
  });
  const goOn = async () => {
    // An old cookie would still be refused.
    await post(`${USERS}/logout`).catch(() => undefined);
    restart(to());
  };
  return html`<${Entry} title=${t("signin.title")} hint=${t("signin.hint")}>
    <form ref=${form.element} onSubmit=${form.submit}>
      <${EmailField} value=${email} onValue=${setEmail} error=${form.wrong("email")} />
      <${PasswordField} label=${t("entry.password")} kind="current-password" value=${password} onValue=${setPassword} />
      <${TenantField} value=${tenant} onValue=${setTenant} />
      <${Refusal} problem=${form.problem} fields=${["email"]} texts=${WRONG()} />
      <${SubmitButton} busy=${form.busy}>${t("signin.go")}<//>
    </form>
    <${Others}>
      <a href=${to("password")}>${t("signin.forgot")}</a>
      <a href=${to("register")}>${t("signin.register")}</a>
      ${principal.value?.development && html`<button type="button" class="link" onClick=${goOn}>${t("signin.without")}</button>`}
    <//>
  <//>`;
}

export function Register() {
  const [form, change] = useState({ email: "", first_name: "", last_name: "", password: "" });
  const [tenant, setTenant] = useTenant();
  const [sent, setSent] = useState(false);
  const set = (member) => (value) => change({ ...form, [member]: value });
  const state = useForm(async () => {
    const found = await post(`${USERS}/register`, { ...form, cookie: true, ...naming(tenant) });
    // With mail, the answer is the same whether the address is taken or not, and the rest comes by mail.
    if (found.user_id) enter();
    else setSent(true);
  });
  const title = t("register.title");
  if (sent) {
    return html`<${Entry} title=${title}><${Blank} icon="check" title=${t("entry.mail")}><p>${t("register.mail")}</p>
      <a class="button" href=${to("sign-in")}>${t("signin.go")}</a><//><//>`;
  }
  return html`<${Entry} title=${title} hint=${t("register.hint")}>
    <form ref=${state.element} onSubmit=${state.submit}>
      <${EmailField} value=${form.email} onValue=${set("email")} error=${state.wrong("email")} />
      <div class="pair">
        <${Field} label=${t("entry.first_name")} name="given-name" autocomplete="given-name" required value=${form.first_name} onValue=${set("first_name")} error=${state.wrong("first_name")} />
        <${Field} label=${t("entry.last_name")} name="family-name" autocomplete="family-name" required value=${form.last_name} onValue=${set("last_name")} error=${state.wrong("last_name")} />
      </div>
      <${PasswordField} label=${t("entry.password")} kind="new-password" value=${form.password} onValue=${set("password")} error=${state.wrong("password")} hint=${t("password.hint")} />
      <${TenantField} value=${tenant} onValue=${setTenant} />
      <${Refusal} problem=${state.problem} fields=${Object.keys(form)} texts=${{ 404: t("entry.no_tenant"), 503: t("entry.busy") }} />
      <${SubmitButton} busy=${state.busy}>${t("register.go")}<//>
    </form>
    <${Others}><a href=${to("sign-in")}>${t("register.signin")}</a><//>
  <//>`;
}

function AskReset() {
  const [email, setEmail] = useState("");
  const [tenant, setTenant] = useTenant();
  const [sent, setSent] = useState(false);
  const form = useForm(async () => {
    await post(`${USERS}/password/reset`, { email, ...naming(tenant) });
    setSent(true);
  });
  const title = t("reset.title");
  if (sent) {
    return html`<${Entry} title=${title}><${Blank} icon="check" title=${t("entry.mail")}><p>${t("reset.mail")}</p>
      <a class="button" href=${to("sign-in")}>${t("signin.go")}</a><//><//>`;
  }
  return html`<${Entry} title=${title} hint=${t("reset.hint")}>
    <form ref=${form.element} onSubmit=${form.submit}>
      <${EmailField} value=${email} onValue=${setEmail} error=${form.wrong("email")} />
      <${TenantField} value=${tenant} onValue=${setTenant} />
      <${Refusal} problem=${form.problem} fields=${["email"]} texts=${{ 404: t("entry.no_tenant") }} />
      <${SubmitButton} busy=${form.busy}>${t("reset.go")}<//>
    </form>
    <${Others}><a href=${to("sign-in")}>${t("register.signin")}</a><//>
  <//>`;
}

function SetPassword({ token }) {
  const [password, setPassword] = useState("");
  const [done, setDone] = useState(false);
  const form = useForm(async () => {
    await post(`${USERS}/password/reset/confirm`, { token, password });
    setDone(true);
  });
  const title = t("password.title");
  if (done) {
    return html`<${Entry} title=${title}><${Blank} icon="check" title=${t("password.done")}><p>${t("password.done.hint")}</p>
      <a class="button primary" href=${to("sign-in")}>${t("signin.go")}</a><//><//>`;
  }
  return html`<${Entry} title=${title} hint=${t("password.set.hint")}>
    <form ref=${form.element} onSubmit=${form.submit}>
      <${PasswordField} label=${t("password.new")} kind="new-password" value=${password} onValue=${setPassword} error=${form.wrong("password")} hint=${t("password.hint")} />
      <${Refusal} problem=${form.problem} fields=${["password"]} texts=${{ 410: t("password.expired"), 503: t("entry.busy") }} />
      <${SubmitButton} busy=${form.busy}>${t("password.go")}<//>
    </form>
    <${Others}><a href=${to("password")} onClick=${() => restart(to("password"))}>${t("password.ask")}</a><//>
  <//>`;
}

/** Sets a password with the token of a link, or sends such a link. */
export function Password() {
  // Once: it leaves the address at once.
  const [token] = useState(() => takeParameter("token"));
  return token ? html`<${SetPassword} token=${token} />` : html`<${AskReset} />`;
}

export default { "sign-in": SignIn, register: Register, password: Password };
