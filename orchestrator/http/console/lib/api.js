/* Talk to the HTTP API: JSON in, JSON out, and every failure a Problem that can be shown.

   Read in a page, with all that goes with it (first load, errors, reading again after a restart):

       const tasks = useRead(`/v1/tasks${query({ state: "on_desk", limit: 50 })}`);
       tasks.value      what was read last, kept while it is read again; undefined at first
       tasks.problem    why the last reading failed; null when it did not
       tasks.again()    read again (live.js calls it after every reconnect by itself)
       useRead(null)    reads nothing: for a page that does not know yet what to read

   Write, from an event of the user:

       try { await post(`/v1/tasks/${id}/cancel`, { why }); toast("Asked to stop."); }
       catch (problem) { setProblem(problem); }        // and <${ProblemBox} problem=${problem} />

   A Problem has status, slug ("refused", "forbidden", "decided-before" ...), message, field, errors,
   retry_s, and `extra` with whatever else the server said. slug "away" also stands for a server
   that does not answer at all.

   Who is logged in: `useCell(session)`: undefined while that is not known, null for nobody, else
   {name, scopes, tenant, csrf}. `may("decide")` says whether the session's scopes hold one.

   The clock: all times of the API are the server's; serverNow() is what its clock says now. */

import { useCallback, useEffect, useRef, useState } from "../vendor/preact.js";
import { cell } from "./cell.js";

export const session = cell(undefined);

// Whether somebody was logged in until the server knew them no more: then the door says so.
export const ended = cell(false);

// Raised to have everything that is shown read again: after a reconnect, and after a login.
export const epoch = cell(0);

// The Date header has whole seconds; a skew below this says nothing about the clocks.
const SKEW_MIN_MS = 2000;
let skewMs = 0;

export const serverNow = () => Date.now() + skewMs;

export class Problem extends Error {
  constructor(status, body, retryS) {
    const { type = "", title, detail, field, errors, instance, status: _, ...extra } = body;
    super(detail || title || `The server answered ${status}.`);
    Object.assign(this, { status, title, field, errors, instance, extra, retry_s: retryS });
    this.slug = type.split(":").pop() || "unknown";
  }
}

export const get = (path, options) => send("GET", path, undefined, options);
export const post = (path, body = {}, options) => send("POST", path, body, options);
export const del = (path, options) => send("DELETE", path, undefined, options);

export function query(fields) {
  const given = Object.entries(fields).filter(([, v]) => v !== undefined && v !== null && v !== "");
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

async function send(method, path, body, { headers = {}, signal } = {}) {
  const all = { Accept: "application/json", ...headers };
  if (body !== undefined) all["Content-Type"] = "application/json";
  if (method !== "GET" && session.value?.csrf) all["X-CSRF-Token"] = session.value.csrf;
  const sent = body === undefined ? undefined : JSON.stringify(body);
  const answer = await reach(path, { method, headers: all, body: sent, signal });
  noteClock(answer);
  const said = await answer.json().catch(() => ({}));
  if (answer.ok) return said;
  const problem = new Problem(answer.status, said ?? {}, Number(answer.headers.get("Retry-After")));
  if (problem.status === 401 && path !== "/session") forgotten();
  throw problem;
}

function forgotten() {
  if (session.value) ended.set(true);
  session.set(null);
}

async function reach(path, request) {
  try {
    return await fetch(path, { ...request, credentials: "same-origin", cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    const detail = "The server does not answer. This page tries again by itself.";
    throw new Problem(0, { type: "urn:buckstop:problem:away", title: "No answer", detail });
  }
}

function noteClock(answer) {
  const said = Date.parse(answer.headers.get("Date") ?? "");
  if (Number.isNaN(said)) return;
  const off = said + 500 - Date.now();
  skewMs = Math.abs(off) < SKEW_MIN_MS ? 0 : off;
}

/* --- the session ------------------------------------------------------------------------------ */

export async function login(proof) {
  session.set(await post("/session", proof));
  ended.set(false);
  epoch.set((n) => n + 1);
}

export async function logout() {
  await del("/session");
  session.set(null);
}

export async function whoAmI() {
  try {
    session.set(await get("/session"));
  } catch (problem) {
    if (problem.status !== 401) throw problem;
    forgotten();
  }
}

export function may(scope) {
  const scopes = session.value?.scopes ?? [];
  return scopes.includes("admin") || scopes.includes(scope);
}

/* --- reading ---------------------------------------------------------------------------------- */

const AGAIN_S = 3;
const PASSES = new Set([0, 429, 502, 503, 504]); // What heals by itself is tried again by itself.

/* Reads one path, never twice at once. Asked while it reads, it reads once more afterwards, so that
   a burst of announcements costs two readings and the last one is never missed. */
function reader(path, tell) {
  const stop = new AbortController();
  let [busy, asked, timer] = [false, false, undefined];
  async function read() {
    if (busy) return void (asked = true);
    clearTimeout(timer);
    [busy, asked] = [true, false];
    try {
      tell({ path, value: await get(path, { signal: stop.signal }), problem: null });
    } catch (problem) {
      if (stop.signal.aborted) return;
      tell((old) => ({ path, value: old.path === path ? old.value : undefined, problem }));
      if (PASSES.has(problem.status)) timer = setTimeout(read, (problem.retry_s || AGAIN_S) * 1000);
    }
    busy = false;
    if (asked) read();
  }
  const end = () => (stop.abort(), clearTimeout(timer));
  return { read, end };
}

export function useRead(path) {
  const [state, tell] = useState({ path: null, value: undefined, problem: null });
  const current = useRef(null);
  useEffect(() => {
    if (!path) return undefined;
    current.current = reader(path, tell);
    current.current.read();
    const unwatch = epoch.watch(() => current.current?.read());
    return () => (unwatch(), current.current.end(), (current.current = null));
  }, [path]);
  const again = useCallback(() => current.current?.read(), []);
  const { value, problem } = state.path === path ? state : { value: undefined, problem: null };
  return { value, problem, again };
}
