// A menu behind a button.
import { html, useEffect, useRef } from "../html.js";
import { Icon } from "./icon.js";

/**
 * A button that unfolds `children` (links and buttons), with a `badge` for what the children say in words. Escape,
 * a choice and a click elsewhere fold it again.
 */
export function Menu({ icon, text, badge, children }) {
  const element = useRef(null);
  useEffect(() => {
    const close = (event) => {
      const menu = element.current;
      if (!menu?.open || (event.type === "click" && menu.querySelector("summary").contains(event.target))) return;
      if (event.type === "keydown" && event.key !== "Escape") return;
      menu.open = false;
      if (event.type === "keydown") menu.querySelector("summary").focus();
    };
    document.addEventListener("click", close);
    document.addEventListener("keydown", close);
    return () => (document.removeEventListener("click", close), document.removeEventListener("keydown", close));
  }, []);
  return html`<details class="menu" ref=${element}>
    <summary><${Icon} name=${icon} />${text && html`<span>${text}</span>`}${badge && html`<b class="badge-count" aria-hidden="true">${badge}</b>`}</summary>
    <div class="menu-items">${children}</div>
  </details>`;
}
