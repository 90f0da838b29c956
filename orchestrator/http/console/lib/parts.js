/* The parts that pages are made of. A page looks like this:

       export function Desk() {
         useTitle("Desk");
         const letters = useRead("/v1/letters?limit=50");
         useEvents("/v1/events", ({ kind }) => kind.startsWith("letter.") && letters.again());
         return html`
           <${Page} title="Desk" actions=${html`<button class="button">...</button>`}>
             <${Shown} read=${letters} empty=${(v) => !v.items.length && html`
               <${Empty} icon="desk" title="Nothing waits for you">Letters appear here.<//>`}>
               ${({ items }) => html`<${Table} rows=${items} columns=${COLUMNS} ... />`}
             <//>
           <//>`;
       }

   Page       title (the h1), crumbs, actions at its right, children
   Shown      a useRead(): skeleton at first, problem box, empty state, else its child function
   Badge      a state, as icon + word + colour: <${Badge} state="on_desk" />; kinds stand in STATES
   Meter      one dimension of a ledger: <${Meter} ledger=${task.ledger} name="tokens" />
   Meters     all bounded dimensions of it; Tightest: the one that is nearest to its ceiling
   Table      columns [{key, title, cell(row), end?, main?, hide?, bare?, small?}]; on a phone rows become
              cards: `main` is the card's first line, `hide` leaves it out there, `bare` leaves its
              title out there; `end` aligns figures, `small` sets them smaller
   Tabs       tabs=[{id, word, count?}] chosen onChoose: filters, as buttons with aria-pressed
   Facts      pairs=[[word, what]] as a definition list
   Text       hostile text from agents: isolated, wrapped, cut in giant cases, never markup
   Copy, Tip, Field, Empty, Skeleton, ProblemBox: see each below
   Dialogs, keys and toasts: dialog.js, keys.js, toast.js. JSON: json.js. Markdown: markdown.js.
   Figures and times: format.js. Classes: style.css, by name: .button(.primary .danger .quiet),
   .input, .card, .row, .stack, .muted, .figure (tabular numbers), .mono. */

import { html, useId, useState } from "./hooks.js";
import { DIMENSIONS, amount, shortAmount } from "./format.js";
import { Icon } from "./icons.js";
import { Link, go } from "./router.js";
import { toast } from "./toast.js";

export { Icon };

export const STATES = {
  submitted: ["submitted", "idle", "submitted"],
  working: ["working", "working", "working"],
  on_desk: ["on the desk", "desk", "person"],
  completed: ["completed", "done", "completed"],
  partial: ["partial", "partial", "partial"],
  aborted: ["aborted", "aborted", "aborted"],
  // steps
  waiting: ["waiting", "idle", "waiting"],
  open: ["at work", "working", "working"],
  asking: ["asking", "desk", "question"],
  done: ["done", "done", "completed"],
  broken: ["broken", "aborted", "aborted"],
  dropped: ["dropped", "partial", "partial"],
  // envelopes
  success: ["success", "done", "completed"],
  failed: ["failed", "aborted", "aborted"],
  // letters
  escalation: ["escalation", "desk", "flag"],
  question: ["question", "working", "question"],
  poison: ["poison", "aborted", "warn"],
  undeliverable: ["undeliverable", "idle", "letter"],
  expired: ["expired", "idle", "clock"],
  forged: ["forged", "aborted", "warn"],
  oversize: ["oversize", "partial", "letter"],
  // breakers
  closed: ["closed", "done", "completed"],
  half_open: ["half open", "desk", "waiting"],
  tripped: ["open", "aborted", "stop"],
};

export function Badge({ state, word, tone, icon }) {
  const known = Object.hasOwn(STATES, state ?? "") ? STATES[state] : [state, "idle", "waiting"];
  const [says, colour, drawn] = known;
  return html`<span class=${`badge tone-${tone ?? colour}`}>
    <${Icon} name=${icon ?? drawn} /><span>${word ?? says}</span>
  </span>`;
}

export function Page({ title, crumbs, actions, children, class: more = "" }) {
  return html`<div class=${`page ${more}`}>
    <header class="page-head">
      <div class="page-title">
        ${crumbs && html`<nav class="crumbs" aria-label="Breadcrumb">${crumbs}</nav>`}
        <h1 tabindex="-1" dir="auto">${title}</h1>
      </div>
      ${actions && html`<div class="row actions">${actions}</div>`}
    </header>
    ${children}
  </div>`;
}

