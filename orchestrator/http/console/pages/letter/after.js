/* After the decision: who said what, what became of the task (live until it has ended), what next. */

import { html, useEffect, useRef, useState } from "../../lib/hooks.js";
import { useRead } from "../../lib/api.js";
import { Ago, amounts, moment } from "../../lib/format.js";
import { useEvents } from "../../lib/live.js";
import { Badge, Copy, Icon, Text } from "../../lib/parts.js";
import { Link } from "../../lib/router.js";
import { isOurs, useDraft } from "./drafts.js";
import { doneOf, isMessage, whoOf, wordOf } from "./words.js";

const FINAL = new Set(["completed", "partial", "aborted"]);

export function After({ letter, mine, next, onMove }) {
  const ours = useOurs(letter, mine);
  const first = mine ? mine.first : ours || null;
  const place = useFocusCaught();
  const said = saidOf(letter, mine);
  return html`<section
    class=${`after ${first === false ? "is-late" : ""}`}
    role="status"
    data-testid="after"
    aria-label="The decision"
    tabindex="-1"
    ref=${place}
  >
    <p class="after-said">
      <${Icon} name=${first === false ? "warn" : "completed"} />
      <span>
        ${sentence(first, said)}
        ${said.at && html` <span class="muted" title=${moment(said.at)}>· <${Ago} at=${said.at} /></span>`}
      </span>
    </p>
    ${said.why && html`<p class="after-why"><${Text} text=${said.why} most=${500} /></p>`}
    ${letter.said && html`<p class="after-why muted"><${Text} text=${letter.said} most=${500} /></p>`}
    ${first !== true && html`<${Unsent} id=${letter.id} wished=${mine?.wished} />`}
    ${letter.task && !isMessage(letter) && html`<${Task} id=${letter.task} letter=${letter.id} />`}
    <div class="after-foot">
      ${next
        ? html`<button type="button" class="button primary" data-testid="next-letter"
            onClick=${() => onMove(next)}>Next letter<kbd aria-hidden="true">n</kbd></button>`
        : html`<${Link} to="/desk" class="button">Back to the desk<//>`}
      ${letter.task &&
      html`<${Link} to=${`/tasks/${encodeURIComponent(letter.task)}`} class="button quiet">See the task<//>`}
    </div>
  </section>`;
}

/* Ours, though the answer to it never came: then what was typed has done its work. Where an answer
   came, it knows better: two decisions can differ in nothing but what was typed. */
function useOurs({ id, verb, by, decided_why: why }, mine) {
  const [draft, , drop] = useDraft(id);
  const [ours] = useState(() => mine?.first !== false && isOurs({ verb, by, why }, draft.verb, draft));
  useEffect(() => void (ours && drop()), [ours]);
  return ours;
}

/* The letter's own record, and until that has been read again what the server said to us. */
function saidOf(letter, mine) {
  return {
    verb: letter.verb || mine?.verb,
    by: letter.by || mine?.by,
    why: letter.decided_why || mine?.why,
    at: letter.decided_ms ?? mine?.decided_ms,
  };
}

/* Whoever was typing when somebody else decided is led here, not left nowhere. */
function useFocusCaught() {
  const place = useRef(null);
  useEffect(() => {
    if (document.activeElement === document.body) place.current.focus({ preventScroll: true });
    place.current.scrollIntoView({ block: "nearest" });
  }, []);
  return place;
}

/* What was typed and came too late is not thrown away unasked. */
function Unsent({ id, wished }) {
  const [draft, , drop] = useDraft(id);
  const typed = [draft.why, draft.answer, draft.text].filter(Boolean).join("\n\n");
  if (!wished && !draft.touched) return null;
  return html`<div class="after-mine">
    <span>Your “${wordOf(wished ?? draft.verb)}” changed nothing.${typed && " You had typed:"}</span>
    ${typed && html`<span class="after-typed"><${Text} text=${typed} most=${300} /></span>
      <span class="row"><${Copy} text=${typed} label="Copy what I typed" />
        <button type="button" class="button quiet small" onClick=${drop}>Throw it away</button></span>`}
  </div>`;
}

function sentence(first, { verb, by }) {
  const who = html`<strong><bdi>${whoOf(by)}</bdi></strong>`;
  if (first === true) return html`You <strong>${doneOf(verb)}</strong> this.`;
  if (first === false) return html`${who} was first: it is <strong>${doneOf(verb)}</strong> already.`;
  return html`It was <strong>${doneOf(verb)}</strong> by ${who}.`;
}

/* The task as it is now, and again after each change, until it has ended. */
function Task({ id, letter }) {
  const path = `/v1/tasks/${encodeURIComponent(id)}`;
  const read = useRead(path);
  const ended = FINAL.has(read.value?.state);
  const followed = read.value && !ended ? `${path}/events` : null;
  useEvents(followed, ({ kind }) => ["task", "end"].includes(kind) && read.again());
  const task = read.value;
  const waits = read.problem?.message ?? "Looking what the task does…";
  if (!task) return html`<p class="after-task muted">${waits}</p>`;
  const goesOn = !ended && task.state !== "on_desk";
  return html`<p class="after-task" data-testid="task-state" data-state=${task.state}>
    <span class="muted">The task is</span> <${Badge} state=${task.state} />
    <span class="muted">
      hop ${task.hop} of ${task.hops_max}, ${amounts(task.ledger.spent)} spent
      ${goesOn && "; this line follows it until it has ended"}
    </span>
    ${task.letter &&
    task.letter !== letter &&
    html`<${Link} to=${`/desk/${encodeURIComponent(task.letter)}`}>It asks again<//>`}
  </p>`;
}
