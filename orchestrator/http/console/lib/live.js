/* What the server announces, over one EventSource per stream that all pages share.

       useEvents("/v1/events", (event) => { if (event.kind === "letter.filed") letters.again(); });
       useEvents(id && `/v1/tasks/${id}/events`, ({ kind, data }) => ...);     // null: listen to none

   event.kind is the event's name ("task", "note", "task.ended", "letter.filed" ...), event.data its
   parsed JSON, event.id its id or "". All kinds that are listened for stand in KINDS.

   `useCell(liveness)` is "live", "connecting", "reconnecting" or "away" (our server is there, but it
   cannot reach Redis). The header shows it. Where a deployment has several cells, one that is away
   is named in `useCell(cellsAway)`, and the others are live.

       const soon = useGathered(tasks.again, 1000);     // called often, it runs at most once a second

   A stream that breaks comes back by itself, with back-off. Then `epoch` (api.js) is raised, and
   everything that useRead shows is read again: what was announced meanwhile is not missed, and a
   page that stays open over a restart of the server heals without being touched. The same is done
   once the first stream stands.

   A page in the background gives its streams up soon: a browser has six connections to a
   server for all its tabs, and forgotten tabs would take them all. */

import { useCallback, useEffect, useRef } from "../vendor/preact.js";
import { epoch, session, whoAmI } from "./api.js";
import { cell } from "./cell.js";

export const liveness = cell("connecting");
const NONE = [];
export const cellsAway = cell(NONE);

const KINDS = [
  ...["task.accepted", "task.ended", "letter.filed", "letter.decided"],
  ...["task", "note", "end", "gap", "away", "back"],
];
const FIRST_MS = 500;
const LONGEST_MS = 10000;
const HIDDEN_MS = 2000;

const streams = new Map(); // path -> stream

export function useEvents(path, listener) {
  const current = useRef(listener);
  current.current = listener;
  useEffect(() => {
    if (!path) return undefined;
    return listen(path, (event) => current.current(event));
  }, [path]);
}

/* Announcements come in bursts: run once for all of them, the last one included. */
export function useGathered(run, everyMs) {
  const it = useRef({ timer: null, run }).current;
  it.run = run;
  useEffect(() => () => clearTimeout(it.timer), []);
  return useCallback(() => {
    it.timer ??= setTimeout(() => {
      it.timer = null;
      it.run();
    }, everyMs);
  }, []);
}

export function listen(path, listener) {
  const stream = streams.get(path) ?? opened(path);
  stream.listeners.add(listener);
  return () => {
    stream.listeners.delete(listener);
    if (stream.listeners.size === 0) forget(stream);
  };
}

function opened(path) {
  const stream = { path, listeners: new Set(), state: "connecting", tries: 0, broken: false };
  streams.set(path, stream);
  if (!document.hidden) connect(stream);
  return stream;
}

function forget(stream) {
  disconnect(stream);
  streams.delete(stream.path);
  judge();
}

function connect(stream) {
  disconnect(stream);
  const source = new EventSource(stream.path);
  stream.source = source;
  source.onopen = () => isBack(stream);
  source.onerror = () => broke(stream);
  for (const kind of KINDS) source.addEventListener(kind, (event) => heard(stream, kind, event));
}

function disconnect(stream) {
  clearTimeout(stream.timer);
  stream.source?.close();
  stream.source = null;
}

function isBack(stream) {
  // A page reads before its first stream stands: what came in between was announced to nobody.
  const first = stream.path === "/v1/events" && stream.state === "connecting";
  const missed = stream.broken || first;
  Object.assign(stream, { state: "live", tries: 0, broken: false });
  if (stream.path === "/v1/events") cellsAway.set(NONE); // Those that still are, are told of at once.
  judge();
  if (missed) epoch.set((n) => n + 1);
}

/* The browser's own retry gives up for good on an answer that is no stream, as a proxy gives while
   the server restarts; so every retry is ours. */
function broke(stream) {
  disconnect(stream);
  Object.assign(stream, { state: "reconnecting", broken: true, tries: stream.tries + 1 });
  judge();
  const most = Math.min(LONGEST_MS, FIRST_MS * 2 ** (stream.tries - 1));
  stream.timer = setTimeout(() => retry(stream), most * (0.5 + Math.random() / 2));
}

/* An EventSource does not say why it was refused: ask whether we are still logged in. If so, the
   answer connects every stream that the page has by then (below). */
async function retry(stream) {
  try {
    await whoAmI();
  } catch {
    if (streams.get(stream.path) === stream) broke(stream); // Nobody answers yet: wait longer.
  }
}

function heard(stream, kind, event) {
  if (kind === "away" || kind === "back") return weather(stream, kind, parsed(event.data)?.cells);
  if (kind === "gap") return epoch.set((n) => n + 1);
  if (kind === "end") ended(stream);
  const told = { kind, id: event.lastEventId, data: parsed(event.data) };
  for (const listener of [...stream.listeners]) listener(told);
  return undefined;
}

/* Nothing comes any more: the task is final. The server would only say everything once more. */
function ended(stream) {
  stream.over = true;
  disconnect(stream);
}

function weather(stream, kind, cells) {
  if (cells) {
    const others = cellsAway.value.filter((each) => !cells.includes(each));
    cellsAway.set(kind === "away" ? [...others, ...cells].sort() : others);
  } else {
    stream.state = kind === "away" ? "away" : "live";
    judge();
  }
  if (cells || kind === "back") epoch.set((n) => n + 1);
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null; // A hint without content.
  }
}

function judge() {
  const states = new Set([...streams.values()].map((stream) => stream.state));
  const worst = ["away", "reconnecting", "connecting"].find((state) => states.has(state));
  liveness.set(worst ?? (states.size ? "live" : "connecting"));
}

let resting;
document.addEventListener("visibilitychange", () => {
  clearTimeout(resting);
  if (document.hidden) resting = setTimeout(rest, HIDDEN_MS);
  else wake();
});

function rest() {
  for (const stream of streams.values()) {
    disconnect(stream);
    stream.broken = !stream.over;
  }
}

function wake() {
  for (const stream of streams.values()) if (!stream.source && !stream.over) connect(stream);
}

session.watch((who) => {
  if (who && !document.hidden) wake();
});
