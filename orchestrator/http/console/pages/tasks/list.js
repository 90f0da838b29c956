/* The list of tasks that stays still while it lives.

       const list = useTasks({ state: "on_desk", tenant: "" });
       list.rows      summaries, newest first; undefined until the first reading
       list.fresh     how many new ones wait to be let in; list.letIn() does
       list.more()    reads the next page; list.end says that there is none

   Somebody who reads a list must not have it move under the eyes. So a row that is shown stays where
   it is and changes in place, even when its new state is not the one that was asked for; and new
   tasks come in at the top only while nobody has scrolled or chosen a row (`still()` says whether they have). */

import { useCallback, useEffect, useRef, useState } from "../../lib/hooks.js";
import { epoch, get, query } from "../../lib/api.js";
import { useEvents, useGathered } from "../../lib/live.js";

const PAGE = 50;
const PAGE_MAX = 500;
const GATHER_MS = 700;
const LOOKED_UP_MAX = 10; // Rows that left the filter, looked at one by one each time.
const NOTHING = { rows: undefined, held: [], next: null, problem: null, busy: false };

export function useTasks(wanted, still) {
  const [state, setState] = useState(NOTHING);
  const now = useRef(null);
  const key = query(wanted);
  now.current = { key, state };
  const first = useCallback(() => read(now, setState, wanted), [key]);
  useEffect(() => {
    setState(NOTHING);
    first();
    return epoch.watch(() => refresh(now, setState, wanted, still));
  }, [key]);
  const soon = useGathered(() => refresh(now, setState, wanted, still), GATHER_MS);
  useEvents("/v1/events", ({ kind }) => kind.startsWith("task") && soon());
  return {
    rows: state.rows,
    fresh: state.held.length,
    end: !state.next,
    read: { value: state.rows, problem: state.problem, again: first },
    more: () => more(now, setState, wanted),
    letIn: () => setState((old) => ({ ...old, rows: [...old.held, ...old.rows], held: [] })),
  };
}

/* Answers of an earlier filter come too late, and are dropped. */
async function asked(now, wanted, fields) {
  const before = now.current.key;
  const page = await get(`/v1/tasks${query({ ...wanted, ...fields })}`);
  return now.current.key === before ? page : null;
}

async function read(now, setState, wanted) {
  try {
    const page = await asked(now, wanted, { limit: PAGE });
    if (page) setState({ ...NOTHING, rows: page.items.map(row), next: page.next });
  } catch (problem) {
    setState((old) => ({ ...old, problem }));
  }
}

async function more(now, setState, wanted) {
  try {
    const page = await asked(now, wanted, { limit: PAGE, cursor: now.current.state.next });
    if (!page) return;
    setState((old) => ({ ...old, rows: joined(old.rows, page.items.map(row)), next: page.next }));
  } catch (problem) {
    setState((old) => ({ ...old, problem }));
  }
}

async function refresh(now, setState, wanted, still) {
  const { rows } = now.current.state;
  if (!rows) return read(now, setState, wanted);
  const limit = Math.min(PAGE_MAX, Math.max(PAGE, rows.length));
  try {
    const page = await asked(now, wanted, { limit });
    if (!page) return undefined;
    const seen = new Map(page.items.map((item) => [item.id, row(item)]));
    for (const gone of await lookedUp(rows, seen, page)) seen.set(gone.id, gone);
    if (now.current.key === query(wanted)) setState((old) => merged(old, page, seen, still()));
  } catch (problem) {
    setState((old) => ({ ...old, problem }));
  }
  return undefined;
}

/* Rows that are shown and are not in the answer have changed their state: see which they are in. One
   that cannot be looked up, for it was purged or its cell is away, stays as it was. */
function lookedUp(rows, seen, page) {
  const oldest = page.items.at(-1)?.accepted_ms ?? 0;
  const gone = rows.filter((each) => !seen.has(each.id) && each.accepted_ms >= oldest && !isFinal(each));
  const looks = gone.slice(0, LOOKED_UP_MAX).map((each) => get(`/v1/tasks/${each.id}`).then(row, () => each));
  return Promise.all(looks);
}

function merged(old, page, seen, still) {
  if (!old.rows) return old;
  const rows = old.rows.map((each) => seen.get(each.id) ?? each);
  const known = new Set(rows.map((each) => each.id));
  const newest = rows[0]?.accepted_ms ?? 0;
  const fresh = page.items.filter((item) => !known.has(item.id) && item.accepted_ms >= newest).map(row);
  const next = old.rows.length ? old.next : page.next;
  if (still && rows.length) return { ...old, rows, held: fresh, next, problem: null };
  return { ...old, rows: [...fresh, ...rows], held: [], next, problem: null };
}

const joined = (rows, others) => {
  const known = new Set(rows.map((each) => each.id));
  return [...rows, ...others.filter((each) => !known.has(each.id))];
};

export const isFinal = (task) => ["completed", "partial", "aborted"].includes(task.state);

/* A whole task as the list shows it: its steps counted. */
function row(task) {
  if (!Array.isArray(task.steps)) return task;
  const done = task.steps.filter((step) => step.phase === "done").length;
  return { ...task, steps: task.steps.length, steps_done: done };
}
