// The field to search, with suggestions while one types (the combobox pattern of the ARIA Authoring Practices).
import { get } from "../lib/api.js";
import { useResource } from "../lib/cache.js";
import { html, useEffect, useId, useRef, useState } from "../lib/html.js";
import { t } from "../lib/i18n.js";
import { go, path, query, to, withQuery } from "../lib/router.js";
import { Icon } from "../lib/ui/icon.js";

const PAUSE_MS = 120;
const MIN_LETTERS = 2;
const MAX_LETTERS = 200;

/** Returns the address of the page for a suggestion: a book, or the books of an author. */
function addressOf({ kind, text, book }) {
  return kind === "book" ? to("book", book) : withQuery(to("search"), { author: text });
}

/** Returns the text after the reader has not changed it for a moment. */
function usePaused(text) {
  const [paused, setPaused] = useState(text);
  useEffect(() => {
    const timer = setTimeout(() => setPaused(text), PAUSE_MS);
    return () => clearTimeout(timer);
  }, [text]);
  return paused;
}

/** A search field; `name` tells several on a page apart. Only that of the header is a landmark of the search. */
export function SearchBox({ name }) {
  const searched = path.value[0] === "search" ? (query.value.q ?? "") : "";
  const [text, setText] = useState(searched);
  const [open, setOpen] = useState(false);
  const [active, setActive] = useState(-1);
  const input = useRef(null);
  const list = useId();
  // Back, or a link, leads to another search.
  useEffect(() => setText(searched), [searched]);

  const asked = usePaused(text).trim().toLowerCase();
  const isAsked = open && asked.length >= MIN_LETTERS;
  const { data } = useResource(
    isAsked ? `suggest|${asked}` : null,
    (signal) => get("/api/v1/books/suggest", { q: asked, limit: 8 }, { signal }),
    { keepsPrevious: true },
  );
  const found = isAsked ? (data?.suggestions ?? []) : [];
  const shown = found.length > 0;

  const leave = (address) => {
    setOpen(false);
    setActive(-1);
    input.current.blur();
    go(address);
  };
  const submit = (event) => {
    event.preventDefault();
    if (active >= 0 && found[active]) leave(addressOf(found[active]));
    else leave(withQuery(to("search"), { q: text.trim() }));
  };
  const press = (event) => {
    const steps = { ArrowDown: 1, ArrowUp: -1 };
    if (event.key === "Escape") {
      if (open) event.preventDefault();
      setOpen(false);
      setActive(-1);
    } else if (event.key in steps && shown) {
      event.preventDefault();
      // The field itself is one stop on the way round.
      const stops = found.length + 1;
      setActive(((active + 1 + steps[event.key] + stops) % stops) - 1);
    } else if (event.key === "ArrowDown") setOpen(true);
  };
  return html`<form class="search-box" role=${name === "header" ? "search" : undefined} aria-label=${t("search.label")} onSubmit=${submit} onFocusOut=${(event) => event.currentTarget.contains(event.relatedTarget) || setOpen(false)}>
    <label class="unseen" for=${`search-${name}`}>${t("search.label")}</label>
    <input
      ref=${input}
      id=${`search-${name}`}
      type="search"
      name="q"
      role="combobox"
      autocomplete="off"
      autocapitalize="none"
      enterkeyhint="search"
      maxlength=${MAX_LETTERS}
      placeholder=${t("search.placeholder")}
      aria-autocomplete="list"
      aria-expanded=${shown ? "true" : "false"}
      aria-controls=${list}
      aria-activedescendant=${shown && active >= 0 ? `${list}-${active}` : undefined}
      value=${text}
      onInput=${(event) => (setText(event.currentTarget.value), setOpen(true), setActive(-1))}
      onKeyDown=${press}
    />
    <button type="submit" aria-label=${t("search.go")}><${Icon} name="search" /></button>
    <ul class="suggestions" id=${list} role="listbox" aria-label=${t("search.suggestions")} hidden=${!shown}>
      ${found.map(
        (one, at) => html`<li
          key=${`${one.kind}${one.book ?? one.text}`}
          id=${`${list}-${at}`}
          role="option"
          aria-selected=${at === active ? "true" : "false"}
          onMouseDown=${(event) => event.preventDefault()}
          onClick=${() => leave(addressOf(one))}
        ><span class=${one.kind === "book" ? "suggested-title" : ""}>${one.text}</span><small>${t(`search.kind.${one.kind}`)}</small></li>`,
      )}
    </ul>
  </form>`;
}
