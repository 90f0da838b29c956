/* Preact and htm as one import for pages, with the one hook that their shared file lacks.

       import { html, useState, useEffect, useMemo, useRef, useCallback, useId } from "../lib/hooks.js";

   html`<div class="card">${text}</div>` makes vnodes: what stands in ${...} is text or a vnode, and
   never markup. Nothing in the console makes an HTML string; dangerouslySetInnerHTML is forbidden
   and, should somebody try, refused by the page's content security policy. */

import { useState } from "../vendor/preact.js";

export {
  Component,
  createContext,
  h,
  html,
  render,
  useCallback,
  useContext,
  useEffect,
  useErrorBoundary,
  useLayoutEffect,
  useMemo,
  useReducer,
  useRef,
  useState,
} from "../vendor/preact.js";

let last = 0;

export function useId() {
  return useState(() => `id-${(last += 1)}`)[0];
}
