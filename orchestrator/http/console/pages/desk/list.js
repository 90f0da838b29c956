/* The queue as rows: why, who, how long it has waited, and when it is decided without you.

   What comes in slides in without moving what somebody looks at: where rows above grow, the list is
   scrolled by as much, and a note says that there is something new above. */

import { html, useEffect, useLayoutEffect, useRef, useState } from "../../lib/hooks.js";
import { Ago, count, duration, useNow } from "../../lib/format.js";
import { Icon, ProblemBox, STATES } from "../../lib/parts.js";
import { Link } from "../../lib/router.js";
import { hasDraft } from "../letter/drafts.js";
import { causeOf, doneOf, plainWhy, whoOf } from "../letter/words.js";

const MINUTE_MS = 60_000;
const SOON_MS = 30 * MINUTE_MS;

export function List({ queue, chosen, href, sort }) {
  const list = useRef(null);
  const above = useStill(list, queue.rows);
  const came = queue.fresh.size;
  return html`
    <p class="sr-only" role="status">${came > 0 && `${count(came)} new ${came === 1 ? "letter" : "letters"} in the queue.`}</p>
    <ol class="queue" ref=${list} data-testid="queue">
      ${queue.rows.map((row) => html`<${Row} key=${row.id} row=${row} fresh=${queue.fresh.has(row.id)}
        chosen=${row.id === chosen} href=${href(row.id)} />`)}
    </ol>
    ${above.count > 0 && html`<button type="button" class="queue-above" data-testid="new-above" onClick=${above.show}>
      ${above.count} new above</button>`}
    ${queue.more &&
    html`<${Older} more=${queue.more} shown=${queue.rows.length} total=${queue.total} sort=${sort} />`}
  `;
}

function Row({ row, fresh, chosen, href }) {
  const tenant = row.tenant === "default" ? "" : row.tenant;
  const [word, tone, icon] = STATES[row.kind] ?? [row.kind, "idle", "letter"];
  return html`<li class=${`${fresh ? "is-fresh" : ""} ${row.decided ? "is-decided" : ""}`}>
    <${Link}
      to=${href}
      class="queue-row"
      aria-current=${chosen ? "true" : undefined}
      data-letter=${row.id}
      data-testid="queue-row"
    >
      <span class=${`queue-icon tone-${tone}`}><${Icon} name=${icon} label=${word} /></span>
      <span class="queue-main">
        <span class="queue-first">
          <span class="queue-cause"><bdi>${causeOf(row)}</bdi></span>
          <span class="queue-age"><${Ago} at=${row.filed_ms} /></span>
        </span>
        ${row.goal && html`<span class="queue-goal" dir="auto">${cut(row.goal)}</span>`}
        <span class="queue-why" dir="auto">${cut(saidOf(row))}</span>
        <span class="queue-foot">
          ${row.agent && html`<span class="queue-agent"><bdi>${row.agent}</bdi></span>`}
          ${tenant && html`<span class="queue-tenant"><bdi>${tenant}</bdi></span>`}
          ${row.cell && html`<span class="queue-tenant">${row.cell}</span>`}
          ${hasDraft(row.id) && !row.decided && html`<span class="queue-draft">draft</span>`}
          ${row.decided ? html`<${Decided} ...${row.decided} />` : html`<${Due} row=${row} />`}
        </span>
      </span>
    <//>
  </li>`;
}

function Decided({ verb, by }) {
  return html`<span class="queue-decided">
    <${Icon} name="check" />${doneOf(verb)} by <bdi>${whoOf(by)}</bdi>
  </span>`;
}

/* Who asks is said in the line above. */
function saidOf({ kind, agent, why }) {
  return kind === "question" ? bare(cut(String(why).replace(`${agent} asks: `, ""))) : plainWhy(why);
}

/* A question may be Markdown; a row has no room for its signs. */
const bare = (text) => text.replace(/(\*\*|\*|`)(\S(?:[^*`]*\S)?)\1/g, "$2");

/* A row is two lines of text at most: neither the page nor the eye needs more of it. */
const cut = (text) => (String(text ?? "").length > 220 ? `${text.slice(0, 220)}…` : text);

const SHORT_FATE = { approve: "delivered", abort: "aborted", discard: "let go" };

function Due({ row }) {
  const now = useNow();
  if (!row.due_ms) return null;
  const left = row.due_ms - now;
  const fate = SHORT_FATE[row.if_nobody_decides] ?? "due";
  const minutes = Math.floor(left / MINUTE_MS) * MINUTE_MS;
  const text = left <= 0 ? "due now" : `${fate} in ${duration(minutes || left)}`;
  return html`<span class=${`queue-due figure ${left < SOON_MS ? "is-soon" : ""}`}>
    <${Icon} name="clock" />${text}
  </span>`;
}

function Older({ more, shown, total, sort }) {
  const [state, setState] = useState({ busy: false, problem: null });
  const read = async () => {
    setState({ busy: true, problem: null });
    try {
      await more();
      setState({ busy: false, problem: null });
    } catch (problem) {
      setState({ busy: false, problem });
    }
  };
  return html`<div class="queue-older">
    ${sort === "due" &&
    html`<p class="muted">In the order of their due time: the ${count(shown)} newest of ${count(total)}.</p>`}
    <${ProblemBox} problem=${state.problem} />
    <button type="button" class="button" disabled=${state.busy} onClick=${read}>
      ${state.busy ? "Reading…" : "Show older letters"}
    </button>
  </div>`;
}

/* Keep what is in view where it is when rows come in above; say how many did. */
function useStill(list, rows) {
  const before = useRef(null);
  const [came, setCame] = useState(0);
  const scroller = () => list.current?.closest(".desk-queue");
  useLayoutEffect(() => {
    const [box, top] = [scroller(), list.current];
    const known = before.current;
    const anchor = known && [...top.children].find((li) => li.firstElementChild?.dataset.letter === known.id);
    if (anchor && box && box.scrollHeight > box.clientHeight && looksAway(box)) {
      const moved = anchor.offsetTop - known.top;
      if (moved > 0 && known.scrolled > 0) {
        box.scrollTop = known.scrolled + moved;
        setCame((n) => n + rows.findIndex((row) => row.id === known.first));
      }
    }
    before.current = noted(box, top, rows);
  }, [rows]);
  useEffect(() => {
    const box = scroller();
    const note = () => {
      before.current = noted(box, list.current, rows);
      if (box.scrollTop < 8) setCame(0);
    };
    box?.addEventListener("scroll", note, { passive: true });
    return () => box?.removeEventListener("scroll", note);
  }, [rows]);
  return { count: Math.max(0, came), show: () => (scroller().scrollTo({ top: 0 }), setCame(0)) };
}

const looksAway = (box) => box.scrollTop > 0;

function noted(box, list, rows) {
  if (!box || !list) return null;
  const seen = [...list.children].find((li) => li.offsetTop + li.offsetHeight > box.scrollTop);
  if (!seen) return null;
  const id = seen.firstElementChild?.dataset.letter;
  return { id, top: seen.offsetTop, scrolled: box.scrollTop, first: rows[0]?.id };
}
