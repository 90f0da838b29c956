/* The graph of hops: a column a hop, a box a subtask, a line from what led to it.

       <${Graph} nodes=${hops(notes, request)} chosen=${3} choose=${(subtask) => ...} over=${true} />

   Boxes shrink as they become many, and a hop of hundreds is folded into several narrow columns;
   the whole scrolls inside its card. One box can be reached by Tab, the others from there with the
   arrow keys. The same facts stand in a table below, for who does not see it. */

import { html, useEffect, useMemo, useRef, useState } from "../../lib/hooks.js";
import { amounts, confidence, duration } from "../../lib/format.js";
import { Badge, Icon, STATES, Table } from "../../lib/parts.js";
import { why } from "../../lib/whys.js";

const DRAWN = 400; // More boxes than this tell nobody anything; the table has them all.
const ROWS = 10; // As many as are seen at once; the next ones stand beside them.
const ROOMY = 24; // With more subtasks than this, boxes have one line.
const SIZES = {
  roomy: { tall: 46, row: 58, least: 96, most: 168, between: 44 },
  long: { tall: 46, row: 58, least: 78, most: 168, between: 16 },
  dense: { tall: 26, row: 32, least: 116, most: 116, between: 36 },
  fingers: { tall: 44, row: 52, least: 116, most: 116, between: 28 },
};
const many = () => (matchMedia("(pointer: coarse)").matches ? SIZES.fingers : SIZES.dense);
const LONG = 6; // With more hops than this, the lines between them are short.
const HEAD = 26;
const SIDE = 2;
const FOLD = 8;
const NARROW = 130; // Narrower boxes leave the confidence to the table and the tip.
const CHAR = 6.6; // Of the boxes' letters, on average; what is longer is cut.

export function Graph({ nodes, chosen, choose, over }) {
  const [place, wide] = useWidth();
  const drawn = useMemo(() => laidOut(nodes.slice(-DRAWN), wide), [nodes, wide]);
  const shown = over ? nodes.map((each) => (each.state === "open" ? { ...each, state: "revoked" } : each)) : nodes;
  useNewest(place, drawn.width);
  const byId = new Map(shown.map((each) => [each.subtask, each]));
  return html`<div>
    <div class="graph" ref=${place} tabindex="0" role="region" aria-label="Graph of hops; scrolls sideways">
      <svg width=${drawn.width} height=${drawn.height} role="group" aria-label=${summed(shown)}>
        ${drawn.columns.map(({ hop, x, wide: w }) => html`<g key=${x}>
          <text class="graph-hop" x=${x} y="14">hop ${hop}</text>
          <line class="graph-rule" x1=${x} x2=${x + w} y1="20" y2="20" />
        </g>`)}
        <g class=${`graph-edges ${nodes.length > ROOMY ? "is-dense" : ""}`} aria-hidden="true">
          ${drawn.edges.map((edge) => html`<path key=${edge.key} d=${edge.d}
            class=${`${edge.again ? "is-again" : ""} ${edge.ends.includes(chosen) ? "is-near" : ""}`} />`)}
        </g>
        <${Boxes} drawn=${drawn} byId=${byId} chosen=${chosen} choose=${choose} />
      </svg>
    </div>
    ${nodes.length > DRAWN && html`<p class="muted">The last ${DRAWN} of ${nodes.length} subtasks are drawn.</p>`}
    <details class="more">
      <summary>The same as a table</summary>
      <${Listed} nodes=${shown} />
    </details>
  </div>`;
}

/* --- boxes ------------------------------------------------------------------------------------ */

function Boxes({ drawn, byId, chosen, choose }) {
  const [at, setAt] = useState(null);
  const current = drawn.boxes.some((box) => box.subtask === at) ? at : drawn.boxes[0]?.subtask;
  const all = useRef(null);
  const walk = (event, box) => {
    const next = neighbour(drawn.boxes, box, event.key);
    if (!next) return;
    event.preventDefault();
    setAt(next.subtask);
    all.current.querySelector(`[data-subtask="${next.subtask}"]`)?.focus();
  };
  return html`<g ref=${all}>
    ${drawn.boxes.map((box) => html`<${Box} key=${box.subtask} box=${box} node=${byId.get(box.subtask)}
      drawn=${drawn} chosen=${chosen === box.subtask} tab=${box.subtask === current ? 0 : -1}
      onKey=${(event) => walk(event, box)}
      pick=${() => (setAt(box.subtask), choose(chosen === box.subtask ? null : box.subtask))} />`)}
  </g>`;
}

