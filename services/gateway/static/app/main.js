// The page itself: where one can go, and what is shown there.
import { fillBoard } from "./board.js";
import { connection, follow, heard } from "./events.js";
import { figures, keepFigures } from "./figures.js";
import { html, render, useEffect, useState } from "./html.js";
import { moment, number, plural, t } from "./i18n.js";
import { Icon } from "./icons.js";
import { Overview } from "./overview.js";
import { Preferences } from "./preferences.js";
import { path, to } from "./router.js";
import { settingsOpen, Tellings, Trouble, Waiting } from "./ui.js";
import { problemOf } from "./api.js";

// Pages that come when they are gone to.
const LATER = {
  orders: () => import("./orders.js"),
  inventory: () => import("./inventory.js"),
  tasks: () => import("./tasks.js"),
  notifications: () => import("./notifications.js"),
  ranking: () => import("./ranking.js"),
};
const AHEAD_MS = 3000;
const PLACES = ["overview", ...Object.keys(LATER)];
const loaded = { overview: Overview };
// Whether a page was gone to from another: the focus goes along then.
let gone = false;

async function bring(name) {
  loaded[name] = (await LATER[name]()).default;
}

function Page({ name }) {
  const [, again] = useState(0);
  const [failed, setFailed] = useState(false);
  const Content = loaded[name];
  const there = Content !== undefined;
  useEffect(() => {
    setFailed(false);
    // It may have come since this was drawn: what counts is what was drawn.
    if (there) return;
    bring(name).then(
      () => again((count) => count + 1),
      () => setFailed(true),
    );
  }, [name]);
  useEffect(() => {
    if (!there) return;
    if (gone) {
      document.querySelector("h1").focus({ preventScroll: true });
      scrollTo(0, 0);
    }
    gone = true;
  }, [name, there]);
  if (Content) return html`<${Content} key=${name} />`;
  return failed ? html`<${Trouble} problem=${problemOf(0)} retry=${() => location.reload()} />` : html`<${Waiting} lines=${6} />`;
}

function Places({ current }) {
  const failed = figures.value?.pedidos.fallido;
  return html`<nav class="places" aria-label=${t("nav.label")}>
    <a class="brand" href=${to()}><img src="/static/icon.svg" alt="" width="28" height="28" /><span>Comanda</span></a>
    <ul>
      ${PLACES.map(
        (name) => html`<li key=${name}>
          <a href=${name === "overview" ? to() : to(name)} aria-current=${name === current ? "page" : undefined}>
            <${Icon} name=${name} /><span>${t(`nav.${name}`)}</span>
            ${name === "orders" && failed
              ? html`<span class="amount" title=${plural("nav.failed", failed)}><span aria-hidden="true">${number(failed)}</span><span class="unseen">${plural("nav.failed", failed)}</span></span>`
              : null}
          </a>
        </li>`,
      )}
    </ul>
    <button type="button" class="settings" onClick=${() => (settingsOpen.value = true)}>
      <${Icon} name="settings" /><span>${t("settings.title")}</span>
    </button>
    <p class="signal" data-connection=${connection.value}><span class="dot" data-connection=${connection.value}></span>${t(`connection.${connection.value}`)}</p>
  </nav>`;
}

function Lost() {
  return html`<div class="lost" role="status" aria-live="polite">
    ${connection.value === "lost" &&
    html`<p><${Icon} name="away" /><span>${t("connection.banner", { time: moment(heard.value) })}</span></p>`}
  </div>`;
}

function App() {
  const name = PLACES.includes(path.value[0]) ? path.value[0] : "overview";
  useEffect(() => {
    document.title = `${t(`nav.${name}`)} · Comanda`;
  });
  return html`<a class="skip" href="#main" onClick=${skip}>${t("nav.skip")}</a>
    <${Places} current=${name} />
    <main id="main" tabindex="-1" data-place=${path.value.join("/")} class=${connection.value === "lost" ? "stale" : ""}>
      <${Lost} />
      <${Page} name=${name} />
    </main>
    <${Tellings} />
    ${settingsOpen.value && html`<${Preferences} />`}`;
}

function skip(event) {
  event.preventDefault();
  document.getElementById("main").focus();
}

follow();
keepFigures();
fillBoard();
const root = document.getElementById("app");
root.replaceChildren();
render(html`<${App} />`, root);
// The other pages are here before anybody goes there.
setTimeout(() => Promise.allSettled(Object.keys(LATER).map(bring)), AHEAD_MS);
