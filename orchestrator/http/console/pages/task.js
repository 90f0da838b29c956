/* One task: where it stands, why it does not move, what it costs, and every decision about it.

   The record is read once and then told by the task's own stream, as are the lines of the journal;
   after a reconnect the stream begins at the first line again, and lines that are known are skipped. */

import { html, useCallback, useMemo, useRef, useState } from "../lib/hooks.js";
import { may, useRead } from "../lib/api.js";
import { Ago, Countdown, DIMENSIONS, confidence, moment, shortAmount, shortId } from "../lib/format.js";
import { Json, Result } from "../lib/json.js";
import { useKeys } from "../lib/keys.js";
import { useEvents, useGathered } from "../lib/live.js";
import { Badge, Copy, Empty, Facts, Icon, Meter, Page, ProblemBox, Skeleton, Text } from "../lib/parts.js";
import { Link, go, useTitle } from "../lib/router.js";
import { stopped } from "../lib/whys.js";
import { plainWhy } from "./letter/words.js";
import { AgainButton, CancelButton } from "./task/buttons.js";
import { Graph } from "./task/graph.js";
import { hops } from "./task/hops.js";
import { Timeline } from "./task/timeline.js";
import { ToCome } from "./task/to_come.js";

const GATHER_MS = 1500;
const FLUSH_MS = 60;
const GOAL_CHARS = 300;
const PIPS_MAX = 24;
const KEPT_SHOWN = 20;

export function Task({ id }) {
  const path = `/v1/tasks/${encodeURIComponent(id)}`;
  const read = useRead(path);
  const [task, notes] = useFollowed(read.value ? `${path}/events` : null, read);
  useTitle(task ? short(task.goal) : "Task");
  if (!task) return html`<${Page} title="Task" crumbs=${html`<${Crumbs} id=${id} />`}>
    ${read.problem?.status === 404
      ? html`<${Empty} icon="search" title="There is no such task">
          <p>It never was, it is another tenant's, or it ended so long ago that it was let go.</p>
          <${Link} to="/tasks" class="button">See all tasks<//><//>`
      : read.problem
        ? html`<${ProblemBox} problem=${read.problem} again=${read.again} />`
        : html`<${Skeleton} lines=${7} />`}
  <//>`;
  return html`<${Whole} task=${task} notes=${notes} />`;
}

const short = (goal) => (goal.length > 60 ? `${goal.slice(0, 60)}…` : goal);
const isFinal = (task) => ["completed", "partial", "aborted"].includes(task.state);

/* The newest of what was read and what was told; and the journal, line by line. */
function useFollowed(path, read) {
  const [told, setTold] = useState(null);
  const [notes, take] = useNotes();
  const soon = useGathered(read.again, GATHER_MS); // For `waits`, which the stream does not tell.
  useEvents(path, ({ kind, data, id }) => {
    if (kind === "note" && data) take({ ...data, n: data.n ?? Number(id) });
    if (kind !== "task" || !data) return;
    setTold(data);
    soon();
  });
  const known = read.value;
  const newer = told && known && told.version > known.version;
  return [known && (newer ? { ...known, ...told } : known), notes];
}

/* Lines come one by one, and hundreds at once at first: they are drawn together. */
function useNotes() {
  const [notes, setNotes] = useState([]);
  const lines = useRef(new Map()).current;
  const soon = useGathered(() => setNotes([...lines.values()].sort((a, b) => a.n - b.n)), FLUSH_MS);
  const take = useCallback((note) => (lines.set(note.n, note), soon()), []);
  return [notes, take];
}

function Whole({ task, notes }) {
  const [chosen, choose] = useState(null);
  const nodes = useMemo(() => hops(notes, task.request), [notes, task.request]);
  const over = isFinal(task);
  const letter = task.letter && `/desk/${encodeURIComponent(task.letter)}`;
  useKeys(
    [
      { keys: "u", does: "back to all tasks", run: () => go("/tasks") },
      letter && { keys: "l", does: "open its letter", run: () => go(letter) },
      chosen !== null && { keys: "Escape", does: "show all lines", run: () => choose(null) },
    ],
    "Task",
  );
  return html`<${Page}
    class="task"
    title=${html`<${Text} text=${task.goal} most=${GOAL_CHARS} />`}
    crumbs=${html`<${Crumbs} id=${task.id} />`}
    actions=${may("submit") && (over ? html`<${AgainButton} task=${task} />` : html`<${CancelButton} task=${task} />`)}
  >
    <${Standing} task=${task} />
    ${letter && html`<${Waiting} letter=${letter} notes=${notes} />`}
    <${Waits} task=${task} />
    <${Outcome} task=${task} />
    <div class="task-figures">
      <section class="card" aria-label="Budget"><h2>Budget</h2><${Budget} ledger=${task.ledger} /></section>
      <section class="card" aria-label="Caps"><h2>Caps</h2><${Caps} task=${task} /></section>
    </div>
    <section class="card" aria-label="Hops">
      <div class="card-head"><h2>Hops</h2>
        <span class="muted">${nodes.length ? "Choose a subtask to see its lines only" : ""}</span></div>
      ${nodes.length
        ? html`<${Graph} nodes=${nodes} chosen=${chosen} choose=${choose} over=${over} />`
        : html`<p class="muted">No message has gone out yet.</p>`}
    </section>
    ${!over && html`<${ToCome} task=${task} />`}
    <${Timeline} notes=${notes} start=${task.accepted_ms} only=${chosen} showAll=${() => choose(null)} />
    <${Kept} task=${task} />
    <details class="card more"><summary>What was submitted</summary>
      <div class="json"><${Json} value=${task.request} /></div></details>
  <//>`;
}

