/* All tasks: which there are, where each stands, and what it has cost. */

import { html, useEffect, useMemo, useRef, useState } from "../lib/hooks.js";
import { may, session, useRead } from "../lib/api.js";
import { useCell } from "../lib/cell.js";
import { useCellNames } from "../lib/cells.js";
import { Ago, Countdown, count, shortId } from "../lib/format.js";
import { useKeys } from "../lib/keys.js";
import { Badge, Empty, Icon, Page, Shown, Skeleton, Table, Tabs, Tightest } from "../lib/parts.js";
import { Link, go, useQuery, useTitle } from "../lib/router.js";
import { overview } from "../lib/shell.js";
import { stopped } from "../lib/whys.js";
import { isFinal, useTasks } from "./tasks/list.js";
import { NewTask } from "./tasks/new.js";

const FILTERS = [
  ["", "All"],
  ["open", "Open"],
  ["on_desk", "On the desk"],
  ["completed", "Completed"],
  ["partial", "Partial"],
  ["aborted", "Aborted"],
];
const SCROLLED_PX = 60;
const GOAL_CHARS = 300; // More than the two lines that are shown of it.

const COLUMNS = [
  { key: "goal", title: "Goal", main: true, cell: (task) => html`<${Goal} task=${task} />` },
  { key: "state", title: "State", bare: true, cell: (task) => html`<${Badge} state=${task.state} />` },
  { key: "spend", title: "Spent", bare: true, cell: (task) => html`<${Tightest} ledger=${task.ledger} />` },
  { key: "hops", title: "Hops", end: true, small: true, cell: (task) => `${task.hop}/${task.hops_max}` },
  { key: "steps", title: "Steps", end: true, small: true, cell: (task) => `${task.steps_done}/${task.steps}` },
  { key: "age", title: "Age", end: true, small: true, cell: (task) => html`<${Ago} at=${task.accepted_ms} bare=${true} />` },
  { key: "end", title: "End", end: true, small: true, cell: (task) => html`<${Ends} task=${task} />` },
];

export function Tasks() {
  useTitle("Tasks");
  const [wanted, want] = useQuery();
  const [chosen, choose] = useState(null);
  const [making, setMaking] = useState(false);
  const chosenNow = useRef(null);
  chosenNow.current = chosen;
  const still = () => chosenNow.current !== null || window.scrollY > SCROLLED_PX;
  const list = useTasks({ state: wanted.state, tenant: wanted.tenant, cell: wanted.cell }, still);
  const shown = useMemo(() => matching(list.rows, wanted.text), [list.rows, wanted.text]);
  useEffect(() => choose(null), [wanted.state, wanted.tenant, wanted.cell, wanted.text]);
  useRowKeys(shown, chosen, choose, () => may("submit") && setMaking(true));
  const make = may("submit") && html`<button type="button" class="button primary" onClick=${() => setMaking(true)}>
    <${Icon} name="plus" />New task</button>`;
  return html`<${Page} title="Tasks" class="tasks" actions=${make}>
    <${Filters} wanted=${wanted} want=${want} rows=${list.rows} />
    <div class="card flush">
      <${Fresh} count=${list.fresh} letIn=${list.letIn} />
      <${Shown} read=${list.read} skeleton=${html`<div class="padded"><${Skeleton} lines=${8} /></div>`}
        empty=${() => !shown.length && html`<${Nothing} wanted=${wanted} want=${want} make=${make} list=${list} />`}>
        ${() => html`<${Table} caption="Tasks, newest first" columns=${COLUMNS} rows=${shown}
          rowKey=${(task) => task.id} href=${(task) => `/tasks/${task.id}`} chosen=${chosen} />`}
      <//>
    </div>
    ${shown.length > 0 && !list.end && html`<div class="row center">
      <button type="button" class="button" onClick=${list.more}>Show older tasks</button>
    </div>`}
    ${making && html`<${NewTask} onClose=${() => setMaking(false)} />`}
  <//>`;
}

function Goal({ task }) {
  const labels = Object.entries(task.labels ?? {}).slice(0, 4);
  return html`<span class="goal">
    <span class="goal-text" dir="auto">${task.goal.slice(0, GOAL_CHARS)}</span>
    <span class="goal-more">
      <span class="mono">${shortId(task.id)}</span>
      <span dir="auto">${task.tenant}</span>
      ${task.cell && html`<span>in ${task.cell}</span>`}
      ${labels.map(([name, value]) => html`<span key=${name} class="label" dir="auto">${name}: ${value}</span>`)}
    </span>
  </span>`;
}

function Ends({ task }) {
  if (isFinal(task)) return html`<span class="muted clip">${stopped(task.stop_reason)}</span>`;
  if (task.state === "on_desk") return html`<span class="muted">stands still</span>`;
  return html`<${Countdown} to=${task.deadline_ms} />`;
}

