/* Values from agents, to be looked at: hostile, and perhaps giant.

       <${Json} value=${result} />          a tree; only what is opened is drawn
       <${Result} value=${result} />        the same, with a Markdown view for text

   A node shows MEMBERS members and then a button for more; a long text is cut the same way. So a
   result of a megabyte costs no more to open than a small one. */

import { html, useState } from "./hooks.js";
import { Icon } from "./icons.js";
import { Markdown } from "./markdown.js";
import { Copy, Tabs, Text } from "./parts.js";

const MEMBERS = 50;
const NAME_CHARS = 300; // A field's name is hostile too; Raw and Copy have it whole.
const OPEN_DEPTH = 2;
const OPEN_MEMBERS = 20;

export function Json({ value, name, depth = 0 }) {
  const label = name === undefined ? null : html`<span class="json-name" dir="auto">${String(name).slice(0, NAME_CHARS)}</span>`;
  if (value === null || typeof value !== "object") {
    return html`<div class="json-line">${label}<div class="json-value"><${Scalar} value=${value} /></div></div>`;
  }
  if (depth === 0 && !label && membersOf(value)) {
    return html`<${Members} value=${value} many=${Array.isArray(value)} depth=${0} />`;
  }
  return html`<${Tree} value=${value} label=${label} depth=${depth} />`;
}

function Scalar({ value }) {
  if (typeof value === "string") return html`<${Text} text=${value} class="json-text" />`;
  return html`<span class="json-plain">${String(value)}</span>`;
}

const membersOf = (value) => (Array.isArray(value) ? value.length : Object.keys(value).length);

function Tree({ value, label, depth }) {
  const many = Array.isArray(value);
  const size = membersOf(value);
  const [open, setOpen] = useState(depth < OPEN_DEPTH && size <= OPEN_MEMBERS);
  const said = many ? `${size} ${size === 1 ? "item" : "items"}` : `${size} ${size === 1 ? "field" : "fields"}`;
  if (!size) return html`<div class="json-line">${label}<span class="muted">${many ? "[ ]" : "{ }"}</span></div>`;
  return html`<div class="json-tree">
    <button type="button" class="json-fold" aria-expanded=${String(open)} onClick=${() => setOpen(!open)}>
      <${Icon} name=${open ? "down" : "right"} />${label}<span class="muted">${said}</span>
    </button>
    ${open && html`<${Members} value=${value} many=${many} depth=${depth} />`}
  </div>`;
}

function Members({ value, many, depth }) {
  const [most, setMost] = useState(MEMBERS);
  const names = many ? value.map((_, n) => n) : Object.keys(value);
  return html`<div class="json-members">
    ${names.slice(0, most).map((n) => html`<${Json} key=${n} name=${String(n)} value=${value[n]} depth=${depth + 1} />`)}
    ${names.length > most && html`<button type="button" class="button quiet small"
      onClick=${() => setMost(most + 10 * MEMBERS)}>Show more of ${names.length}</button>`}
  </div>`;
}

export function Result({ value }) {
  const prose = typeof value === "string";
  const [view, setView] = useState(prose ? "markdown" : "tree");
  const raw = () => (prose ? value : JSON.stringify(value, null, 2));
  const tabs = [prose && { id: "markdown", word: "Markdown" }, !prose && { id: "tree", word: "Tree" }, { id: "raw", word: "Raw" }];
  return html`<div class="result">
    <div class="row between">
      <${Tabs} tabs=${tabs.filter(Boolean)} chosen=${view} onChoose=${setView} label="How to show it" />
      <${Copy} text=${raw} label="Copy the whole value" />
    </div>
    ${view === "markdown" && html`<${Markdown} text=${value} />`}
    ${view === "tree" && html`<div class="json"><${Json} value=${value} /></div>`}
    ${view === "raw" && html`<pre class="code" tabindex="0" aria-label="Raw value"><${Text} text=${raw()} most=${20000} /></pre>`}
  </div>`;
}