const Crumbs = ({ id }) => html`<${Link} to="/tasks">Tasks<//> / <span class="mono">${shortId(id)}</span>`;

function Standing({ task }) {
  const labels = Object.entries(task.labels ?? {});
  return html`<div class="standing">
    <${Badge} state=${task.state} />
    ${task.stop_reason && html`<span><span class="muted">because</span> <strong><${Text} text=${stopped(task.stop_reason)} /></strong></span>`}
    ${task.state === "working" || task.state === "submitted" ? html`<${Countdown} to=${task.deadline_ms} past="deadline passed" />` : null}
    ${task.confidence !== null && html`<span><span class="muted">confidence</span> <strong class="figure">${confidence(task.confidence)}</strong></span>`}
    <span class="muted">submitted <${Ago} at=${task.accepted_ms} /></span>
    <span class="muted">for <span dir="auto">${task.tenant}</span>${task.cell && ` in ${task.cell}`}</span>
    ${labels.map(([name, value]) => html`<span key=${name} class="label muted" dir="auto">${name}: ${value}</span>`)}
    <span class="standing-id"><span class="mono muted">${task.id}</span><${Copy} text=${task.id} label="Copy the task's id" /></span>
  </div>`;
}

function Waiting({ letter, notes }) {
  const last = notes.findLast((note) => note.why === "escalate");
  return html`<section class="call" aria-label="Waits for a person">
    <${Icon} name="person" />
    <div><strong>This task waits for a person.</strong>
      ${last && html`<div><${Text} text=${plainWhy(last.text)} most=${500} /></div>`}</div>
    <${Link} to=${letter} class="button calls">${may("decide") ? "Decide" : "See the letter"}<${Icon} name="right" /><//>
  </section>`;
}

function Waits({ task }) {
  if (!task.waits?.length || task.letter || isFinal(task)) return null;
  return html`<section class="waits" aria-label="Why it does not move"><${Icon} name="clock" />
    <div><strong>Why it does not move</strong>
      <ul>${task.waits.map((each) => html`<li key=${each} dir="auto">It waits ${each}</li>`)}</ul></div>
  </section>`;
}

function Outcome({ task }) {
  if (!isFinal(task)) return null;
  if (task.result === null || task.result === undefined) {
    return html`<section class="card"><h2>Result</h2><p class="muted">Nothing was delivered: ${stopped(task.stop_reason)}.</p></section>`;
  }
  return html`<section class="card" aria-label="Result"><h2>Result</h2><${Result} value=${task.result} /></section>`;
}

function Budget({ ledger }) {
  const bounded = DIMENSIONS.filter(({ name }) => (ledger.ceiling[name] ?? null) !== null);
  return html`<div class="stack">
    ${bounded.map(({ name }) => html`<div key=${name} class="stack close">
      <${Meter} ledger=${ledger} name=${name} />
      <ul class="legend figure">
        ${parts(ledger, name).map(([word, look, n]) => html`<li key=${word}>
          <span class=${`swatch ${look}`} />${word} <strong>${shortAmount(name, n)}</strong></li>`)}
      </ul>
    </div>`)}
  </div>`;
}

function parts({ ceiling, spent, reserved, ending }, name) {
  const [most, out, held, kept] = [ceiling, spent, reserved, ending].map((each) => each[name] ?? 0);
  return [
    ["spent", "meter-spent", out],
    ["reserved", "meter-reserved", held],
    ["free", "is-free", Math.max(0, most - out - held - kept)],
    ["for the ending", "is-ending", kept],
  ];
}

function Caps({ task }) {
  return html`<div class="stack">
    <div class="pips-row"><span><strong class="figure">${task.hop}</strong> of ${task.hops_max} hops</span>
      <${Pips} n=${task.hop} most=${task.hops_max} /></div>
    <${Facts} pairs=${[
      ["Subtasks", `${task.subtasks} of ${task.subtasks_max}`],
      ["Re-plans", `${task.replans} of ${task.request?.replans_max ?? "…"}`],
      ["Plan in force", `#${task.plan_number + 1}`],
      ["Deadline", task.letter ? "stands still on the desk" : moment(task.deadline_ms)],
    ]} />
  </div>`;
}

function Pips({ n, most }) {
  if (most > PIPS_MAX) return null;
  return html`<span class="pips" aria-hidden="true">
    ${Array.from({ length: most }, (_, at) => html`<span key=${at} class=${at < n ? "pip is-on" : "pip"} />`)}</span>`;
}

function Kept({ task }) {
  const [most, setMost] = useState(KEPT_SHOWN);
  const kept = Object.entries(task.kept ?? {});
  if (!kept.length) return null;
  return html`<section class="card" aria-label="What is kept"><div class="card-head"><h2>What is kept</h2>
      <span class="muted">The best that each step has produced</span></div>
    <div class="kept">
      ${kept.slice(0, most).map(([step, one]) => html`<details key=${step} class="more" open=${kept.length === 1 && !isFinal(task)}>
        <summary><strong>${step}</strong><span class="muted">${one.agent}</span>
          <${Badge} state=${one.final ? "success" : "partial"} /><span class="figure">${confidence(one.confidence)}</span></summary>
        <${Result} value=${one.result} />
      </details>`)}
    </div>
    ${kept.length > most && html`<button type="button" class="button" onClick=${() => setMost(most + 500)}>
      Show ${kept.length - most} more steps</button>`}
  </section>`;
}
