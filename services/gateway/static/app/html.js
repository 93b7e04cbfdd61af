// The one place where the libraries are named: markup in templates, hooks and signals.
import { h, render, Fragment } from "../vendor/preact/preact.js";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "../vendor/preact/hooks.js";
import { batch, computed, effect, signal, untracked } from "../vendor/signals/signals.js";
import htm from "../vendor/htm/htm.js";

export const html = htm.bind(h);
export {
  Fragment,
  batch,
  computed,
  effect,
  render,
  signal,
  untracked,
  useEffect,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
};