export function Shown({ read, empty, skeleton, children }) {
  const { value, problem, again } = read;
  if (problem && value === undefined)
    return html`<${ProblemBox} problem=${problem} again=${again} />`;
  if (value === undefined) return skeleton ?? html`<${Skeleton} lines=${6} />`;
  return html`
    ${problem && html`<${ProblemBox} problem=${problem} again=${again} stale=${true} />`}
    ${(empty && empty(value)) || children(value)}
  `;
}

export function Empty({ icon = "check", title, children }) {
  return html`<div class="empty">
    <span class="empty-icon"><${Icon} name=${icon} /></span>
    <h2>${title}</h2>
    <div class="muted">${children}</div>
  </div>`;
}

export function Skeleton({ lines = 3 }) {
  return html`<div class="skeleton" role="status" aria-label="Loading">
    ${Array.from({ length: lines }, (_, n) => html`<span key=${n} class=${`bone bone-${n % 4}`} />`)}
  </div>`;
}

export function ProblemBox({ problem, again, stale = false }) {
  if (!problem) return null;
  const errors = problem.errors ?? [];
  return html`<div class="problem" role="alert">
    <${Icon} name="warn" />
    <div class="stack">
      <strong>${problem.title ?? "That did not work"}</strong>
      <${Text} text=${problem.message} />
      ${problem.field && html`<span>Field: <code>${problem.field}</code></span>`}
      ${errors.length > 0 && html`<ul>
        ${errors.map((e, n) => html`<li key=${n}><code>${e.field ?? e.at}</code> ${e.detail}</li>`)}
      </ul>`}
      ${stale && html`<span class="muted">What you see below was read before.</span>`}
      ${again && html`<div><button class="button" onClick=${again}>
        <${Icon} name="again" />Try again
      </button></div>`}
    </div>
  </div>`;
}

/* Spent, reserved for open subtasks, free, and at the end what is kept for the ending. */
export function Meter({ ledger, name, slim = false }) {
  const ceiling = ledger.ceiling[name];
  const [spent, reserved, ending] = ["spent", "reserved", "ending"].map((p) => ledger[p][name] ?? 0);
  const share = (n) => `${ceiling ? Math.min(100, (100 * n) / ceiling) : 0}%`;
  const word = DIMENSIONS.find((each) => each.name === name).word;
  const said =
    `${amount(name, spent)} of ${amount(name, ceiling)} ${word} spent, ` +
    `${amount(name, reserved)} reserved, ${amount(name, ending)} kept for the ending`;
  return html`<div class=${`meter ${slim ? "is-slim" : ""}`}>
    <div class="meter-words figure" aria-hidden="true">
      <span><strong>${shortAmount(name, spent)}</strong> of ${shortAmount(name, ceiling)}</span>
      <span class="muted">${name === "usd_micros" ? "" : word}</span>
    </div>
    <div class="meter-bar" role="img" aria-label=${said} title=${said}>
      <span class="meter-spent" style=${{ width: share(spent) }} />
      <span class="meter-reserved" style=${{ width: share(reserved) }} />
      <span class="meter-ending" style=${{ width: share(ending) }} />
    </div>
  </div>`;
}

/* Of several ceilings the one that is nearest: it is the one that will stop the task. */
export function Tightest({ ledger }) {
  const used = ({ name }) => (ledger.spent[name] + ledger.reserved[name]) / (ledger.ceiling[name] || 1);
  const bounded = DIMENSIONS.filter(({ name }) => (ledger.ceiling[name] ?? null) !== null);
  const [first] = bounded.toSorted((a, b) => used(b) - used(a));
  return first ? html`<${Meter} ledger=${ledger} name=${first.name} slim=${true} />` : null;
}

export function Meters({ ledger, slim = false }) {
  const bounded = DIMENSIONS.filter(({ name }) => (ledger.ceiling[name] ?? null) !== null);
  return html`<div class="meters">
    ${bounded.map(({ name }) => html`<${Meter} key=${name} ledger=${ledger} name=${name} slim=${slim} />`)}
  </div>`;
}

