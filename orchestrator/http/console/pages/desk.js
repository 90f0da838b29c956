/* The desk: what waits for a person, and one letter beside it.

   On a wide screen the queue stands on the left and stays where it is while letters come and go on
   the right; on a phone each has the screen to itself. Where no letter is open, the right side
   shows causes: what many letters have in common is decided once.

   Filters stand in the address, so a queue can be bookmarked and shared.

   The parts: desk/queue.js (which letters, live), desk/filters.js, desk/list.js, desk/causes.js,
   desk/bulk.js (decide many alike), letter.js (one letter). */

import { html, useCallback, useLayoutEffect, useRef } from "../lib/hooks.js";
import { query } from "../lib/api.js";
import { count } from "../lib/format.js";
import { useKeys } from "../lib/keys.js";
import { Empty, Icon, Shown } from "../lib/parts.js";
import { Link, go, useQuery, useTitle } from "../lib/router.js";
import { Causes } from "./desk/causes.js";
import { Filters, NO_FILTER, filterOf, isFiltered } from "./desk/filters.js";
import { List } from "./desk/list.js";
import { useQueue } from "./desk/queue.js";
import { LetterPage } from "./letter.js";

export function Desk({ id }) {
  const [wanted, want] = useQuery();
  const filter = filterOf(wanted);
  const queue = useQueue(filter, wanted.sort === "due" ? "due" : "new", id);
  const place = useRef(null);
  const move = useCallback((to) => go(addressOf(to, wanted)), [wanted]);
  const next = nextAfter(queue.rows, id);
  const href = (each) => addressOf(each, wanted);
  const empty = html`<${NothingWaits} filtered=${isFiltered(filter)} want=${want} />`;
  useTitle(id ? "Letter" : "Desk");
  useListKeys(place, id);
  useScrollKept(id);
  useInView(place, id, queue.rows.length > 0);
  const causes = wanted.view === "causes" && !id && queue.total !== 0;
  const clear = !id && queue.total === 0 && !queue.rows.length && !isFiltered(filter);
  const view = clear ? "is-clear" : id ? "has-letter" : causes ? "has-causes" : "has-list";
  return html`<div class=${`desk ${view}`} ref=${place}>
    <section class="desk-queue" aria-label="Queue of letters">
      <${QueueHead} heads=${!id && (clear || !causes)} clear=${clear} queue=${queue}
        wanted=${wanted} want=${want} filter=${filter} />
      <${Shown} read=${queue} empty=${() => !queue.rows.length && empty}>
        ${() => html`<${List} queue=${queue} chosen=${id} sort=${wanted.sort} href=${href} />`}
      <//>
    </section>
    <div class="desk-letter" hidden=${clear}>
      ${clear ? null : id
        ? html`<${Link} to=${`/desk${query(wanted)}`} class="desk-back"><${Icon} name="left" />Desk<//>
            <${LetterPage} id=${id} next=${next} onMove=${move} onDecided=${queue.noteDecided} />`
        : html`<${Causes} heads=${causes} filter=${filter} onBack=${() => want({ view: "" })} />`}
    </div>
  </div>`;
}

/* Both addresses are one room: the queue stays while letters come and go (see app.js). */
Desk.keeps = "desk";
export const Letter = Desk;

const addressOf = (id, wanted) => `/desk/${encodeURIComponent(id)}${query({ ...wanted, view: "" })}`;

/* The next open letter below, or the first above: what is decided is passed over. */
function nextAfter(rows, id) {
  const at = rows.findIndex((row) => row.id === id);
  const open = (row) => !row.decided && row.id !== id;
  return (rows.slice(at + 1).find(open) ?? rows.slice(0, Math.max(0, at)).find(open))?.id ?? null;
}

function QueueHead({ heads, clear, queue, wanted, want, filter }) {
  const Title = heads ? "h1" : "p"; // A page has one h1: the letter, else the causes, else this.
  return html`<header class="queue-head">
    <div class="queue-title">
      <${Title} class="queue-word" tabindex=${heads ? -1 : undefined}>Desk</${Title}>
      ${queue.total !== undefined &&
      !clear &&
      html`<span class="queue-count figure" data-testid="queue-total">
        ${count(queue.total)} ${queue.total === 1 ? "letter waits" : "letters wait"}
      </span>`}
      ${!clear && html`<${QueueTools} wanted=${wanted} want=${want} />`}
    </div>
    ${!clear && html`<${Filters} filter=${filter} want=${want} version=${queue.version} />`}
  </header>`;
}

