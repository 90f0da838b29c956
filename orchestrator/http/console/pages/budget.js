/* The budget: what was spent, by day, and by tenant, agent or model; in tokens, dollars or calls.

   One reading of /v1/spend gives every row of the period; all that is shown is summed up from it
   here, so that switching what is shown asks the server for nothing. The choice stands in the
   address: a view can be bookmarked and sent to somebody.

   Days are those of the server, in UTC. Figures are the ledgers' own: they are booked in the commit
   that settles a subtask, so a call that is under way is not in them yet. */

import { html, useMemo, useState } from "../lib/hooks.js";
import { DIMENSIONS, amount, count, percent, shortAmount } from "../lib/format.js";
import { serverNow, useRead } from "../lib/api.js";
import { useEvents } from "../lib/live.js";
import { Empty, Page, Shown, Skeleton, Table, Tabs } from "../lib/parts.js";
import { useQuery, useTitle } from "../lib/router.js";
import { DaysChart, PARTS_MAX, Share, Swatch, longDay } from "../charts.js";
import { useRhythm } from "../lib/rhythm.js";

const UNITS = [
  { id: "tokens", word: "Tokens" },
  { id: "usd_micros", word: "Dollars" },
  { id: "calls", word: "Calls" },
];
const KEYS = [
  { id: "tenant", word: "By tenant" },
  { id: "agent", word: "By agent" },
  { id: "model", word: "By model" },
];
const PERIODS = ["7", "30", "90"].map((id) => ({ id, word: `${id} days` }));
const LOOK_MS = 15000; // Spend moves with every subtask; a figure a quarter of a minute old will do.
const MICROS_PER_USD = 1e6;
const SMALL = "(max-width: 640px)"; // A phone, where a table of days is a long way to scroll.
const OTHERS = "all others";
const TOP = 5;

export function Budget() {
  useTitle("Budget");
  const [wanted, want] = useQuery();
  const unit = oneOf(UNITS, wanted.unit, "tokens");
  const by = oneOf(KEYS, wanted.by, "agent");
  const days = oneOf(PERIODS, wanted.days, "30");
  const spend = useRead(`/v1/spend?days=${days}`);
  useRhythm(spend.again, LOOK_MS);
  useEvents("/v1/events", ({ kind }) => kind === "task.ended" && spend.again());
  return html`<${Page} title="Budget" class="budget">
    <div class="row choices">
      <${Tabs} tabs=${UNITS} chosen=${unit} label="Unit" onChoose=${(id) => want({ unit: id })} />
      <${Tabs} tabs=${KEYS} chosen=${by} label="Split" onChoose=${(id) => want({ by: id })} />
      <${Tabs} tabs=${PERIODS} chosen=${days} label="Period" onChoose=${(id) => want({ days: id })} />
    </div>
    <${Shown} read=${spend} skeleton=${html`<${Waiting} />`} empty=${nothingIn}>
      ${(read) => html`<${Spent} read=${whole(read, Number(days))} unit=${unit} by=${by} />`}
    <//>
  <//>`;
}

const oneOf = (list, id, usual) => (list.some((each) => each.id === id) ? id : usual);

const DAY_MS = 86400000;

/* The server names the days on which something was spent; a chart shows the others as well. */
function whole({ days, items }, count) {
  const today = new Date(serverNow()).toISOString().slice(0, 10);
  const last = Date.parse(days.length && days.at(-1) > today ? days.at(-1) : today);
  const nth = (n) => new Date(last - (count - 1 - n) * DAY_MS).toISOString().slice(0, 10);
  return { items, days: Array.from({ length: count }, (_, n) => nth(n)) };
}

const Waiting = () => html`<div class="stack"><${Skeleton} lines=${3} /><${Skeleton} lines=${8} /></div>`;

function nothingIn({ items }) {
  if (items.length) return null;
  return html`<${Empty} icon="budget" title="Nothing was spent">
    No subtask has been settled in these days. Figures appear here as soon as an
    agent has paid for a call.
  <//>`;
}