function Box({ box, node, drawn, chosen, tab, onKey, pick }) {
  const { word, tone, icon } = looks(node.state);
  const { wide, size } = drawn;
  const nth = `#${node.subtask}`;
  const more = `${word}${wide < NARROW ? "" : ` ${confidence(node.confidence)}`}`;
  const room = wide - nth.length * CHAR - 16;
  const press = (event) => {
    if (event.key !== "Enter" && event.key !== " ") return onKey(event);
    event.preventDefault();
    return pick();
  };
  return html`<g class=${`node tone-${tone} ${chosen ? "is-chosen" : ""}`} transform=${`translate(${box.x} ${box.y})`}
    role="button" tabindex=${tab} data-subtask=${node.subtask} aria-pressed=${String(chosen)}
    aria-label=${told(node)} onClick=${pick} onKeyDown=${press}>
    <title>${told(node)}</title>
    <rect width=${wide} height=${size.tall} rx="7" />
    <text class="node-nth" x=${wide - 8} y=${size.tall > 30 ? 19 : 17}>${nth}</text>
    ${size.tall > 30
      ? html`<text class="node-agent" x="9" y="19">${fits(node.agent, room)}</text>
          <g transform="translate(8 26)"><${Icon} name=${icon} class="node-icon" /></g>
          <text class="node-more" x="25" y="37">${fits(more, wide - 28)}</text>`
      : html`<g transform="translate(6 6)"><${Icon} name=${icon} class="node-icon" /></g>
          <text class="node-agent" x="24" y="17">${fits(node.agent, room - 15)}</text>`}
  </g>`;
}

const UNDER_WAY = { word: "under way", tone: "working", icon: "working" };

function looks(state) {
  if (state === "open") return UNDER_WAY; // On its queue or at its worker: the journal does not say.
  if (Object.hasOwn(STATES, state ?? "")) {
    const [word, tone, icon] = STATES[state];
    return { word, tone, icon };
  }
  return why(state);
}

function told(node) {
  const parts = [
    `Subtask ${node.subtask}, hop ${node.hop}: step ${node.step} at ${node.agent}`,
    looks(node.state).word + (node.confidence === null ? "" : `, confidence ${confidence(node.confidence)}`),
    node.charged && `charged ${amounts(node.charged)}`,
    ...node.from.slice(0, 5).map(({ subtask, why: reason }) => `after subtask ${subtask} (${reason})`),
  ];
  return parts.filter(Boolean).join("; ");
}

/* SVG cuts no text by itself. */
function fits(text, room) {
  const most = Math.max(2, Math.floor(room / CHAR));
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
}

function summed(nodes) {
  const hopsSeen = new Set(nodes.map((each) => each.hop)).size;
  return `${nodes.length} ${nodes.length === 1 ? "subtask" : "subtasks"} in ${hopsSeen} ${hopsSeen === 1 ? "hop" : "hops"}`;
}

/* --- where they stand ------------------------------------------------------------------------- */

function laidOut(nodes, room) {
  const byHop = new Map();
  for (const node of nodes) byHop.set(node.hop, [...(byHop.get(node.hop) ?? []), node]);
  const stages = [...byHop].sort(([a], [b]) => a - b);
  const size = nodes.length > ROOMY ? many() : stages.length > LONG ? SIZES.long : SIZES.roomy;
  const folds = stages.map(([, of]) => Math.ceil(of.length / ROWS));
  const columns = folds.reduce((sum, n) => sum + n, 0);
  const share = (room - 2 * SIDE - (stages.length - 1) * size.between - (columns - stages.length) * FOLD) / columns;
  const wide = Math.round(Math.min(size.most, Math.max(size.least, share)));
  const at = { x: SIDE, boxes: [], columns: [] };
  for (const [n, [hop, of]] of stages.entries()) placed(at, hop, of, folds[n], wide, size);
  const rows = Math.min(ROWS, Math.max(...stages.map(([, of]) => of.length), 1));
  const boxes = new Map(at.boxes.map((box) => [box.subtask, box]));
  return {
    ...{ size, wide, boxes: at.boxes, columns: at.columns },
    width: Math.max(0, at.x - size.between + SIDE),
    height: HEAD + rows * size.row,
    edges: nodes.flatMap((node) => edgesOf(node, boxes, wide, size)),
  };
}

