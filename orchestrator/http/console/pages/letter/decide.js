/* Decide: one button for each verb that makes sense, each with what it will do; then its form.

   No single key and no single click decides: both open the form, with the focus where the next
   thing is to be typed. Ctrl or Cmd with Enter sends, Escape closes. What is typed is a draft that
   outlives everything but the decision itself. */

import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "../../lib/hooks.js";
import { may, post } from "../../lib/api.js";
import { useKeys } from "../../lib/keys.js";
import { Icon, ProblemBox } from "../../lib/parts.js";
import { useDraft } from "./drafts.js";
import { Form, decisionOf } from "./forms.js";
import { Elsewhere } from "./elsewhere.js";
import { VERBS, givesUp, plainRefusal, wordOf } from "./words.js";

const FIELDS = new Set([
  ...["why", "result", "answer", "agent", "hops", "time"],
  ...["budget.tokens", "budget.usd", "budget.calls"],
]);
const CHOICE_KEYS = 9; // One digit each.
const MAC = /Mac|iPhone|iPad/.test(navigator.platform);

export function Decide({ letter, onDone }) {
  if (may("decide")) return html`<${Decision} letter=${letter} onDone=${onDone} />`;
  return html`<p class="letter-mayno">
    <${Icon} name="warn" />You may look, and not decide: your token lacks the scope “decide”.
  </p>`;
}

function Decision({ letter, onDone }) {
  const [draft, change, drop] = useDraft(letter.id);
  const [wantsFocus, focusNext] = useState(0);
  const place = useRef(null);
  const verbs = useMemo(() => ordered(letter.allowed), [letter]);
  const verb = openVerb(verbs, draft);
  const open = (wanted, more = {}) => (change({ verb: wanted, ...more }), focusNext((n) => n + 1));
  const close = () => {
    change({ verb: null });
    place.current?.querySelector(`[data-verb="${verb}"]`)?.focus();
  };
  // At once, so that not one key of a quick typist is lost.
  useLayoutEffect(() => {
    if (!wantsFocus || !verb) return;
    place.current.querySelector(".sheet").scrollIntoView({ block: "nearest" });
    first(place.current)?.focus();
  }, [wantsFocus]);
  useKeys([...verbs.map((each) => keyOf(each, open)), ...choiceKeys(letter, open)], "One letter: decide");
  return html`<section class="decide" aria-labelledby="decide-title" ref=${place}>
    <h2 id="decide-title" class="sr-only">Decide</h2>
    <div class="verbs" data-count=${verbs.length}>
      ${verbs.map((each) => html`<${VerbButton} key=${each} verb=${each} chosen=${each === verb}
        onOpen=${open} onClose=${close} />`)}
    </div>
    ${verb && html`<${Sheet} key=${verb} verb=${verb} letter=${letter} draft=${draft} change=${change}
      onOpen=${open} onClose=${close} onDone=${(done) => (done.first && drop(), onDone(done))} />`}
  </section>`;
}

const ORDER = ["answer", "approve", "amend", "retry", "reassign", "replay", "abort", "discard"];
const ordered = (allowed) => ORDER.filter((verb) => allowed.includes(verb));

/* A question is there to be answered, so its form stands open until somebody closes it. */
function openVerb(verbs, draft) {
  if (verbs.includes(draft.verb)) return draft.verb;
  return draft.verb === undefined && verbs.includes("answer") ? "answer" : null;
}

function first(place) {
  const control = ".sheet input, .sheet textarea, .sheet select";
  return place?.querySelector("[data-first]") ?? place?.querySelector(control);
}

function keyOf(verb, open) {
  const { key, word } = VERBS[verb];
  return { keys: key, does: word.toLowerCase(), run: () => open(verb) };
}

function choiceKeys(letter, open) {
  const choices = letter.allowed.includes("answer") ? (letter.story?.question?.choices ?? []) : [];
  return choices.slice(0, CHOICE_KEYS).map((answer, n) => ({
    keys: String(n + 1),
    does: `choose answer ${n + 1}`,
    run: () => open("answer", { answer }),
  }));
}

