/* Steps of the plan that have not gone out yet: what a task that works still has before it.

   The graph shows what went out; without this, nobody would see the rest of a plan of sixty. */

import { html, useState } from "../../lib/hooks.js";
import { count } from "../../lib/format.js";

const SHOWN = 12;

export function ToCome({ task }) {
  const [whole, setWhole] = useState(false);
  const waiting = (task.steps ?? []).filter((step) => step.phase === "waiting");
  if (!waiting.length) return null;
  const left = new Set(task.steps.filter(({ phase }) => phase !== "done").map(({ id }) => id));
  const needs = new Map((task.request?.plan ?? []).map((step) => [step.id, step.needs ?? []]));
  const shown = whole ? waiting : waiting.slice(0, SHOWN);
  return html`<section class="card" aria-label="Still to come"><div class="card-head"><h2>Still to come</h2>
      <span class="muted">${count(waiting.length)} of ${count(task.steps.length)} steps</span></div>
    <ul class="to-come">
      ${shown.map((step) => html`<li key=${step.id}>
        <strong dir="auto">${step.id}</strong> <span class="muted" dir="auto">${step.agent || "nobody yet"}</span>
        <${For} steps=${(needs.get(step.id) ?? []).filter((each) => left.has(each))} />
      </li>`)}
    </ul>
    ${waiting.length > shown.length && html`<button type="button" class="button quiet" onClick=${() => setWhole(true)}>
      Show all ${count(waiting.length)}</button>`}
  </section>`;
}

const FEW = 3;

function For({ steps }) {
  if (!steps.length) return null;
  const more = steps.length > FEW ? ` and ${steps.length - FEW} more` : "";
  return html`<span class="muted">needs ${steps.slice(0, FEW).join(", ")}${more}</span>`;
}
