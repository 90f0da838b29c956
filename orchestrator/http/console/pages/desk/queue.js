/* Which letters stand in the queue, kept true by announcements.

       const queue = useQueue(filter, "new" | "due", chosenId);
       queue.rows        letters, and for a while those that were just decided: {..., decided: {verb, by}}
       queue.total       how many wait (undefined until known); queue.more() reads older ones, if any
       queue.fresh       ids that came in while we looked
       queue.value, queue.problem, queue.again    as of useRead, for <Shown>
       queue.version     raised when counts are worth reading again
       queue.noteDecided(id, {verb, by})   what this page knows before it is announced

   An announcement says only that something changed: the first page is read again, at most once in
   GATHER_MS, and laid over what is there. So a burst of 500 letters costs a few readings. */

import { useCallback, useEffect, useMemo, useRef, useState } from "../../lib/hooks.js";
import { get, query, useRead } from "../../lib/api.js";
import { useEvents, useGathered } from "../../lib/live.js";

const PAGE = 50;
const PAGE_BY_DUE = 500; // The API lists by age; by due time, what is shown must be known whole.
const GATHER_MS = 700;
const DECIDED_SHOWN_MS = 8000;

export function useQueue(filter, sort, chosen) {
  const limit = sort === "due" ? PAGE_BY_DUE : PAGE;
  const path = `/v1/letters${query({ ...filter, limit })}`;
  const read = useRead(path);
  const [older, setOlder] = useState({ path, items: [], next: undefined });
  const [version, raise] = useState(0);
  const decided = useDecided(chosen);
  const again = useGathered(() => (read.again(), raise((n) => n + 1)), GATHER_MS);
  useEvents("/v1/events", ({ kind, data }) => {
    if (kind === "letter.decided" && data?.letter) decided.note(data.letter, data);
    if (kind.startsWith("letter.")) again();
  });
  const mine = older.path === path ? older : { path, items: [], next: undefined };
  const seen = useSeen(path, read.value, mine.items, decided, chosen);
  const rows = useMemo(() => (sort === "due" ? [...seen.rows].sort(byDue) : seen.rows), [seen.rows, sort]);
  const next = mine.next === undefined ? read.value?.next : mine.next;
  const more = useCallback(async () => {
    const page = await get(`${path}&cursor=${encodeURIComponent(next)}`);
    setOlder((old) => {
      const before = old.path === path ? old.items : [];
      return { path, items: [...before, ...page.items], next: page.next ?? null };
    });
  }, [path, next]);
  const noteDecided = useCallback((id, said) => (decided.note(id, said), again()), []);
  const total = read.value?.total;
  return { ...read, rows, fresh: seen.fresh, total, more: next ? more : null, version, noteDecided };
}

const byDue = (a, b) => (a.due_ms ?? Infinity) - (b.due_ms ?? Infinity) || b.filed_ms - a.filed_ms;

/* Letters that were decided while we looked: shown as such for a while, the open one until it is left. */
function useDecided(chosen) {
  const [known, setKnown] = useState(() => new Map());
  const timers = useRef(new Set());
  useEffect(() => () => timers.current.forEach(clearTimeout), []);
  const note = useCallback((id, { verb, by }) => {
    setKnown((old) => (old.has(id) ? old : new Map(old).set(id, { verb, by, gone: false })));
    const goes = () => setKnown((old) => new Map(old).set(id, { verb, by, gone: true }));
    timers.current.add(setTimeout(goes, DECIDED_SHOWN_MS));
  }, []);
  const stays = (id) => known.has(id) && (!known.get(id).gone || id === chosen);
  return { known, note, stays };
}

/* Lay what was read over what is shown. Rows that vanished stay in their places while they are told
   as decided; rows that came in are fresh. */
function useSeen(path, value, older, decided, chosen) {
  const last = useRef({ path: null, rows: [], ids: null });
  return useMemo(() => {
    const before = last.current.path === path ? last.current : { rows: [], ids: null };
    if (!value) return { rows: before.rows, fresh: new Set() };
    const rows = laid(before.rows, [...value.items, ...older], decided);
    const came = before.ids ? value.items.filter(({ id }) => !before.ids.has(id)) : [];
    const fresh = new Set(came.map(({ id }) => id));
    last.current = { path, rows, ids: new Set([...(before.ids ?? []), ...rows.map(({ id }) => id)]) };
    return { rows, fresh };
  }, [path, value, older, decided.known, chosen]);
}

function laid(before, items, decided) {
  const open = new Map();
  for (const item of items) if (!open.has(item.id) && !decided.known.has(item.id)) open.set(item.id, item);
  const ghosts = before.filter(({ id }) => !open.has(id) && decided.stays(id));
  const told = ghosts.map((row) => ({ ...row, decided: decided.known.get(row.id) }));
  return [...open.values(), ...told].sort((a, b) => b.filed_ms - a.filed_ms || (a.id < b.id ? 1 : -1));
}
