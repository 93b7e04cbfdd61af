// The one place where the libraries are named: markup in templates, hooks and signals.
import { h, render } from "../vendor/preact/preact.js";
import { useEffect, useErrorBoundary, useId, useLayoutEffect, useMemo, useRef, useState } from "../vendor/preact/hooks.js";
import { computed, effect, signal } from "../vendor/signals/signals.js";
import htm from "../vendor/htm/htm.js";

export const html = htm.bind(h);
export { computed, effect, render, signal, useEffect, useErrorBoundary, useId, useLayoutEffect, useMemo, useRef, useState };