function QueueTools({ wanted, want }) {
  const byDue = wanted.sort === "due";
  return html`<span class="queue-tools">
    <button
      type="button"
      class="button quiet small"
      aria-label=${`Order: ${byDue ? "due first" : "newest first"}. Change it`}
      onClick=${() => want({ sort: byDue ? "" : "due" })}
    ><${Icon} name=${byDue ? "clock" : "down"} />${byDue ? "Due first" : "Newest"}</button>
    <${Link} to=${`/desk${query({ ...wanted, view: "causes" })}`} class="button quiet small to-causes">By cause<//>
  </span>`;
}

function NothingWaits({ filtered, want }) {
  if (filtered)
    return html`<${Empty} icon="search" title="No letter fits these filters">
      <button type="button" class="button" onClick=${() => want(NO_FILTER)}>Show all letters</button>
    <//>`;
  return html`<div class="clear-desk" data-testid="nothing-waits">
    <svg viewBox="0 0 120 72" class="clear-desk-picture" aria-hidden="true">
      <path class="clear-desk-top" d="M8 46h104" /><path d="M18 46v20M102 46v20" />
      <path d="M78 46v-9h12v9zM90 39h3a2.5 2.5 0 0 1 0 5h-3" />
      <path class="clear-desk-steam" d="M81 32q2-2.5 0-5t0-5M87 32q2-2.5 0-5t0-5" />
      <path d="M26 45v-8l4-9h24l4 9v8zM26 37h9l3 4h8l3-4h9" />
    </svg>
    <h2>Nothing waits for a person</h2>
    <p class="muted">Every task is at work or has ended. What needs you appears here by itself.</p>
    <${Link} to="/tasks" class="button quiet">See the tasks<//>
  </div>`;
}

/* j and k move along the queue from the letter that is open, or from where the focus is. */
function useListKeys(place, id) {
  const step = (by) => {
    const rows = [...place.current.querySelectorAll("a.queue-row")];
    const from = rows.findIndex((row) => row === document.activeElement);
    const at = from >= 0 ? from : rows.findIndex((row) => row.dataset.letter === id);
    const next = rows[at < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, at + by))];
    next?.focus({ preventScroll: true });
    next?.scrollIntoView({ block: "nearest" });
  };
  const open = () => !id && place.current.querySelector("a.queue-row")?.click();
  const filter = () => place.current.querySelector(".desk-filters button, .desk-filters select")?.focus();
  useKeys(
    [
      { keys: "j", does: "down the queue", run: () => step(1) },
      { keys: "k", does: "up the queue", run: () => step(-1) },
      { keys: "Enter", does: "open the letter", run: open },
      { keys: "/", does: "filter the queue", run: filter },
      id && { keys: "Escape", does: "close the letter", run: () => go(`/desk${location.search}`) },
    ],
    "Desk",
  );
}

/* On a phone the window is what scrolls: back from a letter, the queue is where it was. */
function useScrollKept(id) {
  const kept = useRef(0);
  const before = useRef(id);
  useLayoutEffect(() => {
    if (!id && before.current) window.scrollTo(0, kept.current);
    before.current = id;
    if (id) return undefined;
    const note = () => (kept.current = window.scrollY);
    addEventListener("scroll", note, { passive: true });
    return () => removeEventListener("scroll", note);
  }, [id]);
}

/* A letter is read from its beginning, and its row stands where it can be seen. */
function useInView(place, id, known) {
  useLayoutEffect(() => {
    place.current.querySelector(".desk-letter").scrollTop = 0;
  }, [id]);
  useLayoutEffect(() => {
    if (known) place.current.querySelector(".queue-row[aria-current]")?.scrollIntoView({ block: "nearest" });
  }, [id, known]);
}