export function Table({ columns, rows, rowKey, href, chosen, caption, onRow }) {
  const open = (row) => (event) => {
    if (event.target.closest("a, button, input, label, summary") || String(getSelection())) return;
    if (onRow) onRow(row);
    else if (href) go(href(row));
  };
  const style = (column) =>
    [column.end && "is-end", column.main && "is-main", column.bare && "is-bare", column.small && "is-small", column.hide && "is-hidden-small"]
      .filter(Boolean)
      .join(" ");
  return html`<table class="table" role="table">
    ${caption && html`<caption class="sr-only">${caption}</caption>`}
    <thead role="rowgroup"><tr role="row">
      ${columns.map((c) => html`<th key=${c.key} role="columnheader" scope="col" class=${style(c)}>
        ${c.title || html`<span class="sr-only">${c.key}</span>`}</th>`)}
    </tr></thead>
    <tbody role="rowgroup">
      ${rows.map((row) => html`<tr
        key=${rowKey(row)}
        role="row"
        data-key=${rowKey(row)}
        class=${`${href || onRow ? "is-link" : ""} ${chosen === rowKey(row) ? "is-chosen" : ""}`}
        onClick=${open(row)}
      >
        ${columns.map((c) => html`<td key=${c.key} role="cell" class=${style(c)} data-label=${c.title}>
          ${c.main && href ? html`<${Link} to=${href(row)} class="row-link">${c.cell(row)}<//>` : c.cell(row)}
        </td>`)}
      </tr>`)}
    </tbody>
  </table>`;
}

export function Tabs({ tabs, chosen, onChoose, label }) {
  return html`<div class="tabs" role="group" aria-label=${label}>
    ${tabs.map((tab) => html`<button
      key=${tab.id}
      type="button"
      class="tab"
      aria-pressed=${String(tab.id === chosen)}
      onClick=${() => onChoose(tab.id)}
    >
      ${tab.word}${(tab.count ?? null) !== null && html`<span class="tab-count figure">${tab.count}</span>`}
    </button>`)}
  </div>`;
}

export function Facts({ pairs }) {
  const shown = pairs.filter((pair) => pair && (pair[1] ?? "") !== "");
  return html`<dl class="facts">
    ${shown.map(([word, what]) => html`<div key=${word}><dt>${word}</dt><dd>${what}</dd></div>`)}
  </dl>`;
}

const CUT_CHARS = 2000;

export function Text({ text, most = CUT_CHARS, class: more = "" }) {
  const [whole, setWhole] = useState(false);
  const said = String(text ?? "");
  const cut = said.length > most && !whole;
  return html`<span class=${`text ${giant(said)} ${whole ? "is-whole" : ""} ${more}`} dir="auto">${cut ? `${said.slice(0, most)}…` : said}</span>
    ${cut && html`<button type="button" class="button quiet small" onClick=${() => setWhole(true)}>
      Show all ${said.length.toLocaleString("en")} characters
    </button>`}`;
}

/* A word of 100 kB is broken at every line anew; with kerning that takes a browser a minute. */
export const giant = (text) => (/\S{500}/.test(text) ? "is-giant" : "");

export function Copy({ text, label = "Copy" }) {
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(typeof text === "function" ? text() : text);
      toast("Copied.");
    } catch {
      toast("The browser does not let this page copy; select the text instead.", "bad");
    }
  };
  return html`<button type="button" class="button quiet icon-only" aria-label=${label} title=${label}
    onClick=${copy}><${Icon} name="copy" /></button>`;
}

/* A word with an explanation on hover and on focus; Escape puts it away. */
export function Tip({ says, children, class: more = "" }) {
  const id = useId();
  const leave = (event) => event.key === "Escape" && event.currentTarget.blur();
  return html`<span class=${`tip ${more}`}>
    <span class="tip-word" tabindex="0" aria-describedby=${id} onKeyDown=${leave}>${children}</span>
    <span class="tip-says" role="tooltip" id=${id}>${says}</span>
  </span>`;
}

/* A labelled control: <${Field} label="Goal" hint="..." problem=${problem} name="goal">${(p) =>
   html`<input class="input" ...${p} />`}<//>; p carries id, name and the aria attributes. */
export const isAbout = (problem, name) => `${problem?.field ?? ""}.`.startsWith(`${name}.`);

export function Field({ label, name, hint, problem, children }) {
  const id = useId();
  const wrong = isAbout(problem, name) ? problem.message : null;
  const described = [hint && `${id}-hint`, wrong && `${id}-wrong`].filter(Boolean).join(" ");
  const props = { id, name };
  if (described) props["aria-describedby"] = described;
  if (wrong) props["aria-invalid"] = "true";
  return html`<div class="field">
    <label for=${id}>${label}</label>
    ${children(props)}
    ${hint && html`<span class="hint" id=${`${id}-hint`}>${hint}</span>`}
    ${wrong && html`<span class="wrong" id=${`${id}-wrong`}><${Icon} name="warn" />${wrong}</span>`}
  </div>`;
}
