/* What a decision stands on: what is kept and how sure it is, what it cost, how it came to this.

   Everything here was made by agents or strangers: text is drawn as text, isolated, and what is
   giant is drawn only as far as somebody opens it. */

import { html, useState } from "../../lib/hooks.js";
import { DIMENSIONS, amount, confidence, percent } from "../../lib/format.js";
import { Result } from "../../lib/json.js";
import { Badge, Icon, Text } from "../../lib/parts.js";
import { Message } from "./bytes.js";
import { isMessage } from "./words.js";

export function Evidence({ letter }) {
  if (isMessage(letter)) return html`<${Message} letter=${letter} />`;
  const story = letter.story;
  if (!story) return null;
  return html`<div class="evidence">
    <${Kept} letter=${letter} story=${story} />
    <div class="evidence-side">
      <${Spent} story=${story} />
      <${Steps} steps=${story.steps ?? []} />
    </div>
    ${story.verdicts?.length > 0 && html`<${Verdicts} verdicts=${story.verdicts} />`}
    <${Trail} trail=${story.trail ?? []} />
    <${Goals} goals=${(story.goals ?? []).slice(1)} />
  </div>`;
}

function Panel({ title, more, children, class: kind = "" }) {
  return html`<section class=${`panel ${kind}`} aria-label=${title}>
    <header class="panel-head"><h2>${title}</h2>${more}</header>
    ${children}
  </section>`;
}

/* --- what is kept ----------------------------------------------------------------------------- */

function Kept({ letter, story }) {
  const nothing = (story.confidence ?? null) === null;
  const bar = letter.confidence_min ?? undefined;
  const judged = letter.reason === "gate" ? judgedBy(story.verdicts ?? []) : 1;
  return html`<${Panel} title="What is kept" class=${nothing ? "kept is-none" : "kept"}
    more=${!nothing && html`<${Sureness} sure=${story.confidence} judged=${judged} bar=${bar} />`}>
    ${nothing
      ? html`<p class="kept-none"><${Icon} name="waiting" />Nothing that could be delivered.</p>`
      : html`<div class="kept-value" tabindex="0" role="region" aria-label="The kept result">
          <${Result} value=${story.kept} />
        </div>`}
  <//>`;
}

/* What the gate makes of the judges' last words: who objects leaves at most the doubt in that. */
function judgedBy(verdicts) {
  const last = new Map(verdicts.filter(({ role }) => role === "validator").map((said) => [said.by, said]));
  const given = [...last.values()].filter((said) => said.given !== false);
  return Math.min(1, ...given.map(({ ok, confidence: sure }) => (ok ? sure : 1 - sure)));
}

/* How sure it is, against how sure it must be: a length, a mark, and both as figures. */
function Sureness({ sure: own, judged, bar }) {
  const sure = Math.min(own, judged);
  const below = bar !== undefined && sure < bar;
  const judges = sure < own ? `; its maker says ${confidence(own)}, the judges lower it` : "";
  const needs = bar === undefined ? "" : `, ${below ? "below" : "not below"} the ${confidence(bar)} it needs`;
  const said = `Confidence ${confidence(sure)}${needs}${judges}`;
  return html`<span class=${`sureness ${below ? "is-below" : ""}`} role="img" aria-label=${said} title=${said}>
    <span class="sureness-bar"><span class="sureness-is" style=${{ width: percentOf(sure) }} />
      ${bar !== undefined && html`<span class="sureness-needs" style=${{ insetInlineStart: percentOf(bar) }} />`}
    </span>
    <span class="figure">
      ${sure < own && html`<s class="muted">${confidence(own)}</s> `}
      <strong>${confidence(sure)}</strong>
      ${bar !== undefined && html` <span class="muted">of ${confidence(bar)}</span>`}
    </span>
  </span>`;
}

const percentOf = (share) => `${Math.min(100, Math.max(0, share * 100))}%`;

/* --- what it cost ----------------------------------------------------------------------------- */

function Spent({ story }) {
  const { spent = {}, ceiling = {}, hop, hops_max: most } = story;
  const bounded = DIMENSIONS.filter(({ name }) => (ceiling[name] ?? null) !== null);
  const free = DIMENSIONS.filter(({ name }) => (ceiling[name] ?? null) === null && spent[name]);
  return html`<${Panel} title="Spent" class="spent">
    <dl class="bars">
      ${bounded.map(({ name, word }) => html`<${Bar} key=${name} word=${plain(name, word)}
        is=${spent[name] ?? 0} most=${ceiling[name]} write=${(n) => amount(name, n)} />`)}
      <${Bar} word="hops" is=${hop ?? 0} most=${most} write=${String} />
      ${free.map(({ name, word }) => html`<div key=${name} class="bar-row">
        <dt>${plain(name, word)}</dt><dd class="figure bar-said">${amount(name, spent[name])}, no ceiling</dd>
      </div>`)}
    </dl>
  <//>`;
}

