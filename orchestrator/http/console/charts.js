/* Charts as our own small SVG: no library, and nothing that only colour or only a mouse can tell.

       <${DaysChart} days=${[{ day: "2026-11-20", parts: [120, 80] }]} names=${["research", "write"]}
           say=${(n) => `${n} tokens`} figure=${(n) => `${n}`} short=${(n) => `${n}`}
           title="Tokens by day" />
       <${Calibration} claimed=${0.9} confirmed=${0.72} judged=${25} />
       <${Outcomes} ok=${48} fault=${2} other=${1} />      what the last subtasks came to
       <${Share} part=${12} whole=${40} />                 a bar behind a figure that stands beside it

   DaysChart stacks parts upon each other, a column a day. Each part has a pattern besides its
   colour, and the legend says its figure: for the whole time, or for the day that is pointed at, by
   mouse or finger, or with the arrow keys (what is under the plot is an ordinary slider, so a
   screen reader says the day and its figures). A table with all figures belongs on the same page. */

import { html, useEffect, useId, useRef, useState } from "./lib/hooks.js";
import { count, percent } from "./lib/format.js";

export const PARTS_MAX = 6; // As many as can be told apart; the caller sums up the rest.
const HEIGHT = 220;
const TOP = 10; // Half a line of text above the topmost tick.

/* --- days ------------------------------------------------------------------------------------- */

export function DaysChart({ days, names, say, figure, short, title }) {
  const [chosen, choose] = useState(null);
  const [place, width] = useWidth();
  const top = ceilingOf(Math.max(...days.map((each) => sum(each.parts)), 0));
  const at = chosen !== null && chosen < days.length ? days[chosen] : null;
  const seek = (event) => {
    const { left, width: wide } = event.currentTarget.getBoundingClientRect();
    const nth = Math.floor(((event.clientX - left) / wide) * days.length);
    choose(Math.min(days.length - 1, Math.max(0, nth)));
  };
  return html`<figure class="chart" aria-label=${title}>
    <${Legend} days=${days} names=${names} at=${at} say=${say} figure=${figure} />
    <div class="chart-body">
      <div class="chart-scale figure" aria-hidden="true">
        ${[1, 0.5, 0].map((share) => html`<span key=${share}>${short(top * share)}</span>`)}
      </div>
      <div class="chart-plot" ref=${place} onPointerLeave=${() => choose(null)}>
        <${Columns} days=${days} names=${names} top=${top} width=${width} chosen=${chosen} />
        <input type="range" class="chart-seek" min="0" max=${days.length - 1} step="1"
          value=${chosen ?? days.length - 1}
          aria-label="${title}: choose a day" aria-valuetext=${spoken(at ?? days.at(-1), names, say)}
          onPointerMove=${seek} onFocus=${() => choose((now) => now ?? days.length - 1)}
          onBlur=${() => choose(null)} onInput=${(event) => choose(Number(event.target.value))} />
      </div>
      <div class="chart-days figure" aria-hidden="true">
        ${marked(days, width).map((n) => html`<span key=${days[n].day}
          style=${{ left: `${((n + 0.5) / days.length) * 100}%` }}>${dayWord(days[n].day)}</span>`)}
      </div>
    </div>
  </figure>`;
}

function Legend({ days, names, at, say, figure }) {
  const totals = names.map((_, n) => sum(days.map((each) => each.parts[n])));
  const shown = at ? at.parts : totals;
  return html`<figcaption class="chart-legend">
    <div class="chart-total">
      <span class="muted">${at ? longDay(at.day) : `all ${days.length} days`}</span>
      <strong class="figure">${say(sum(shown))}</strong>
    </div>
    <ul>
      ${names.map((name, n) => html`<li key=${name}>
        <${Swatch} nth=${n} /><span class="chart-name" dir="auto">${name}</span>
        <span class="figure">${figure(shown[n])}</span>
      </li>`)}
    </ul>
  </figcaption>`;
}

export function Swatch({ nth }) {
  const id = useId();
  return html`<svg class="swatch" viewBox="0 0 12 12" aria-hidden="true">
    <defs><${Pattern} id=${id} nth=${nth} /></defs>
    <rect class="part part-${nth}" width="12" height="12" rx="2" />
    <rect width="12" height="12" rx="2" fill="url(#${id})" />
  </svg>`;
}

function Columns({ days, names, top, width, chosen }) {
  const id = useId();
  const wide = width / days.length;
  const gap = Math.min(10, Math.max(1, wide * 0.22));
  const scale = (HEIGHT - TOP) / top;
  return html`<svg class="chart-columns" width=${width} height=${HEIGHT} aria-hidden="true">
    <defs>${names.map((name, n) => html`<${Pattern} key=${name} id="${id}-${n}" nth=${n} />`)}</defs>
    ${[1, 0.5, 0].map((share) => html`<line key=${share} class="chart-line" x1="0" x2=${width}
      y1=${HEIGHT - share * (HEIGHT - TOP) - 0.5} y2=${HEIGHT - share * (HEIGHT - TOP) - 0.5} />`)}
    ${chosen !== null && html`<rect class="chart-chosen" x=${chosen * wide} width=${wide} y="0"
      height=${HEIGHT} />`}
    ${days.map((each, n) => html`<${Column} key=${each.day} parts=${each.parts} scale=${scale}
      x=${n * wide + gap / 2} wide=${Math.max(1, wide - gap)} patterns=${id} />`)}
  </svg>`;
}

