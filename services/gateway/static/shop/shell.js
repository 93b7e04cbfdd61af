// The header and the footer around every page.
import { html } from "../lib/html.js";
import { number, plural, t } from "../lib/i18n.js";
import { path, to } from "../lib/router.js";
import { hasRole, isSignedIn, principal, rememberAddress, signOut } from "../lib/session.js";
import { language, LANGUAGES, theme, THEMES } from "../lib/settings.js";
import { Icon } from "../lib/ui/icon.js";
import { Menu } from "../lib/ui/menu.js";
import { attempt } from "../lib/ui/toast.js";
import { useCart } from "./cart.js";
import { useNotices } from "./notices.js";
import { SearchBox } from "./search_box.js";

function CartLink() {
  const count = useCart().data?.summary.total_items ?? 0;
  return html`<a class="cart-link" href=${to("cart")}>
    <${Icon} name="bag" /><span class="cart-word" aria-hidden="true">${t("cart.title")}</span>
    ${count > 0 && html`<span class="cart-count" aria-hidden="true">${number(count)}</span>`}
    <span class="unseen">${count ? plural("cart.count", count) : t("cart.title")}</span>
  </a>`;
}

function AccountMenu() {
  const { unread } = useNotices();
  if (!isSignedIn.value) {
    return html`<a class="account-link" href=${to("login")} onClick=${() => path.value[0] === "login" || rememberAddress()}><${Icon} name="account" /><span>${t("account.sign_in")}</span></a>`;
  }
  return html`<${Menu} icon="account" text=${t("account.title")} badge=${unread > 0 && number(unread)}>
    <p class="menu-head">${principal.value.name}</p>
    <a href=${to("account")}>${t("account.title")}</a>
    <a href=${to("purchases")}>${t("account.purchases")}</a>
    <a href=${to("favourites")}>${t("account.favourites")}</a>
    <a href=${to("wishlist")}>${t("account.wishlist")}</a>
    <a href=${to("notices")}>${unread ? t("account.notices", { count: unread }) : t("page.notices")}</a>
    ${hasRole("viewer", "operator", "admin") && html`<a href="/admin/">${t("account.dashboard")}</a>`}
    <button type="button" onClick=${() => attempt(() => signOut(to()))}>${t("account.sign_out")}</button>
  <//>`;
}

export function Header() {
  return html`<header class="masthead">
    <a class="wordmark" href=${to()}>Comanda<small>${t("shop.name")}</small></a>
    <${SearchBox} name="header" />
    <nav class="masthead-links" aria-label=${t("nav.label")}><${AccountMenu} /><${CartLink} /></nav>
  </header>`;
}

function Select({ label, value, choices }) {
  return html`<label class="footer-choice"><span>${label}</span>
    <select value=${value.value} onChange=${(event) => (value.value = event.currentTarget.value)}>
      ${choices.map(([key, text]) => html`<option value=${key} key=${key}>${text}</option>`)}
    </select>
  </label>`;
}

export function Footer() {
  return html`<footer class="colophon">
    <p class="colophon-name">Comanda <span>${t("shop.name")}</span></p>
    <p>${t("footer.note")}</p>
    <div class="footer-choices">
      <${Select} label=${t("settings.language")} value=${language} choices=${Object.entries(LANGUAGES)} />
      <${Select} label=${t("settings.theme")} value=${theme} choices=${THEMES.map((key) => [key, t(`settings.theme.${key}`)])} />
    </div>
  </footer>`;
}
