/* Keyboard shortcuts, and the page that lists them (press ?).

       useKeys([
         { keys: "j", does: "next letter", run: () => move(1) },
         { keys: "g d", does: "go to the desk", run: () => go("/desk") },   // one after the other
         { keys: "mod+Enter", does: "send", run: send, typing: true },      // also in a text field
       ], "Desk");

   Keys are ignored while somebody types and while a dialog is open (the dialog's own useKeys, given
   { dialog: true }, still work). "mod" is Ctrl, or Cmd on a Mac. */

import { html, useEffect, useRef } from "./hooks.js";
import { cell, useCell } from "./cell.js";
import { Dialog } from "./dialog.js";

const SEQUENCE_MS = 1200;
const groups = new Set(); // {title, list: ref, dialog}
export const helpOpen = cell(false);
let [before, beforeAt] = ["", 0];

export function useKeys(list, title = "This page", { dialog = false } = {}) {
  const current = useRef(list);
  current.current = list;
  useEffect(() => {
    const group = { title, list: current, dialog };
    groups.add(group);
    return () => groups.delete(group);
  }, [title]);
}

addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.isComposing) return;
  const name = named(event);
  const sequence = event.timeStamp - beforeAt < SEQUENCE_MS ? `${before} ${name}` : name;
  const found = wanted(event, sequence) ?? wanted(event, name);
  const ended = found && found.keys === sequence && sequence !== name;
  [before, beforeAt] = ended ? ["", 0] : [name, event.timeStamp]; // "g" may act, and "g t" still go to the tasks.
  if (!found) return;
  event.preventDefault();
  found.run(event);
});

function named(event) {
  const mod = event.ctrlKey || event.metaKey ? "mod+" : "";
  return mod + (event.altKey ? "alt+" : "") + event.key;
}

// A key pressed on a radio button or a checkbox is not typed into it.
const TYPED_INTO = 'input:not([type="radio"], [type="checkbox"]), textarea, select, [contenteditable]';

function wanted(event, name) {
  const typing = event.target.closest?.(TYPED_INTO);
  const inDialog = Boolean(document.querySelector("dialog[open]"));
  const pressed = event.key === "Enter" && event.target.closest?.("a, button, summary");
  for (const group of [...groups].reverse()) {
    if (inDialog !== group.dialog) continue;
    const found = group.list.current.find((each) => each && each.keys === name);
    if (found && (!typing || found.typing) && !pressed) return found;
  }
  return undefined;
}

export function KeyHelp() {
  const open = useCell(helpOpen);
  useKeys([{ keys: "?", does: "show these keys", run: () => helpOpen.set(true) }], "Everywhere");
  if (!open) return null;
  const byTitle = new Map();
  for (const { title, list, dialog } of groups) {
    if (!dialog) byTitle.set(title, [...(byTitle.get(title) ?? []), ...list.current.filter(Boolean)]);
  }
  return html`<${Dialog} title="Keyboard" onClose=${() => helpOpen.set(false)}>
    <div class="keys">
      ${[...byTitle].map(([title, list]) => html`<section key=${title}>
        <h3>${title}</h3>
        <dl>
          ${list.map(({ keys, does }) => html`<div key=${keys}>
            <dt>${keys.split(" ").map((key) => html`<kbd key=${key}>${shown(key)}</kbd>`)}</dt>
            <dd>${does}</dd>
          </div>`)}
        </dl>
      </section>`)}
    </div>
  <//>`;
}

const MAC = /Mac|iPhone|iPad/.test(navigator.platform);
const shown = (key) => key.replace("mod+", MAC ? "⌘ " : "Ctrl ");
