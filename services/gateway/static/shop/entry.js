// What stands around the forms of those who are not signed in, and what follows a sign-in.
import { post } from "../lib/api.js";
import { html } from "../lib/html.js";
import { enter } from "../lib/session.js";

/** A title, a hint, and one form. */
export function Entry({ title, hint, children }) {
  return html`<section class="entry">
    <h1 tabindex="-1">${title}</h1>
    ${hint && html`<p class="hint">${hint}</p>`}
    ${children}
  </section>`;
}

/** Goes to where the reader was before the sign-in, with the cart of the guest. `signedIn` is the response to it. */
export async function enterShop(signedIn) {
  // The sign-in could not take the cart along. If this fails too, the guest's cart is kept for the next sign-in.
  if (signedIn.cart === null) await post("/api/v1/cart/merge").catch(() => undefined);
  enter();
}
