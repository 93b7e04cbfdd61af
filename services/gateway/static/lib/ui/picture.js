// Pictures that may be missing.
import { html, useState } from "../html.js";

/** A picture of `width` × `height` (the place is kept while it loads); `fallback` stands in when it cannot be loaded. */
export function Picture({ src, srcset, sizes, alt, width, height, eager = false, fallback, ...rest }) {
  const [failed, setFailed] = useState(null);
  if (!src || failed === src) return fallback;
  return html`<img src=${src} srcset=${srcset} sizes=${sizes} alt=${alt} width=${width} height=${height} loading=${eager ? "eager" : "lazy"} decoding="async" onError=${() => setFailed(src)} ...${rest} />`;
}
