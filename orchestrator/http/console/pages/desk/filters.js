/* Filters of the queue, each with how many letters it would show.

   Kinds are chips, for there are seven; reasons, agents and tenants may be many, so each is a
   select. The counts of one facet are those under all other filters: what a click would bring. */

import { html, useEffect } from "../../lib/hooks.js";
import { query, useRead } from "../../lib/api.js";
import { useCellNames } from "../../lib/cells.js";
import { count } from "../../lib/format.js";
import { Icon, STATES } from "../../lib/parts.js";

const AGES = [
  ["", "Age"],
  ["600", "over 10 min"],
  ["3600", "over 1 h"],
  ["86400", "over 1 day"],
  ["604800", "over 1 week"],
];

/* What of the address are filters, in the API's words. */
export function filterOf({ kind, reason, agent, tenant, older, cell }) {
  return { kind, reason, agent, tenant, older_s: older, cell };
}

/* What takes every filter out of the address. */
export const NO_FILTER = { kind: "", reason: "", agent: "", tenant: "", older: "", cell: "" };

export const isFiltered = (filter) => Object.values(filter).some(Boolean);

function useCounts(facet, filter, version) {
  const read = useRead(`/v1/letters/counts${query({ by: facet, ...filter, [facet]: undefined })}`);
  useEffect(() => void (version && read.again()), [version]);
  return read.value;
}

export function Filters({ filter, want, version }) {
  const props = { filter, want, version };
  return html`<div class="desk-filters" role="group" aria-label="Filter letters">
    <${Kinds} ...${props} />
    <div class="filter-selects">
      <${Facet} facet="reason" word="reason" ...${props} />
      <${Facet} facet="agent" word="agent" ...${props} />
      <${Facet} facet="tenant" word="tenant" ...${props} />
      <${Age} ...${props} />
      <${Cells} ...${props} />
    </div>
    ${isFiltered(filter) && html`<button type="button" class="button quiet small filter-clear"
      onClick=${() => want(NO_FILTER)}><${Icon} name="close" />Clear filters</button>`}
  </div>`;
}

function Kinds({ filter, want, version }) {
  const said = useCounts("kind", filter, version);
  const counts = { ...(said?.counts ?? {}) };
  if (filter.kind && !(filter.kind in counts)) counts[filter.kind] = 0;
  const chip = (kind, word, n) => html`<button
    key=${kind}
    type="button"
    class="chip"
    aria-pressed=${String((filter.kind ?? "") === kind)}
    onClick=${() => want({ kind: filter.kind === kind ? "" : kind })}
  >${word}<span class="chip-count figure">${count(n)}</span></button>`;
  return html`<div class="chips" role="group" aria-label="Kind">
    ${chip("", "All", said?.total ?? 0)}
    ${Object.entries(counts).map(([kind, n]) => chip(kind, STATES[kind]?.[0] ?? kind, n))}
  </div>`;
}

function Facet({ facet, word, filter, want, version }) {
  const said = useCounts(facet, filter, version);
  const counts = { ...(said?.counts ?? {}) };
  const chosen = filter[facet] ?? "";
  if (chosen && !(chosen in counts)) counts[chosen] = 0;
  return html`<span class=${`chip-select ${chosen ? "is-on" : ""}`}>
    <select aria-label=${`Filter by ${word}`} value=${chosen} onChange=${(e) => want({ [facet]: e.target.value })}>
      <option value="">${chosen ? `any ${word}` : title(word)}</option>
      ${Object.entries(counts).map(([value, n]) => html`<option key=${value} value=${value} disabled=${value === ""}>
        ${value === "" ? `no ${word}` : value.replaceAll("_", " ")} (${count(n)})</option>`)}
    </select><${Icon} name="down" />
  </span>`;
}

const title = (word) => word[0].toUpperCase() + word.slice(1);

/* Only where there are several; in which a letter is, its row says. */
function Cells({ filter, want }) {
  const chosen = filter.cell ?? "";
  const names = useCellNames(chosen);
  if (!names.length) return null;
  return html`<span class=${`chip-select ${chosen ? "is-on" : ""}`}>
    <select aria-label="Filter by cell" value=${chosen} onChange=${(e) => want({ cell: e.target.value })}>
      <option value="">${chosen ? "any cell" : "Cell"}</option>
      ${names.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}
    </select><${Icon} name="down" />
  </span>`;
}

function Age({ filter, want }) {
  const chosen = filter.older_s ?? "";
  const ages = AGES.some(([s]) => s === chosen) ? AGES : [...AGES, [chosen, `over ${chosen} s`]];
  return html`<span class=${`chip-select ${chosen ? "is-on" : ""}`}>
    <select aria-label="Filter by time waited" value=${chosen} onChange=${(e) => want({ older: e.target.value })}>
      ${ages.map(([seconds, word]) => html`<option key=${seconds} value=${seconds}>${word}</option>`)}
    </select><${Icon} name="down" />
  </span>`;
}