/* Parts stand apart by a line's width, so that two that look alike are still two. */
function Column({ parts, scale, x, wide, patterns }) {
  let foot = HEIGHT;
  return html`<g>
    ${parts.map((part, n) => {
      if (!part) return null;
      const high = Math.max(1, part * scale);
      foot -= high;
      const box = { x, y: foot, width: wide, height: Math.max(0.75, high - 1) };
      return html`<g key=${n}>
        <rect class="part part-${n}" ...${box} /><rect ...${box} fill="url(#${patterns}-${n})" />
      </g>`;
    })}
  </g>`;
}

/* What is laid over a part's colour: nothing, then lines and dots, each unlike the others. */
const MARKS = [
  null,
  "M-1 1l2-2M0 6l6-6M5 7l2-2",
  "M1.5 1.5h.01M4.5 4.5h.01",
  "M0 1.5h6M0 4.5h6",
  "M-1 5l2 2M0 0l6 6M5-1l2 2",
  "M1.5 0v6M4.5 0v6",
  "M0 3h6M3 0v6",
];

function Pattern({ id, nth }) {
  return html`<pattern id=${id} width="6" height="6" patternUnits="userSpaceOnUse">
    ${MARKS[nth] && html`<path class="mark" d=${MARKS[nth]} />`}
  </pattern>`;
}

const sum = (figures) => figures.reduce((all, one) => all + one, 0);

const STEPS = [1, 1.2, 1.6, 2, 2.4, 3, 4, 5, 6, 8, 10];

/* The next figure above whose half is a whole number too, for both stand beside the plot. */
function ceilingOf(most) {
  const unit = 10 ** Math.max(0, Math.floor(Math.log10(Math.max(1, most))));
  const tops = STEPS.map((step) => Math.round(step * unit));
  return tops.find((top) => top >= most && top % 2 === 0);
}

function spoken(each, names, say) {
  const parts = names.map((name, n) => each.parts[n] && `${name} ${say(each.parts[n])}`);
  return [`${longDay(each.day)}: ${say(sum(each.parts))}`, ...parts.filter(Boolean)].join(", ");
}

const WORD_WIDE = 64;

/* Which days are named below the plot: so many that no two words touch, the last always. */
function marked(days, width) {
  const every = Math.max(1, Math.ceil((days.length * WORD_WIDE) / Math.max(width, WORD_WIDE)));
  return days.map((_, n) => n).filter((n) => (days.length - 1 - n) % every === 0);
}

const dayAt = (day, options) =>
  new Date(`${day}T00:00:00Z`).toLocaleDateString("en-GB", { timeZone: "UTC", ...options });
const dayWord = (day) => dayAt(day, { day: "numeric", month: "short" });
export const longDay = (day) =>
  dayAt(day, { weekday: "short", day: "numeric", month: "short", year: "numeric" });

function useWidth() {
  const place = useRef(null);
  const [width, tell] = useState(0);
  useEffect(() => {
    const watch = new ResizeObserver(([entry]) => tell(Math.floor(entry.contentRect.width)));
    watch.observe(place.current);
    return () => watch.disconnect();
  }, []);
  return [place, width];
}

/* --- small ones ------------------------------------------------------------------------------- */

/* What was claimed (a ring) against what people let stand (a dot), on one line from 0 to 100 %. */
export function Calibration({ claimed, confirmed, judged }) {
  const x = (share) => 6 + share * 108;
  const [low, high] = [claimed, confirmed].map(x).sort((a, b) => a - b);
  const off = confirmed < claimed - 0.1 ? "too sure" : confirmed > claimed + 0.1 ? "too modest" : "";
  const said =
    `claims ${percent(claimed)}, people let ${percent(confirmed)} of ${count(judged)} stand` +
    (off && `: ${off}`);
  return html`<div class="calibration">
    <svg viewBox="0 0 120 16" role="img" aria-label=${said}>
      <line class="calibration-scale" x1="6" x2="114" y1="8" y2="8" />
      <line class="calibration-gap" x1=${low} x2=${high} y1="8" y2="8" />
      <circle class="calibration-claimed" cx=${x(claimed)} cy="8" r="4.5" />
      <circle class="calibration-confirmed" cx=${x(confirmed)} cy="8" r="4" />
    </svg>
    <div class="calibration-words" aria-hidden="true">
      <span><i class="key key-claimed" />claims <b class="figure">${percent(claimed)}</b></span>
      <span><i class="key key-confirmed" />stood <b class="figure">${percent(confirmed)}</b></span>
      <span class="muted">of ${count(judged)}${off && `, ${off}`}</span>
    </div>
  </div>`;
}

export function Outcomes({ ok, fault, other = 0 }) {
  const all = ok + fault + other;
  const said = `${count(ok)} good, ${count(fault)} at fault, ${count(other)} neither`;
  const wide = (n) => ({ width: `${(100 * n) / all}%` });
  return html`<div class="outcomes">
    <div class="outcomes-words figure">
      ${all === 0 && html`<span class="muted">nothing yet</span>`}
      ${all > 0 && html`<span><b>${count(ok)}</b> good</span>`}
      ${fault > 0 && html`<span><b>${count(fault)}</b> at fault</span>`}
      ${other > 0 && html`<span class="muted"><b>${count(other)}</b> neither</span>`}
    </div>
    ${all > 0 && html`<div class="outcomes-bar" role="img" aria-label=${said}>
      <span class="outcomes-ok" style=${wide(ok)} /><span class="outcomes-fault" style=${wide(fault)} />
      <span class="outcomes-other" style=${wide(other)} />
    </div>`}
  </div>`;
}

export function Share({ part, whole, class: more = "" }) {
  const width = `${whole > 0 ? Math.min(100, (100 * part) / whole) : 0}%`;
  return html`<span class=${`share ${more}`} aria-hidden="true"><span style=${{ width }} /></span>`;
}
