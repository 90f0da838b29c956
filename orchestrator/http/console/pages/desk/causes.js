/* Causes: what letters have in common, by number. What is one cause is decided once. */

import { html, useState } from "../../lib/hooks.js";
import { may, query, useRead } from "../../lib/api.js";
import { useEvents, useGathered } from "../../lib/live.js";
import { count } from "../../lib/format.js";
import { Empty, Icon, STATES, Shown, Tabs } from "../../lib/parts.js";
import { Link } from "../../lib/router.js";
import { sharedCause } from "../letter/words.js";
import { DecideAll } from "./bulk.js";

const FACETS = [
  { id: "reason", word: "Reason" },
  { id: "agent", word: "Agent" },
  { id: "kind", word: "Kind" },
  { id: "tenant", word: "Tenant" },
];
const GATHER_MS = 700;

export function Causes({ heads, filter, onBack }) {
  const [facet, setFacet] = useState("reason");
  const [chosen, choose] = useState(null);
  const read = useRead(`/v1/letters/counts${query({ by: facet, ...filter })}`);
  const soon = useGathered(read.again, GATHER_MS);
  useEvents("/v1/events", ({ kind }) => kind.startsWith("letter.") && soon());
  const Title = heads ? "h1" : "h2";
  return html`<section class="causes" aria-labelledby="causes-title">
    <header class="causes-head">
      <div>
        <button type="button" class="button quiet small causes-back" onClick=${onBack}>
          <${Icon} name="left" />Letters</button>
        <${Title} id="causes-title" class="causes-title" tabindex="-1">What they have in common</${Title}>
        <p class="muted">Open a letter from the queue, or decide all of one cause at once.</p>
      </div>
      <${Tabs} tabs=${FACETS} chosen=${facet} onChoose=${setFacet} label="Group by" />
    </header>
    <${Shown} read=${read} empty=${({ counts }) => !Object.keys(counts).length && html`<${NoneFits} />`}>
      ${({ counts }) => html`<ul class="cause-list" data-testid="causes">
        ${Object.entries(counts).map(([value, n]) => html`<${Cause}
          key=${value}
          facet=${facet}
          value=${value}
          n=${n}
          most=${Math.max(...Object.values(counts))}
          onDecide=${() => choose({ facet, value })}
        />`)}
      </ul>`}
    <//>
    ${chosen && html`<${DecideAll}
      filter=${{ ...filter, [chosen.facet]: chosen.value }}
      title=${titleOf(chosen.facet, chosen.value)}
      onClose=${() => (choose(null), read.again())}
    />`}
  </section>`;
}

const NoneFits = () => html`<${Empty} icon="search" title="No letter fits these filters" />`;

function titleOf(facet, value) {
  if (facet === "reason") return sharedCause(value);
  if (facet === "kind") return STATES[value]?.[0] ?? value;
  return value || `no ${facet}`;
}

function Cause({ facet, value, n, most, onDecide }) {
  const title = titleOf(facet, value);
  const label = `${n} ${n === 1 ? "letter" : "letters"}: ${title}`;
  return html`<li class="cause">
    <span class="cause-number figure">${count(n)}</span>
    <span class="cause-main">
      <span class="cause-title"><bdi>${title}</bdi></span>
      <span class="cause-bar" aria-hidden="true"><span style=${{ width: `${(100 * n) / most}%` }} /></span>
    </span>
    <span class="cause-tools">
      ${value !== "" &&
      html`<${Link} class="button quiet small" to=${`/desk${query({ [facet]: value })}`}
        aria-label=${`Show ${label}`}>Show<//>`}
      ${value !== "" &&
      may("decide") &&
      html`<button type="button" class="button small" onClick=${onDecide}
        aria-label=${`Decide all: ${label}`}>Decide all…</button>`}
    </span>
  </li>`;
}
