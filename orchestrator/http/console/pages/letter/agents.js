/* Who could go on: every agent, whether a worker of it lives, and how busy it is. */

import { html, useEffect, useRef } from "../../lib/hooks.js";
import { useRead } from "../../lib/api.js";
import { Badge, Icon, ProblemBox, Skeleton } from "../../lib/parts.js";

export function Agents({ letter, chosen, onChoose, problem }) {
  const agents = useRead("/v1/agents");
  useFocusPassedOn(Boolean(agents.value));
  const wrong = problem?.field === "agent" ? problem.message : null;
  if (agents.problem && !agents.value)
    return html`<${ProblemBox} problem=${agents.problem} again=${agents.again} />`;
  if (!agents.value) return html`<div data-first="" tabindex="-1"><${Skeleton} lines=${3} /></div>`;
  const known = agents.value.items.filter((one) => one.known);
  const order = (one) => [one.name === letter.agent, !one.workers, one.breaker_open].filter(Boolean).length;
  const sorted = [...known].sort((a, b) => order(a) - order(b) || a.name.localeCompare(b.name));
  return html`<fieldset class="takeover-box" aria-describedby=${wrong ? "agents-wrong" : undefined}>
    <legend>Which agent is to go on?</legend>
    <div class="takeovers">
      ${sorted.map((one, n) => html`<${One} key=${one.name} one=${one} first=${chosen ? one.name === chosen : n === 0}
        holds=${one.name === letter.agent} chosen=${chosen} onChoose=${onChoose} />`)}
      ${!sorted.length && html`<p class="muted">
        No worker has ever said which agents it runs. Start one: <code>buckstop worker MODULE</code>
      </p>`}
    </div>
    ${wrong && html`<span class="wrong" id="agents-wrong"><${Icon} name="warn" />${wrong}</span>`}
  </fieldset>`;
}

/* The form may open before the agents are known: whoever waits for them is led to the first. */
function useFocusPassedOn(known) {
  const waited = useRef(false);
  if (!known) waited.current = true;
  useEffect(() => {
    const lost = [document.body, null].includes(document.activeElement);
    if (known && waited.current && lost) document.querySelector(".takeovers [data-first]")?.focus();
  }, [known]);
}

function One({ one, holds, first, chosen, onChoose }) {
  return html`<label class=${`choice takeover ${one.workers ? "" : "is-dead"}`}>
    <input
      type="radio"
      name="agent"
      value=${one.name}
      checked=${one.name === chosen}
      data-first=${first ? "" : undefined}
      onChange=${() => onChoose(one.name)}
    />
    <span class="takeover-name"><bdi>${one.name}</bdi>${holds && html`<span class="muted"> has it now</span>`}</span>
    <span class="takeover-state">${stateOf(one)}</span>
  </label>`;
}

function stateOf(one) {
  const lives = one.workers === 1 ? "1 worker lives" : `${one.workers} workers live`;
  if (!one.workers) return html`<${Badge} state="aborted" word="no worker lives" />`;
  if (one.breaker_open) return html`<${Badge} state="on_desk" icon="warn" word="breaker open" />`;
  return html`<${Badge} state="done" word=${one.waiting ? `${lives}, ${one.waiting} waiting` : lives} />`;
}