const plain = (name, word) => (name === "usd_micros" ? "dollars" : word);

function Bar({ word, is, most, write }) {
  const share = most ? is / most : 0;
  const state = share >= 1 ? "is-full" : share >= 0.75 ? "is-high" : "";
  return html`<div class=${`bar-row ${state}`}>
    <dt>${word}</dt>
    <dd>
      <span class="bar" aria-hidden="true"><span class="bar-is" style=${{ width: percentOf(share) }} /></span>
      <span class="bar-said figure" title=${percent(share)}><strong>${write(is)}</strong> of ${write(most)}</span>
    </dd>
  </div>`;
}

/* The task's own goal stands on top of the letter; these are what its steps were asked besides. */
function Goals({ goals }) {
  if (!goals.length) return null;
  return html`<${Panel} title="What its steps were asked" class="is-wide">
    <ul class="goal-others">
      ${goals.map((goal, n) => html`<li key=${n}><${Text} text=${goal} most=${160} /></li>`)}
    </ul>
  <//>`;
}

/* --- how it came to this ---------------------------------------------------------------------- */

function Verdicts({ verdicts }) {
  return html`<${Panel} title="What judges said" class="is-wide">
    <ul class="verdicts">
      ${verdicts.map((said, n) => html`<li key=${n}>
        <span class="trail-who"><bdi>${said.by}</bdi></span>
        ${said.given === false
          ? html`<${Badge} state="dropped" word="no verdict" />`
          : html`<${Badge} state=${said.ok ? "done" : "failed"} word=${said.ok ? "agrees" : "objects"} />`}
        <span class="figure trail-sure">${said.given === false ? "" : confidence(said.confidence)}</span>
        <span class="trail-why"><${Text} text=${said.reason} most=${300} /></span>
      </li>`)}
    </ul>
  <//>`;
}

const TRAIL_SHOWN = 6;
const TRAIL_COLUMNS = ["Hop", "Agent", "Envelope", "Sure", "Reason"];

function Trail({ trail }) {
  const [whole, setWhole] = useState(false);
  const hidden = whole ? 0 : Math.max(0, trail.length - TRAIL_SHOWN);
  const note = trail.length > 0 && html`<span class="muted panel-note">the latest last</span>`;
  return html`<${Panel} title="How it came to this" class="is-wide" more=${note}>
    ${!trail.length && html`<p class="muted">No agent has answered: there is no envelope.</p>`}
    ${hidden > 0 && html`<button type="button" class="button quiet small" onClick=${() => setWhole(true)}>
      Show ${hidden} earlier</button>`}
    ${trail.length > 0 && html`<div class="trail" role="table" aria-label="Envelopes, the latest last">
      <div class="trail-row trail-head" role="row">
        ${TRAIL_COLUMNS.map((word) => html`<span key=${word} role="columnheader">${word}</span>`)}
      </div>
      ${trail.slice(hidden).map((said, n) => html`<${TrailRow} key=${hidden + n} said=${said} />`)}
    </div>`}
  <//>`;
}

function TrailRow({ said }) {
  return html`<div class="trail-row" role="row">
    <span class="figure trail-hop" role="cell">${said.hop}</span>
    <span class="trail-who" role="cell">
      <bdi>${said.agent}</bdi> <span class="muted trail-step"><bdi>${said.step}</bdi></span>
    </span>
    <span role="cell"><${Badge} state=${said.status} /></span>
    <span class="figure trail-sure" role="cell">${confidence(said.confidence)}</span>
    <span class="trail-why" role="cell"><${Text} text=${said.reason} most=${240} /></span>
  </div>`;
}

/* One step alone is told by the trail already. */
function Steps({ steps }) {
  if (steps.length < 2) return null;
  return html`<${Panel} title="Steps of the plan" class="steps-panel">
    <div class="steps-scroll" tabindex="0" role="group" aria-label="All steps"><ul class="steps">
      ${steps.map((step) => html`<li key=${step.step}>
        <bdi class="step-name">${step.step}</bdi>
        <span class="muted step-agent"><bdi>${step.agent || "nobody yet"}</bdi></span>
        <${Badge} state=${step.phase} />
      </li>`)}
    </ul></div>
  <//>`;
}
