// The account of the customer: profile, preferences, password, sessions, and its removal.
import { ChangePassword } from "../../lib/account/change_password.js";
import { USERS } from "../../lib/account/entry_form.js";
import { Sessions } from "../../lib/account/sessions.js";
import { get, put, remove } from "../../lib/api.js";
import { invalidate, useResource } from "../../lib/cache.js";
import { html, useState } from "../../lib/html.js";
import { day, t } from "../../lib/i18n.js";
import { to, withQuery } from "../../lib/router.js";
import { principal, restart, signOut } from "../../lib/session.js";
import { language, LANGUAGES } from "../../lib/settings.js";
import { Button, SubmitButton } from "../../lib/ui/button.js";
import { PasswordField } from "../../lib/ui/credentials.js";
import { Dialog } from "../../lib/ui/dialog.js";
import { Field } from "../../lib/ui/field.js";
import { Refusal, useForm } from "../../lib/ui/form.js";
import { Icon } from "../../lib/ui/icon.js";
import { Loaded } from "../../lib/ui/states.js";
import { attempt, showToast } from "../../lib/ui/toast.js";
import { useNotices } from "../notices.js";

const PROFILE = "profile";

function Places() {
  const { unread } = useNotices();
  const places = [
    ["purchases", "bag", t("account.purchases")],
    ["favourites", "heart", t("account.favourites")],
    ["wishlist", "bookmark", t("account.wishlist")],
    ["notices", "notifications", unread ? t("account.notices", { count: unread }) : t("page.notices")],
  ];
  return html`<nav class="account-places" aria-label=${t("account.places")}><ul>
    ${places.map(([place, icon, text]) => html`<li key=${place}><a href=${to(place)}><${Icon} name=${icon} /><span>${text}</span></a></li>`)}
  </ul></nav>`;
}

function Profile({ profile }) {
  const [first, setFirst] = useState(profile.first_name);
  const [last, setLast] = useState(profile.last_name);
  const form = useForm(async () => {
    await put(`${USERS}/profile`, { first_name: first, last_name: last });
    invalidate(PROFILE);
    showToast(t("account.saved"));
  });
  return html`<section class="panel">
    <h2>${t("account.profile")}</h2>
    <form ref=${form.element} onSubmit=${form.submit}>
      <p class="account-email"><span class="note">${t("entry.email")}</span> ${profile.email}</p>
      <div class="pair">
        <${Field} label=${t("entry.first_name")} name="given-name" autocomplete="given-name" required value=${first} onValue=${setFirst} error=${form.wrong("first_name")} />
        <${Field} label=${t("entry.last_name")} name="family-name" autocomplete="family-name" required value=${last} onValue=${setLast} error=${form.wrong("last_name")} />
      </div>
      <${Refusal} problem=${form.problem} fields=${["first_name", "last_name"]} />
      <${SubmitButton} busy=${form.busy}>${t("action.save")}<//>
    </form>
  </section>`;
}

function Preferences({ preferences }) {
  const [categories, setCategories] = useState(preferences.categories);
  const [spoken, setSpoken] = useState(preferences.language);
  const { data } = useResource("categories", (signal) => get("/api/v1/books/categories", {}, { signal }), { tags: ["books"] });
  const form = useForm(async () => {
    await put(`${USERS}/preferences`, { categories, language: spoken });
    invalidate(PROFILE);
    if (spoken in LANGUAGES) language.value = spoken;
    showToast(t("account.saved"));
  });
  // A category that the shop has no more can still be taken back.
  const offered = [...new Set([...(data?.data ?? []).map(({ name }) => name).filter(Boolean), ...preferences.categories])];
  const toggle = (name) => setCategories(categories.includes(name) ? categories.filter((one) => one !== name) : [...categories, name]);
  const languages = Object.entries({ ...LANGUAGES, ...(spoken in LANGUAGES ? {} : { [spoken]: spoken }) });
  return html`<section class="panel">
    <h2>${t("account.preferences")}</h2>
    <form ref=${form.element} onSubmit=${form.submit}>
      <${Field} as="select" label=${t("settings.language")} value=${spoken} onValue=${setSpoken} error=${form.wrong("language")}>
        ${languages.map(([key, text]) => html`<option value=${key} key=${key}>${text}</option>`)}
      <//>
      ${offered.length > 0 &&
      html`<fieldset class="likes">
        <legend>${t("account.categories")}</legend>
        <p class="hint">${t("account.categories.hint")}</p>
        <div>${offered.map((name) => html`<label key=${name}><input type="checkbox" checked=${categories.includes(name)} onChange=${() => toggle(name)} /><span>${name}</span></label>`)}</div>
      </fieldset>`}
      <${Refusal} problem=${form.problem} fields=${["language"]} />
      <${SubmitButton} busy=${form.busy}>${t("action.save")}<//>
    </form>
  </section>`;
}

function Data() {
  const [asks, setAsks] = useState(false);
  return html`<section class="panel">
    <h2>${t("account.data")}</h2>
    <p class="hint">${t("account.data.hint")}</p>
    <div class="account-data">
      <a class="button" href=${`${USERS}/export`} download="comanda.json"><${Icon} name="download" /><span>${t("account.export")}</span></a>
      <${Button} icon="trash" onClick=${() => setAsks(true)}>${t("account.delete")}<//>
    </div>
    ${asks && html`<${DeleteAccount} close=${() => setAsks(false)} />`}
  </section>`;
}

function DeleteAccount({ close }) {
  const [password, setPassword] = useState("");
  const form = useForm(async () => {
    await remove(`${USERS}/me`, { password });
    restart(withQuery(to("login"), { deleted: 1 }));
  });
  return html`<${Dialog} title=${t("account.delete.ask")} close=${close}>
    <p>${t("account.delete.hint")}</p>
    <form ref=${form.element} onSubmit=${form.submit}>
      <input type="text" class="unseen" name="username" autocomplete="username" value=${principal.value.name} readonly tabindex="-1" aria-hidden="true" />
      <${PasswordField} label=${t("entry.password")} kind="current-password" value=${password} onValue=${setPassword} error=${form.wrong("password")} />
      <${Refusal} problem=${form.problem} fields=${["password"]} />
      <footer>
        <${Button} onClick=${close}>${t("action.keep")}<//>
        <${Button} type="submit" kind="danger" disabled=${form.busy}>${t("account.delete")}<//>
      </footer>
    </form>
  <//>`;
}

export default function Account() {
  const profile = useResource(PROFILE, (signal) => get(`${USERS}/profile`, {}, { signal }), { tags: [PROFILE] });
  return html`<div class="list-head">
      <h1 tabindex="-1">${t("account.title")}</h1>
      <${Button} icon="leave" onClick=${() => attempt(() => signOut(to()))}>${t("account.sign_out")}<//>
    </div>
    <p class="list-hint">${profile.data ? t("account.since", { name: profile.data.first_name, day: day(profile.data.created_at) }) : ""}</p>
    <${Places} />
    <div class="account-panels">
      <${Loaded} resource=${profile} lines=${8}>
        ${(data) => html`<${Profile} profile=${data} /><${Preferences} preferences=${data.preferences} />`}
      <//>
      <${ChangePassword} />
      <${Sessions} />
      <${Data} />
    </div>`;
}