function Spent({ read, unit, by }) {
  const groups = useMemo(() => grouped(read.items, by, unit), [read.items, by, unit]);
  const shown = useMemo(() => stacked(read.days, groups, unit), [groups, read.days.join(), unit]);
  const say = (n) => (unit === "usd_micros" ? amount(unit, n) : `${count(n)} ${wordOf(unit)}`);
  return html`
    <${Headline} read=${read} unit=${unit} />
    <section class="card chart-card" aria-labelledby="by-day">
      <h2 id="by-day">${UNITS.find((each) => each.id === unit).word} a day</h2>
      <${DaysChart} days=${shown.days} names=${shown.names} say=${say}
        figure=${(n) => amount(unit, n)} short=${(n) => shortAmount(unit, n)} title="${wordOf(unit)} a day by ${by}" />
    </section>
    <div class="two-columns">
      <${Groups} groups=${groups} names=${shown.names} unit=${unit} by=${by} />
      <${TopSpenders} items=${read.items} unit=${unit} />
    </div>
    <${ByDay} read=${read} unit=${unit} />`;
}

const wordOf = (unit) => DIMENSIONS.find(({ name }) => name === unit).word;

/* --- in one line ------------------------------------------------------------------------------ */

function Headline({ read, unit }) {
  const [before, today] = read.days.slice(-2).map((day) => sumOf(itemsOf(read, day))[unit]);
  const all = sumOf(read.items);
  const tried = all.ok + all.fault;
  const figures = [
    ["Today", amount(unit, today), compared(today, before)],
    ["Yesterday", amount(unit, before), "the whole day"],
    [`These ${read.days.length} days`, amount(unit, all[unit]), perDay(all[unit], read.days, unit)],
    ["Subtasks that went well", tried ? percent(all.ok / tried) : "none yet", outOf(all, tried)],
  ];
  return html`<dl class="headline">
    ${figures.map(([word, figure, more]) => html`<div key=${word} class="card">
      <dt>${word}</dt>
      <dd><strong class="figure">${figure}</strong><span class="muted">${more}</span></dd>
    </div>`)}
  </dl>`;
}

const perDay = (n, days, unit) => `${shortAmount(unit, Math.round(n / days.length))} a day`;
const outOf = (all, tried) => (tried ? `${count(all.ok)} of ${count(tried)}` : "in these days");

/* A day that has just begun cannot be held against a whole one by a percentage that says "less". */
function compared(today, before) {
  if (!before) return today ? "nothing yesterday" : "nothing yet";
  if (today >= 2 * before) return `${count(Math.floor(today / before))} times yesterday already`;
  if (today > before) return `${percent(today / before - 1)} above yesterday already`;
  return `${percent(today / before)} of yesterday so far`;
}

/* --- tables ----------------------------------------------------------------------------------- */

function Groups({ groups, names, unit, by }) {
  const whole = groups.reduce((all, each) => all + each[unit], 0);
  const nth = ({ name }) => (names.includes(name) ? names.indexOf(name) : names.length - 1);
  const first = {
    key: "name",
    title: by[0].toUpperCase() + by.slice(1),
    main: true,
    cell: (g) => html`<span class="named">${!g.isTotal && g[unit] > 0 && html`<${Swatch} nth=${nth(g)} />`}<span dir="auto">${g.name}</span></span>`,
  };
  const share = {
    key: "share",
    title: "Share",
    end: true,
    cell: (g) => html`<span class="share-cell"><${Share} part=${g[unit]} whole=${whole} />
      <span class="figure">${whole ? percent(g[unit] / whole) : "0 %"}</span></span>`,
  };
  return html`<section aria-labelledby="groups" class="card table-card">
    <h2 id="groups">By ${by}</h2>
    <${Table} caption="Spend by ${by}" rows=${[...groups, total(groups)]} rowKey=${keyOf}
      columns=${[first, share, ...figuresOf(groups)]} />
  </section>`;
}

const figureOf = (key, title, say = count) => ({
  key,
  title,
  end: true,
  cell: (row) => html`<span class="figure">${say(row[key])}</span>`,
});
const figuresOf = (rows) => [
  figureOf("tokens", "Tokens"),
  figureOf("usd_micros", "Dollars", dollarsAmong(rows)),
  figureOf("calls", "Calls"),
  figureOf("ok", "Good"),
  figureOf("fault", "At fault"),
];

/* Sums that stand below each other have the same decimals, or nobody can compare them. */
function dollarsAmong(rows) {
  const digits = rows.some((row) => row.usd_micros >= MICROS_PER_USD) ? 2 : 4;
  const least = MICROS_PER_USD / 10 ** digits;
  return (micros) => {
    if (micros > 0 && micros < least) return `<$${(least / MICROS_PER_USD).toFixed(digits)}`;
    const figure = { minimumFractionDigits: digits, maximumFractionDigits: digits };
    return `$${(micros / MICROS_PER_USD).toLocaleString("en", figure)}`;
  };
}

