/* Short messages that come and go: toast("Copied."), toast("It is decided already.", "bad").

   They are read out by screen readers and stay until pointed away from or for SHOWN_MS. What must
   not be missed belongs on the page, as a ProblemBox. */

import { html } from "./hooks.js";
import { cell, useCell } from "./cell.js";
import { Icon } from "./icons.js";

const SHOWN_MS = 6000;
const toasts = cell([]);
let last = 0;

export function toast(text, kind = "good") {
  const one = { id: (last += 1), text, kind };
  toasts.set((all) => [...all.slice(-3), one]);
  setTimeout(() => drop(one.id), SHOWN_MS);
}

const drop = (id) => toasts.set((all) => all.filter((each) => each.id !== id));

export function Toasts() {
  const shown = useCell(toasts);
  return html`<div class="toasts" role="status" aria-live="polite">
    ${shown.map(({ id, text, kind }) => html`<div key=${id} class=${`toast is-${kind}`}>
      <${Icon} name=${kind === "bad" ? "warn" : "check"} /><span dir="auto">${text}</span>
      <button type="button" class="button quiet icon-only" aria-label="Dismiss" onClick=${() => drop(id)}>
        <${Icon} name="close" /></button>
    </div>`)}
  </div>`;
}
