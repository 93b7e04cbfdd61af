// Small pictures, drawn as lines on a grid of 24.
import { html } from "../html.js";

const PATHS = {
  account: "M12 4a4 4 0 100 8 4 4 0 000-8zM4 20a8 8 0 0116 0",
  notifications: "M6 16V11a6 6 0 0112 0v5l2 2H4zM10 21h4",
  leave: "M10 4H5v16h5M9 12h11M16 8l4 4-4 4",
  settings: "M4 7h10M18 7h2M4 17h2M10 17h10M16 5v4M8 15v4",
  plus: "M12 5v14M5 12h14",
  close: "M6 6l12 12M18 6L6 18",
  copy: "M9 9h11v11H9zM15 9V4H4v11h5",
  check: "M5 13l4 4L19 7",
  retry: "M4 12a8 8 0 1 0 3-6.200M4 4v5h5",
  trash: "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13M10 11v5M14 11v5",
  warning: "M12 4L2 20h20zM12 10v4M12 17v.5",
  download: "M12 4v12M7 11l5 5 5-5M4 16v4h16v-4",
  undo: "M9 14L4 9l5-5M4 9h10a6 6 0 010 12h-3",
  clock: "M12 3a9 9 0 100 18 9 9 0 000-18zM12 7v5l3 2",
  ban: "M12 3a9 9 0 100 18 9 9 0 000-18zM6 6l12 12",
  fault: "M12 3a9 9 0 100 18 9 9 0 000-18zM12 7v6M12 16v.5",
  empty: "M4 13l3-8h10l3 8v6H4zM4 13h5l1 2h4l1-2h5",
  away: "M3 3l18 18M8 8a6 6 0 00-2 11h11M10 6a6 6 0 018 6 4 4 0 012 6",
  search: "M10.500 4a6.500 6.500 0 100 13 6.500 6.500 0 000-13zM15.500 15.500L20 20",
  bag: "M5 8h14l-1 12H6zM9 11V7a3 3 0 016 0v4",
  heart: "M12 20C4 14 3 11 3 8.500A4.500 4.500 0 0112 7a4.500 4.500 0 019 1.500c0 2.500-1 5.500-9 11.500z",
  bookmark: "M6 4h12v16l-6-4-6 4z",
  book: "M5 4h10a3 3 0 013 3v13H8a3 3 0 01-3-3zM5 17a3 3 0 013-3h10",
  filter: "M4 6h16M7 12h10M10 18h4",
  minus: "M5 12h14",
  drop: "M5 7l6 6 3-3 5 7M19 12v5h-5",
};

/** Adds the pictures of an app, by name, each with the path that is drawn. */
export function addIcons(paths) {
  Object.assign(PATHS, paths);
}

/** A picture by its name; it says nothing to those who do not see it. */
export function Icon({ name }) {
  return html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false"><path d=${PATHS[name]} /></svg>`;
}