function placed(at, hop, of, folds, wide, size) {
  const whole = folds * wide + (folds - 1) * FOLD;
  for (const [n, node] of of.entries()) {
    const [column, row] = [Math.floor(n / ROWS), n % ROWS];
    const x = at.x + column * (wide + FOLD);
    if (!row) at.columns.push({ hop, x, wide });
    at.boxes.push({ subtask: node.subtask, x, y: HEAD + 4 + row * size.row, column: hop * 1000 + column });
  }
  at.x += whole + size.between;
}

function edgesOf(node, boxes, wide, size) {
  const to = boxes.get(node.subtask);
  return node.from.flatMap(({ subtask, why: reason }) => {
    const from = boxes.get(subtask);
    if (!from) return [];
    const edge = { key: `${subtask}-${node.subtask}`, ends: [subtask, node.subtask] };
    return [{ ...edge, again: !reason.startsWith("needs"), d: curve(from, to, wide, size.tall / 2) }];
  });
}

function curve(from, to, wide, half) {
  const [x1, y1, x2, y2] = [from.x + wide, from.y + half, to.x, to.y + half];
  if (to.x > from.x) {
    const bend = Math.min(40, (x2 - x1) / 2);
    return `M${x1} ${y1} C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`;
  }
  const right = to.x + wide; // In the same column: around its right side.
  return `M${x1} ${y1} C${x1 + 24} ${y1} ${right + 24} ${y2} ${right} ${y2}`;
}

function neighbour(boxes, box, key) {
  const step = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] }[key];
  if (!step) return null;
  const [side, along] = step;
  const there = boxes.filter((each) =>
    side ? Math.sign(each.x - box.x) === side : each.x === box.x && Math.sign(each.y - box.y) === along,
  );
  const far = (each) => (side ? Math.abs(each.x - box.x) * 100 : 0) + Math.abs(each.y - box.y);
  return there.reduce((best, each) => (!best || far(each) < far(best) ? each : best), null);
}

/* What does not fit scrolls; the newest hop is in sight, until somebody scrolls elsewhere. */
function useNewest(place, width) {
  const followed = useRef(true);
  useEffect(() => {
    const box = place.current;
    const look = () => (followed.current = box.scrollLeft + box.clientWidth >= box.scrollWidth - 8);
    box.addEventListener("scroll", look, { passive: true });
    return () => box.removeEventListener("scroll", look);
  }, []);
  useEffect(() => {
    if (followed.current) place.current.scrollLeft = place.current.scrollWidth;
  }, [width]);
}

function useWidth() {
  const place = useRef(null);
  const [wide, setWide] = useState(900);
  useEffect(() => {
    const watcher = new ResizeObserver(([entry]) => setWide(Math.floor(entry.contentRect.width)));
    watcher.observe(place.current);
    return () => watcher.disconnect();
  }, []);
  return [place, wide];
}

/* --- the table -------------------------------------------------------------------------------- */

const COLUMNS = [
  { key: "subtask", title: "Subtask", main: true, cell: (n) => html`#${n.subtask} <span class="muted">${n.step}</span>` },
  { key: "hop", title: "Hop", end: true, cell: (n) => n.hop },
  { key: "agent", title: "Agent", cell: (n) => n.agent },
  { key: "state", title: "Status", cell: (n) => html`<${Badge} ...${looks(n.state)} />` },
  { key: "sure", title: "Confidence", end: true, cell: (n) => confidence(n.confidence) },
  { key: "took", title: "Took", end: true, cell: (n) => (n.ended_ms ? duration(n.ended_ms - n.at_ms) : "") },
  { key: "cost", title: "Charged", end: true, cell: (n) => (n.charged ? amounts(n.charged) : "") },
  { key: "from", title: "After", cell: (n) => n.from.map((f) => `#${f.subtask} ${f.why}`).join(", ") },
];

function Listed({ nodes }) {
  const [most, setMost] = useState(50);
  return html`<${Table} caption="Subtasks" columns=${COLUMNS} rows=${nodes.slice(0, most)} rowKey=${(n) => n.subtask} />
    ${nodes.length > most && html`<button type="button" class="button" onClick=${() => setMost(most + 200)}>Show more</button>`}`;
}