function Filters({ wanted, want, rows }) {
  const figures = useCell(overview);
  const tabs = FILTERS.map(([id, word]) => ({ id, word, count: figures?.[id] }));
  return html`<div class="filters">
    <${Tabs} label="State" tabs=${tabs} chosen=${wanted.state ?? ""} onChoose=${(state) => want({ state })} />
    <div class="row">
      <${Tenants} wanted=${wanted} want=${want} rows=${rows} />
      <${Cells} wanted=${wanted} want=${want} />
      <label class="search">
        <span class="sr-only">Search the goals and labels of the tasks shown</span>
        <${Icon} name="search" />
        <input id="search" class="input" type="search" placeholder="Goal, label or id" value=${wanted.text ?? ""}
          onInput=${(event) => want({ text: event.target.value })}
          onKeyDown=${(event) => event.key === "Escape" && event.target.blur()} />
      </label>
    </div>
  </div>`;
}

function Tenants({ wanted, want, rows }) {
  const who = useCell(session);
  const tenants = useRead(who.tenant ? null : "/v1/tenants");
  const names = new Set([
    ...(tenants.value?.items ?? []).map((each) => each.name),
    ...(rows ?? []).map((task) => task.tenant),
    ...(wanted.tenant ? [wanted.tenant] : []),
  ]);
  if (who.tenant || (names.size < 2 && !wanted.tenant)) return null; // What is chosen can be taken back.
  return html`<select class="input tenants" aria-label="Tenant" value=${wanted.tenant ?? ""}
    onChange=${(event) => want({ tenant: event.target.value })}>
    <option value="">All tenants</option>
    ${[...names].sort().map((name) => html`<option key=${name} value=${name}>${name}</option>`)}
  </select>`;
}

/* Only where there are several. */
function Cells({ wanted, want }) {
  const names = useCellNames(wanted.cell);
  if (!names.length) return null;
  return html`<select class="input tenants" aria-label="Cell" value=${wanted.cell ?? ""}
    onChange=${(event) => want({ cell: event.target.value })}>
    <option value="">All cells</option>
    ${names.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}
  </select>`;
}

function Fresh({ count: n, letIn }) {
  return html`<div role="status" class="fresh-place">${n > 0 && html`<button type="button" class="fresh" onClick=${letIn}>
    ${count(n)} new ${n === 1 ? "task" : "tasks"}: show
  </button>`}</div>`;
}

const AN_ID = /^[0-9a-f]{20}$/;

function Nothing({ wanted, want, make, list }) {
  if (wanted.state || wanted.tenant || wanted.cell || wanted.text) {
    const id = (wanted.text ?? "").trim();
    const more = wanted.text && !list.end;
    const looked = more ? `None of the ${count(list.rows.length)} newest tasks, which were read, matches.` : "";
    return html`<${Empty} icon="search" title="No task fits">
      <p>${looked || "Nothing matches what you ask for."}</p>
      ${AN_ID.test(id) && html`<${Link} to=${`/tasks/${id}`} class="button primary">Open task ${shortId(id)}<//>`}
      ${more && html`<button type="button" class="button" onClick=${list.more}>Look through older tasks</button>`}
      <button type="button" class="button" onClick=${() => want({ state: "", tenant: "", cell: "", text: "" })}>Show all tasks</button>
    <//>`;
  }
  return html`<${Empty} icon="tasks" title="No tasks yet">
    <p>Submit one here, by the API, or with <code>buckstop submit --help</code>.</p>
    ${make}
  <//>`;
}

function matching(rows, text) {
  const words = (text ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  return (rows ?? []).filter((task) => {
    const labels = Object.entries(task.labels ?? {}).flat();
    const all = [task.id, task.goal, task.tenant, ...labels].join(" ").toLowerCase();
    return words.every((word) => all.includes(word));
  });
}

function useRowKeys(rows, chosen, choose, make) {
  const move = (by) => {
    const place = rows.findIndex((task) => task.id === chosen);
    const next = rows[Math.min(rows.length - 1, Math.max(0, place + by))];
    if (!next) return;
    choose(next.id);
    document.querySelector(`tr[data-key="${next.id}"]`)?.scrollIntoView({ block: "nearest" });
  };
  useKeys(
    [
      { keys: "j", does: "next task", run: () => move(1) },
      { keys: "k", does: "task before", run: () => move(-1) },
      { keys: "Enter", does: "open the task", run: () => chosen && go(`/tasks/${chosen}`) },
      { keys: "Escape", does: "choose none", run: () => choose(null) },
      { keys: "/", does: "search", run: () => document.querySelector("#search")?.focus() },
      { keys: "n", does: "new task", run: make },
    ],
    "Tasks",
  );
}
