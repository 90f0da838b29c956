/* One letter: why it is here, what happens if nobody decides, what can be decided, and on what
   evidence. In that order, because that is the order in which a person asks.

       <${LetterPage} id=${id} next=${nextId} onMove=${(id) => ...} onDecided=${(id, {verb, by}) => ...} />

   The parts: decide.js (the verbs and their forms), editor.js (amend), evidence.js (what led here),
   bytes.js (a message's original), after.js (what became of the decision), words.js (all words). */

import { html, useEffect, useRef, useState } from "../lib/hooks.js";
import { useRead } from "../lib/api.js";
import { Ago, duration, moment, shortId, useNow } from "../lib/format.js";
import { useKeys } from "../lib/keys.js";
import { useEvents } from "../lib/live.js";
import { Badge, Copy, Empty, Icon, ProblemBox, Skeleton, Text } from "../lib/parts.js";
import { Link, useTitle } from "../lib/router.js";
import { After } from "./letter/after.js";
import { Decide } from "./letter/decide.js";
import { Evidence } from "./letter/evidence.js";
import { Question } from "./letter/question.js";
import { askOf, causeOf, fateOf, plainWhy } from "./letter/words.js";

export function LetterPage({ id, next, onMove, onDecided }) {
  const read = useRead(`/v1/letters/${encodeURIComponent(id)}`);
  const [mine, setMine] = useState(null); // What this page's own decision came to.
  useEffect(() => setMine(null), [id]);
  useEvents("/v1/events", ({ kind, data }) => kind.startsWith("letter.") && data?.letter === id && read.again());
  useKeys([next && { keys: "n", does: "next letter", run: () => onMove(next) }], "One letter");
  const done = (said) => {
    setMine(said);
    onDecided(id, said);
    read.again();
  };
  const letter = read.value;
  useTitle(letter ? `${causeOf(letter)} · Desk` : "Letter");
  useFocusOnTitle(id, Boolean(letter || read.problem));
  if (!letter) return html`<${Missing} id=${id} read=${read} />`;
  return html`<article class="letter" aria-labelledby="letter-title" data-testid="letter" data-letter=${id}>
    <${Head} letter=${letter} />
    ${read.problem && html`<${ProblemBox} problem=${read.problem} again=${read.again} stale=${true} />`}
    ${letter.state === "open" && !mine
      ? html`<${Open} key=${id} letter=${letter} onDone=${done} />`
      : html`<${After} key=${id} letter=${letter} mine=${mine} next=${next} onMove=${onMove} />`}
    <${Evidence} letter=${letter} />
  </article>`;
}

/* Whoever opens a letter hears its heading; whoever loads the page with one is left where they are. */
function useFocusOnTitle(id, there) {
  const opened = useRef(null);
  useEffect(() => {
    if (!there || opened.current === id) return;
    opened.current = id;
    if (document.activeElement !== document.body || cameFromHere)
      document.getElementById("letter-title")?.focus({ preventScroll: true });
    cameFromHere = true;
  }, [id, there]);
}

let cameFromHere = false;

function Missing({ id, read }) {
  if (!read.problem) return html`<div class="letter"><${Skeleton} lines=${9} /></div>`;
  if (read.problem.status !== 404)
    return html`<div class="letter"><${ProblemBox} problem=${read.problem} again=${read.again} /></div>`;
  return html`<div class="letter">
    <h1 id="letter-title" class="sr-only" tabindex="-1">No such letter</h1>
    <${Empty} icon="search" title="There is no such letter">
      <p>Nobody has filed <code>${id}</code>, or it was decided so long ago that only the task’s journal
        tells of it.</p>
      <p><${Link} to="/desk">See what waits<//></p>
    <//>
  </div>`;
}

function Head({ letter }) {
  const { id, task, agent, tenant, filed_ms: filed } = letter;
  return html`<header class="letter-head">
    <div class="letter-facts">
      <${Badge} state=${letter.kind} />
      ${agent && html`<span class="letter-fact">at <bdi>${agent}</bdi></span>`}
      ${tenant && tenant !== "default" && html`<span class="letter-fact">for <bdi>${tenant}</bdi></span>`}
      ${letter.cell && html`<span class="letter-fact">in ${letter.cell}</span>`}
      <span class="letter-fact muted">filed <${Ago} at=${filed} /></span>
      <span class="letter-ids">
        ${task && html`<${Link} to=${`/tasks/${encodeURIComponent(task)}`} class="letter-task">
          <${Icon} name="tasks" />Task <span class="mono">${shortId(task)}</span><//>`}
        <${Copy} text=${id} label="Copy the letter’s id" />
      </span>
    </div>
    <h1 id="letter-title" tabindex="-1" dir="auto">
      ${causeOf(letter)}.${letter.state === "open" && html` <span class="letter-ask">${askOf(letter)}</span>`}
    </h1>
    <${Said} letter=${letter} />
  </header>`;
}

/* What whoever filed it said, word for word; a question is what it is all about, so it is larger. */
function Said({ letter }) {
  const question = letter.story?.question ?? letter.question;
  if (question) return html`<${Question} text=${question.text} goal=${letter.story?.goals?.[0]} />`;
  const goal = letter.story?.goals?.[0];
  return html`
    ${goal && html`<p class="letter-goal">
      <span class="letter-label">Asked for</span><${Text} text=${goal} most=${260} />
    </p>`}
    <p class="letter-why"><span class="letter-label">Stopped by</span><${Text} text=${plainWhy(letter.why)} most=${320} /></p>
  `;
}

function Open({ letter, onDone }) {
  return html`
    <${Fate} letter=${letter} />
    <${Decide} letter=${letter} onDone=${onDone} />
  `;
}

const SOON_MS = 30 * 60_000;

function Fate({ letter }) {
  const now = useNow();
  const due = letter.due_ms;
  if (!due)
    return html`<p class="letter-fate"><${Icon} name="clock" />It has no due time: decide whenever you like.</p>`;
  const left = due - now;
  const within = html`within <time class="letter-due figure" datetime=${new Date(due).toISOString()}>
    ${duration(Math.floor(left / 1000) * 1000)}</time>`;
  return html`<p class=${`letter-fate ${left < SOON_MS ? "is-soon" : ""}`} data-testid="fate">
    <${Icon} name="clock" />
    <span>If nobody decides ${left > 0 ? within : "now"}, <strong>${fateOf(letter)}</strong>.
      <span class="muted letter-at"> ${moment(due)}</span></span>
  </p>`;
}
