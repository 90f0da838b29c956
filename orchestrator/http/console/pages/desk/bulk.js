/* Decide all letters of one cause alike: choose, look which they are, confirm, see what was refused.

   Nothing is decided before the preview of that very decision has been shown. Letters that come in
   between looking and confirming are told afterwards, for the answer says how many were decided. */

import { html, useEffect, useState } from "../../lib/hooks.js";
import { post } from "../../lib/api.js";
import { Dialog } from "../../lib/dialog.js";
import { Ago, count } from "../../lib/format.js";
import { useKeys } from "../../lib/keys.js";
import { Icon, ProblemBox, Skeleton, Text } from "../../lib/parts.js";
import { Link } from "../../lib/router.js";
import { Form, decisionOf } from "../letter/forms.js";
import { VERBS, causeOf, doneOf, givesUp, plainRefusal, wordOf } from "../letter/words.js";

// An amended result is one letter's, and never many's.
const VERBS_FOR_MANY = ["approve", "retry", "reassign", "answer", "abort", "replay", "discard"];
const PATH = "/v1/letters/decisions";
const REFUSED_SHOWN = 50;

/* The API reads seconds as a number, and takes no empty filters. */
const sent = (filter) =>
  Object.fromEntries(
    Object.entries(filter)
      .filter(([, value]) => value !== undefined && value !== "")
      .map(([name, value]) => [name, name === "older_s" ? Number(value) : value]),
  );

export function DecideAll({ filter, title, onClose }) {
  const preview = usePreview(filter);
  const [draft, setDraft] = useState({});
  const [state, setState] = useState({ problem: null, busy: false, done: null });
  const change = (changes) => setDraft((old) => ({ ...old, ...changes }));
  const said = preview.value;
  const verbs = VERBS_FOR_MANY.filter((each) => said?.sample.some(({ allowed }) => allowed.includes(each)));
  const verb = verbs.includes(draft.verb) ? draft.verb : null;
  const send = async () => {
    if (!verb || state.busy) return;
    setState({ problem: null, busy: true, done: null });
    try {
      const decision = decisionOf(verb, asLetter(said), draft);
      const done = await post(PATH, { filter: sent(filter), decision, preview: false });
      setState({ problem: null, busy: false, done });
    } catch (problem) {
      setState({ problem, busy: false, done: null });
    }
  };
  const keys = [!state.done && { keys: "mod+Enter", does: "decide them", run: send, typing: true }];
  useKeys(keys, "Decide all", { dialog: true });
  return html`<${Dialog} title=${`Decide all: ${title}`} wide=${true} onClose=${onClose}>
    <div class="stack bulk" data-testid="bulk">
      ${state.done
        ? html`<${Done} done=${state.done} verb=${verb} onClose=${onClose} />`
        : html`
          ${preview.problem && html`<${ProblemBox} problem=${preview.problem} again=${preview.again} />`}
          ${!said && !preview.problem && html`<${Skeleton} lines=${4} />`}
          ${said && html`<${Preview} said=${said} />
            <${Choose} verbs=${verbs} verb=${verb} onChoose=${(next) => change({ verb: next })} />
            ${verb &&
            html`<${Form} verb=${verb} letter=${asLetter(said)} draft=${draft} change=${change}
              problem=${state.problem} />`}
            <${ProblemBox} problem=${state.problem} />
            <div class="row end">
              <button type="button" class="button" onClick=${onClose}>Decide none</button>
              <button
                type="button"
                class=${`button primary ${givesUp(verb) ? "danger" : ""}`}
                disabled=${!verb || state.busy}
                onClick=${send}
                data-testid="bulk-confirm"
              >${state.busy ? "Deciding…" : confirms(verb, said.letters)}</button>
            </div>`}`}
    </div>
  <//>`;
}

const confirms = (verb, n) => (verb ? `${wordOf(verb)} ${lettersOf(n)}` : "Choose a decision first");

const lettersOf = (n) => `${count(n)} ${n === 1 ? "letter" : "letters"}`;

/* Forms are written for one letter: the first of the sample stands for all. */
const asLetter = (said) => ({ allowed: [], story: null, ...(said.sample[0] ?? {}), id: "all" });

function usePreview(filter) {
  const [state, setState] = useState({ value: null, problem: null });
  const look = async () => {
    try {
      const asked = { filter: sent(filter), decision: { verb: "abort" }, preview: true }; // Any verb looks alike.
      setState({ value: await post(PATH, asked), problem: null });
    } catch (problem) {
      setState({ value: null, problem });
    }
  };
  useEffect(() => void look(), [JSON.stringify(filter)]);
  return { ...state, again: look };
}

function Preview({ said }) {
  const more = said.letters - said.sample.length;
  return html`<div class="bulk-preview">
    <p><strong>${lettersOf(said.letters)}</strong> ${said.letters === 1 ? "is" : "are"} meant:</p>
    <ul class="bulk-sample">
      ${said.sample.map((letter) => html`<li key=${letter.id}>
        <span class="bulk-cause">
          <bdi>${causeOf(letter)}</bdi>
          ${letter.agent && html` <span class="muted">at <bdi>${letter.agent}</bdi></span>`}
        </span>
        <span class="muted bulk-age"><${Ago} at=${letter.filed_ms} /></span>
        ${letter.goal && html`<span class="bulk-why" dir="auto">${letter.goal.slice(0, 160)}</span>`}
        <span class="bulk-why muted" dir="auto">${String(letter.why ?? "").slice(0, 160)}</span>
      </li>`)}
    </ul>
    ${more > 0 && html`<p class="muted">and ${count(more)} more like these.</p>`}
  </div>`;
}

function Choose({ verbs, verb, onChoose }) {
  return html`<fieldset class="bulk-verbs">
    <legend>What becomes of all of them?</legend>
    ${verbs.map((each, n) => html`<label key=${each} class="choice">
      <input type="radio" name="verb" value=${each} checked=${each === verb} autofocus=${n === 0}
        onChange=${() => onChoose(each)} />
      <span class="choice-text">
        <strong>${wordOf(each)}</strong> <span class="muted">${VERBS[each].does}</span>
      </span>
    </label>`)}
  </fieldset>`;
}

function Done({ done, verb, onClose }) {
  const refused = Object.entries(done.refused ?? {});
  return html`<div class="stack" role="status" data-testid="bulk-done">
    <p class="after-said">
      <${Icon} name=${refused.length ? "warn" : "completed"} />
      <span>
        <strong>${lettersOf(done.decided)}</strong> ${doneOf(verb)}.
        ${done.before > 0 && ` ${lettersOf(done.before)} had been decided by somebody else before.`}
        ${refused.length > 0 && ` ${lettersOf(refused.length)} stay open: the decision made no sense of them.`}
      </span>
    </p>
    ${refused.length > 0 && html`<ul class="bulk-refused">
      ${refused.slice(0, REFUSED_SHOWN).map(([id, why]) => html`<li key=${id}>
        <${Link} to=${`/desk/${encodeURIComponent(id)}`} class="mono" onClick=${onClose}>${id}<//>
        <${Text} text=${plainRefusal(why)} most=${200} /></li>`)}
      ${refused.length > REFUSED_SHOWN && html`<li class="muted">and ${refused.length - REFUSED_SHOWN} more</li>`}
    </ul>`}
    <div class="row end">
      <button type="button" class="button primary" autofocus onClick=${onClose}>Done</button>
    </div>
  </div>`;
}