function VerbButton({ verb, chosen, onOpen, onClose }) {
  const { word, key, icon, does } = VERBS[verb];
  return html`<button
    type="button"
    class=${`verb ${givesUp(verb) ? "is-ending" : ""}`}
    data-verb=${verb}
    data-testid=${`verb-${verb}`}
    aria-expanded=${String(chosen)}
    aria-controls=${chosen ? "decision-sheet" : undefined}
    aria-keyshortcuts=${key}
    onClick=${() => (chosen ? onClose() : onOpen(verb))}
  >
    <span class="verb-word"><${Icon} name=${icon} />${word}<kbd aria-hidden="true">${key}</kbd></span>
    <span class="verb-does">${does}</span>
  </button>`;
}

/* One verb's form, from the first letter typed to the server's word on it. */
function Sheet({ verb, letter, draft, change, onOpen, onClose, onDone }) {
  const { problem, sending, send, forget } = useSending(verb, letter, draft, onDone);
  const typed = (changes) => {
    forget();
    if (changes.verb) onOpen(changes.verb);
    else change({ touched: true, verb, ...changes });
  };
  useKeys([{ keys: "mod+Enter", does: "send the decision", run: send, typing: true }], "One letter: decide");
  const byKey = (event) => {
    if (event.key !== "Escape" || event.defaultPrevented) return;
    event.preventDefault();
    onClose();
  };
  const elsewhere = problem && !FIELDS.has(problem.field) && problem.slug !== "decided-before";
  return html`<form
    id="decision-sheet"
    class="sheet"
    aria-label=${`${wordOf(verb)} this letter`}
    data-testid="decision-form"
    noValidate
    onKeyDown=${byKey}
    onSubmit=${(event) => (event.preventDefault(), send())}
  >
    <${Form} verb=${verb} letter=${letter} draft=${draft} change=${typed} problem=${problem} />
    ${elsewhere && html`<${NotSent} problem=${problem} again=${send} />`}
    <div class="sheet-foot">
      <button
        type="submit"
        class=${`button ${givesUp(verb) ? "danger" : "primary"}`}
        disabled=${sending}
        data-testid="send"
      >
        ${sending ? "Waiting for the owner to act…" : wordOf(verb)}
        ${!sending && html`<kbd aria-hidden="true">${MAC ? "⌘" : "Ctrl"} ↵</kbd>`}
      </button>
      <button type="button" class="button quiet" onClick=${onClose}>
        Not now<kbd aria-hidden="true">Esc</kbd>
      </button>
      ${verb === "answer" && html`<span class="sheet-aside"><${Elsewhere} letter=${letter} /></span>`}
    </div>
  </form>`;
}

const AWAY = {
  title: "Not sent yet",
  message: "The server does not answer. What you typed is kept in this tab: send it again once it is back.",
};

/* What has no field of its own to stand at, brought into view. */
function NotSent({ problem, again }) {
  const place = useRef(null);
  useEffect(() => place.current.scrollIntoView({ block: "nearest" }), [problem]);
  const away = problem.status === 0;
  const shown = away ? AWAY : { title: problem.title, message: problem.message };
  return html`<div ref=${place} class="sheet-problem">
    <${ProblemBox} problem=${shown} again=${away || problem.retry_s ? again : undefined} />
  </div>`;
}

/* At its field, a message need not name the field again. */
function plain(problem) {
  const said = problem.errors?.find(({ field }) => field === problem.field)?.detail;
  if (problem.field === "verb")
    return Object.assign(problem, { title: "The letter stays open", message: plainRefusal(problem.message) });
  return said && FIELDS.has(problem.field) ? Object.assign(problem, { message: said }) : problem;
}

function useSending(verb, letter, draft, onDone) {
  const [state, setState] = useState({ problem: null, sending: false });
  const current = useRef(null);
  current.current = { draft, busy: state.sending };
  useEffect(() => {
    if (state.problem) document.querySelector('.sheet [aria-invalid="true"]')?.focus();
  }, [state.problem]);
  const send = async () => {
    if (current.current.busy) return;
    setState({ problem: null, sending: true });
    try {
      const decision = decisionOf(verb, letter, current.current.draft);
      const done = await post(`/v1/letters/${encodeURIComponent(letter.id)}/decision`, decision);
      onDone({ ...done, first: true });
    } catch (problem) {
      if (problem.slug === "decided-before")
        return onDone({ ...problem.extra.first, first: false, wished: verb });
      setState({ problem: plain(problem), sending: false });
    }
    return undefined;
  };
  const forget = () => setState((old) => (old.problem ? { problem: null, sending: old.sending } : old));
  return { ...state, send, forget };
}
