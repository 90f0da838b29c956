/* Who could go on: every agent, whether a worker of it lives, and how busy it is. */

import { html } from "../../lib/hooks.js";
import { useRead } from "../../lib/api.js";
import { Icon, ProblemBox, Skeleton } from "../../lib/parts.js";

export function Agents({ letter, chosen, onChoose, problem }) {
  const agents = useRead("/v1/agents");
  const wrong = problem?.field === "agent" ? problem.message : null;
  if (agents.problem && !agents.value) return html`<${ProblemBox} problem=${agents.problem} again=${agents.again} />`;
  if (!agents.value) return html`<${Skeleton} lines=${3} />`;
  const known = agents.value.items.filter((one) => one.known);
  const order = (one) => [one.name === letter.agent, !one.workers, one.breaker_open].filter(Boolean).length;
  const sorted = [...known].sort((a, b) => order(a) - order(b) || a.name.localeCompare(b.name));
  return html`<fieldset class="agents" aria-describedby=${wrong ? "agents-wrong" : undefined}>
    <legend>Which agent is to go on?</legend>
    <div class="agents-list">
      ${sorted.map((one, n) => html`<${One} key=${one.name} one=${one} first=${chosen ? one.name === chosen : n === 0}
        holds=${one.name === letter.agent} chosen=${chosen} onChoose=${onChoose} />`)}
      ${!sorted.length && html`<p class="muted">No worker has ever said which agents it runs. Start one: <code>buckstop worker MODULE</code></p>`}
    </div>
    ${wrong && html`<span class="wrong" id="agents-wrong"><${Icon} name="warn" />${wrong}</span>`}
  </fieldset>`;
}

function One({ one, holds, first, chosen, onChoose }) {
  return html`<label class=${`choice agent ${one.workers ? "" : "is-dead"}`}>
    <input type="radio" name="agent" value=${one.name} checked=${one.name === chosen} data-first=${first ? "" : undefined}
      onChange=${() => onChoose(one.name)} />
    <span class="agent-name"><bdi>${one.name}</bdi>${holds && html`<span class="muted"> has it now</span>`}</span>
    <span class="agent-state">${stateOf(one)}</span>
  </label>`;
}

function stateOf(one) {
  if (!one.workers) return html`<span class="tone-aborted agent-dot"><${Icon} name="aborted" />no worker lives</span>`;
  if (one.breaker_open) return html`<span class="tone-desk agent-dot"><${Icon} name="warn" />breaker open</span>`;
  const lives = one.workers === 1 ? "1 worker lives" : `${one.workers} workers live`;
  const busy = one.waiting ? `, ${one.waiting} waiting` : "";
  return html`<span class="tone-done agent-dot"><${Icon} name="completed" />${lives}${busy}</span>`;
}