const total = (rows) => ({ name: "Total", day: "Total", isTotal: true, ...sumOf(rows) });
const keyOf = (row) => (row.isTotal ? "=total" : (row.name ?? row.day)); // No agent is called so.

function ByDay({ read, unit }) {
  const rows = [...read.days].reverse().map((day) => ({ day, ...sumOf(itemsOf(read, day)) }));
  const most = Math.max(...rows.map((row) => row[unit]));
  const day = {
    key: "day",
    title: "Day",
    main: true,
    cell: (row) => (row.isTotal ? row.day : longDay(row.day)),
  };
  const bar = {
    key: "bar",
    title: "",
    hide: true,
    cell: (row) => !row.isTotal && html`<${Share} part=${row[unit]} whole=${most} />`,
  };
  const [open] = useState(() => !matchMedia(SMALL).matches);
  return html`<details class="card table-card" open=${open}>
    <summary><h2>By day</h2></summary>
    <${Table} caption="Spend by day" rows=${[...rows, total(rows)]} rowKey=${keyOf}
      columns=${[day, bar, ...figuresOf(rows)]} />
  </details>`;
}

/* Who, for whom, with what: the few combinations that most of it went to. */
function TopSpenders({ items, unit }) {
  const whole = items.reduce((all, each) => all + each[unit], 0);
  const combined = items.map((each) => ({ ...each, who: [each.tenant, each.agent, each.model] }));
  const top = grouped(combined, "who", unit).filter((each) => each[unit]).slice(0, TOP);
  return html`<section aria-labelledby="top" class="card top-spenders">
    <h2 id="top">Top spenders</h2>
    ${top.length === 0 && html`<p class="muted">Nobody has spent any ${wordOf(unit)}.</p>`}
    <ol>
      ${top.map((each) => html`<li key=${each.name}>
        <div class="row between">
          <span dir="auto"><strong>${each.key[1]}</strong> for ${each.key[0]}</span>
          <strong class="figure">${amount(unit, each[unit])}</strong>
        </div>
        <${Share} part=${each[unit]} whole=${whole} />
        <div class="row between muted">
          <span dir="auto">${each.key[2] || "no model named"}</span>
          <span class="figure">${percent(each[unit] / whole)}</span>
        </div>
      </li>`)}
    </ol>
  </section>`;
}

/* --- sums ------------------------------------------------------------------------------------- */

const SUMMED = ["tokens", "usd_micros", "calls", "ok", "fault"];

function sumOf(rows) {
  const sums = Object.fromEntries(SUMMED.map((name) => [name, 0]));
  for (const row of rows) for (const name of SUMMED) sums[name] += row[name] ?? 0;
  return sums;
}

const itemsOf = (read, day) => read.items.filter((each) => each.day === day);

/* Rows by what they have in common, the most in front; each keeps the rows it was summed up from. */
function grouped(items, by, unit) {
  const found = new Map();
  for (const each of items) {
    const name = String(each[by]) || `no ${by} named`;
    found.set(name, [...(found.get(name) ?? []), each]);
  }
  const groups = [...found].map(([name, rows]) => ({ name, key: rows[0][by], rows, ...sumOf(rows) }));
  return groups.sort((a, b) => b[unit] - a[unit] || a.name.localeCompare(b.name));
}

/* What the chart draws: the largest groups as parts of their own, and all others as one more. */
function stacked(days, groups, unit) {
  const spending = groups.filter((each) => each[unit]);
  const few = spending.length > PARTS_MAX + 1 ? PARTS_MAX : spending.length;
  const [own, rest] = [spending.slice(0, few), spending.slice(few)];
  const parts = rest.length ? [...own, { rows: rest.flatMap((each) => each.rows) }] : own;
  const on = (day, { rows }) => rows.reduce((n, row) => n + (row.day === day ? row[unit] : 0), 0);
  return {
    names: [...own.map((each) => each.name), ...(rest.length ? [OTHERS] : [])],
    days: days.map((day) => ({ day, parts: parts.map((part) => on(day, part)) })),
  };
}
