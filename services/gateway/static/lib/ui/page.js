// The page of the present address: loads its module, and brings focus, scroll position and title along.
import { html, useEffect, useLayoutEffect, useState } from "../html.js";
import { problemOf } from "../api.js";
import { t } from "../i18n.js";
import { arrival, go, keptPosition, matchRoute, path, to } from "../router.js";
import { ErrorBoundary } from "./boundary.js";
import { EmptyState, ErrorState, LoadingState } from "./states.js";

/** For how long a page may still grow to the height at which the reader left it. */
const RESTORE_MS = 2000;

// The components of the routes that have been loaded, by route.
const components = new Map();

/** Loads the module of a route ahead of a visit. */
export async function preload(route) {
  if (!components.has(route)) components.set(route, (await route.load()).default);
}

/** Sets the title of the document: what the page shows, then the name of the product. */
export function useTitle(text) {
  useEffect(() => {
    document.title = text ? `${text} · Comanda` : "Comanda";
  }, [text]);
}

/**
 * The page of the present address, out of `routes`. `redirect(match)` may return the address of another page, for a
 * reader who lacks what the route `needs`. The module of a page has the page
 * as its default export, a component with the values of the placeholders as `params`.
 */
export function RoutedPage({ routes, redirect }) {
  const match = matchRoute(routes, path.value);
  const elsewhere = match && redirect(match);
  useEffect(() => {
    if (elsewhere) go(elsewhere, { replace: true });
  }, [elsewhere]);
  if (elsewhere) return html`<${LoadingState} />`;
  if (!match) return html`<${Shown} key="missing" component=${NotFound} params=${{}} title=${t("page.missing")} />`;
  return html`<${LoadedPage} key=${match.route.path} route=${match.route} params=${match.params} />`;
}

function LoadedPage({ route, params }) {
  const [problem, setProblem] = useState(null);
  const [, drawAgain] = useState(0);
  const component = components.get(route);
  useEffect(() => {
    if (component) return;
    preload(route).then(
      () => drawAgain((count) => count + 1),
      () => setProblem(problemOf(0)),
    );
  }, [route]);
  if (component) return html`<${Shown} component=${component} params=${params} title=${route.title && t(route.title)} />`;
  return problem ? html`<${ErrorState} problem=${problem} retry=${() => location.reload()} />` : html`<${LoadingState} lines=${6} />`;
}

function Shown({ component: Page, params, title }) {
  const { move } = arrival.value;
  const place = path.value.join("/");
  useLayoutEffect(() => {
    if (move === "push") scrollTo(0, 0);
    else return restorePosition(keptPosition());
    return undefined;
  }, [place]);
  useEffect(() => (move === "load" ? undefined : focusHeading()), [place]);
  // Before the effects of the page: a page that knows a better title sets it afterwards.
  useLayoutEffect(() => {
    document.title = title ? `${title} · Comanda` : "Comanda";
  }, [title, place]);
  return html`<${ErrorBoundary} place=${place}><${Page} params=${params} /><//>`;
}

function NotFound() {
  return html`<h1 class="unseen" tabindex="-1">${t("page.missing")}</h1>
    <${EmptyState} icon="away" title=${t("page.missing")}><p>${t("page.missing.hint")}</p><a class="button" href=${to()}>${t("page.start")}</a><//>`;
}

/** Gives the focus to the heading, now or when the data with it has come; returns what ends the wait. */
function focusHeading() {
  const focus = () => {
    const heading = document.querySelector("main h1");
    heading?.focus({ preventScroll: true });
    return heading !== null;
  };
  document.activeElement?.blur();
  if (focus()) return undefined;
  const observer = new MutationObserver(() => {
    // A reader who has gone on is not called back.
    if (document.activeElement !== document.body || focus()) observer.disconnect();
  });
  observer.observe(document.querySelector("main"), { childList: true, subtree: true });
  return () => observer.disconnect();
}

/** Scrolls to a height as soon as the page has it; returns what ends the wait. */
function restorePosition(height) {
  if (!height) return undefined;
  const scroll = () => {
    if (document.documentElement.scrollHeight - innerHeight < height) return false;
    scrollTo(0, height);
    return true;
  };
  if (scroll()) return undefined;
  const observer = new ResizeObserver(() => scroll() && end());
  const end = () => (observer.disconnect(), clearTimeout(timer));
  const timer = setTimeout(end, RESTORE_MS);
  observer.observe(document.body);
  return end;
}
