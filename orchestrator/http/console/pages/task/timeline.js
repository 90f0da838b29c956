/* The journal as a timeline: what was decided, when, why, and what had been spent by then.

       <${Timeline} notes=${notes} start=${accepted_ms} only=${subtask | null} showAll=${() => ...} />

   `only` shows one subtask's lines. Of a long journal the last SHOWN lines are drawn first. */

import { html, useState } from "../../lib/hooks.js";
import { DIMENSIONS, amounts, confidence, duration, moment, shortAmount } from "../../lib/format.js";
import { Json } from "../../lib/json.js";
import { Badge, Empty, Facts, Icon, STATES, Tabs, Text, Tip } from "../../lib/parts.js";
import { stopped, why } from "../../lib/whys.js";

const SHOWN = 150;
const ORDERS = [
  { id: "first", word: "Oldest first" },
  { id: "last", word: "Newest first" },
];
const TEXT_CHARS = 400;

export function Timeline({ notes, start, only, showAll }) {
  const [order, setOrder] = useState(localStorage.getItem("buckstop.timeline") ?? "first");
  const [most, setMost] = useState(SHOWN);
  const choose = (id) => (setOrder(id), localStorage.setItem("buckstop.timeline", id));
  const wanted = only === null ? notes : notes.filter((note) => note.subtask === only);
  const cut = wanted.slice(-most);
  const shown = order === "last" ? cut.toReversed() : cut;
  const older = wanted.length > most && html`<button type="button" class="button older" onClick=${() => setMost(most + 500)}>
    Show ${wanted.length - most} earlier lines</button>`;
  return html`<section class="card" aria-label="Timeline">
    <div class="card-head">
      <h2>Timeline ${only !== null && html`<button type="button" class="button small" onClick=${showAll}>
        Subtask #${only} only<${Icon} name="close" /></button>`}</h2>
      <${Tabs} label="Order" tabs=${ORDERS} chosen=${order} onChoose=${choose} />
    </div>
    ${!wanted.length && html`<${Empty} icon="clock" title="Nothing decided yet">
      Each decision appears here at once, with why it was made.<//>`}
    ${order === "first" && older}
    <ol class="timeline">
      ${shown.map((note) => html`<${Line} key=${note.n} note=${note} start=${start} />`)}
    </ol>
    ${order === "last" && older}
  </section>`;
}

function Line({ note, start }) {
  const [open, setOpen] = useState(false);
  const { word, icon, says, ...rule } = why(note.why);
  const tone = toneOf(note) ?? rule.tone;
  const more = details(note);
  return html`<li class="line">
    <time class="line-at figure" datetime=${new Date(note.at_ms).toISOString()} title=${moment(note.at_ms)}>
      +${duration(note.at_ms - start)}</time>
    <span class=${`line-dot tone-${tone}`}><${Icon} name=${icon} /></span>
    <div class="line-body">
      <div class="line-head">
        <${Tip} says=${says || `The rule ${note.why}.`} class="line-why">${word}<//>
        ${note.agent && html`<span class="line-who">${note.agent}
          ${note.step && note.step !== note.agent && html`<span class="muted"> · ${note.step}</span>`}</span>`}
        ${note.subtask && html`<span class="muted">#${note.subtask}</span>`}
        ${note.hop && html`<span class="muted">hop ${note.hop}</span>`}
        ${note.status && html`<${Badge} state=${note.status} />`}
        ${note.confidence !== null && note.confidence !== undefined &&
        html`<span class="figure" title="Confidence">${confidence(note.confidence)}</span>`}
      </div>
      <${Said} note=${note} />
      ${open && html`<div class="line-details"><${Facts} pairs=${more} />
        ${note.steps && html`<${Json} name="steps" value=${note.steps} />`}</div>`}
    </div>
    <span class="line-spent figure muted" title="Spent by then">${spent(note.spent)}</span>
    ${more && html`<button type="button" class="button quiet icon-only line-more" aria-expanded=${String(open)}
      aria-label=${`Details of ${word}${note.subtask ? `, subtask ${note.subtask}` : ""}`}
      onClick=${() => setOpen(!open)}><${Icon} name=${open ? "down" : "right"} /></button>`}
  </li>`;
}

/* An envelope has the tone of its status, and the last line that of the outcome. */
function toneOf(note) {
  const state = note.status ?? (note.why === "conclude" ? String(note.text).split(":")[0] : "");
  return Object.hasOwn(STATES, state) ? STATES[state][1] : null;
}

/* The last line names the outcome and the rule that led to it; all others say what they say. */
function Said({ note }) {
  if (!note.text) return null;
  const [, outcome, rule] = note.why === "conclude" ? (note.text.match(/^(\w+): (.*)$/s) ?? []) : [];
  if (outcome) return html`<div class="line-text"><${Badge} state=${outcome} /> <${Text} text=${stopped(rule)} /></div>`;
  return html`<div class="line-text"><${Text} text=${note.text} most=${TEXT_CHARS} /></div>`;
}

/* What has been spent by then: money where there is any, else tokens, else calls. */
function spent(sum) {
  const found = ["usd_micros", "tokens", "calls"].find((name) => sum?.[name]);
  if (!found) return "";
  const unit = found === "usd_micros" ? "" : ` ${DIMENSIONS.find((each) => each.name === found).word}`;
  return shortAmount(found, sum[found]) + unit;
}

function details(note) {
  const pairs = [
    note.charged && ["Charged", amounts(note.charged)],
    note.allowance && ["Allowance", amounts(note.allowance)],
    note.why === "publish" && ["Reserved by then", amounts(note.reserved)],
    note.fault && ["Fault", note.fault],
    note.plan !== null && note.plan !== undefined && ["Plan in force", `#${note.plan + 1}`],
    note.granted && ["Ceiling from here", amounts(note.granted.ceiling)],
    note.granted && ["Hops from here", `at most ${note.granted.hops_max}`],
    note.granted && ["Deadline from here", moment(note.granted.deadline_ms)],
  ].filter(Boolean);
  return pairs.length || note.steps ? pairs : null;
}
