/* The agents: what each has to do, whether it is well, and what its word is worth.

   Trouble stands in front: an open breaker, a queue that nobody works on. What an administrator can
   do about an agent is done here: bound what is in flight, close a breaker that is repaired.

   Queue depths are announced by nobody, so the page looks again every few seconds, and at once when
   a task has changed. */

import { html, useState } from "../lib/hooks.js";
import { DIMENSIONS, amounts, count, duration, useNow } from "../lib/format.js";
import { may, post, useRead } from "../lib/api.js";
import { Dialog, confirmed } from "../lib/dialog.js";
import { useEvents, useGathered } from "../lib/live.js";
import { Badge, Empty, Field, Icon, Page, ProblemBox, Shown, Tip } from "../lib/parts.js";
import { useTitle } from "../lib/router.js";
import { useRhythm } from "../lib/rhythm.js";
import { toast } from "../lib/toast.js";
import { Calibration, Outcomes, Share } from "../charts.js";

const LOOK_MS = 4000;
const GATHER_MS = 500; // A burst of changes is one look.

export function Agents() {
  useTitle("Agents");
  const crew = useRead("/v1/agents");
  useRhythm(crew.again, LOOK_MS);
  useEvents("/v1/events", useGathered(crew.again, GATHER_MS));
  return html`<${Page} title="Agents" class="agents">
    <${Shown} read=${crew} empty=${nobody}>
      ${({ items }) => html`<${Crew} items=${items} again=${crew.again} />`}
    <//>
  <//>`;
}

function Crew({ items, again }) {
  const retired = items.filter((one) => one.retired);
  const others = items.filter((one) => !one.retired);
  return html`
    ${others.length > 0 && html`<${Summary} agents=${others} /><${Listed} agents=${others} again=${again} />`}
    ${retired.length > 0 && html`<details class="more retired">
      <summary>${count(retired.length)} retired ${retired.length === 1 ? "agent" : "agents"}
        <span class="muted">no worker, nothing to do, nothing done since yesterday</span></summary>
      <${Listed} agents=${retired} again=${again} />
    </details>`}`;
}

function Listed({ agents, again }) {
  return html`<div class="crew">
    <div class="crew-head" aria-hidden="true">
      ${["Agent", ...WORDS].map((word) => html`<span key=${word}>${word}</span>`)}
    </div>
    <ul>
      ${inOrder(agents).map((one) => html`<${Agent} key=${one.name} one=${one} again=${again} />`)}
    </ul>
  </div>`;
}

function nobody({ items }) {
  if (items.length) return null;
  return html`<${Empty} icon="agents" title="No worker has come yet">
    An agent appears here once a worker says that it runs it. Start one with
    <code>buckstop worker MODULE</code>, or everything at once with <code>buckstop up</code>.
  <//>`;
}

const unserved = (one) => one.workers === 0 && one.waiting > 0;
const trouble = (one) => (one.breaker_open ? 2 : 0) + (unserved(one) ? 1 : 0);
const inOrder = (items) =>
  [...items].sort((a, b) => trouble(b) - trouble(a) || a.name.localeCompare(b.name));

function Summary({ agents }) {
  const sum = (of) => agents.reduce((all, one) => all + of(one), 0);
  const open = sum((one) => (one.breaker_open ? 1 : 0));
  const said = [
    `${count(agents.length)} ${agents.length === 1 ? "agent" : "agents"}`,
    `${count(sum((one) => one.waiting))} waiting in queues`,
    agents.some((one) => one.in_flight !== null) &&
      `${count(sum((one) => one.in_flight))} in flight`,
    open ? `${count(open)} ${open === 1 ? "breaker" : "breakers"} open` : "all breakers closed",
  ];
  return html`<p class="summary muted figure">${said.filter(Boolean).join(" · ")}</p>`;
}

/* --- one agent -------------------------------------------------------------------------------- */

const WORDS = ["Queue", "In flight", "Workers", "Since yesterday", "Spent", "Word against fact"];

function Agent({ one, again }) {
  const id = `agent-${one.name}`;
  const facts = [
    html`<${Queue} one=${one} />`,
    html`<${InFlight} one=${one} again=${again} />`,
    html`<${Workers} one=${one} />`,
    html`<${Outcomes} ...${one.days} />`,
    html`<${Spent} sum=${one.days} />`,
    html`<${Sureness} calibration=${one.calibration} />`,
  ];
  return html`<li class=${`card agent ${trouble(one) ? "is-troubled" : ""}`} aria-labelledby=${id}>
    <div class="agent-head">
      <h2 id=${id} dir="auto">${one.name}</h2>
      <${Breaker} one=${one} />
      <p class="agent-skills muted">${skillsOf(one)}</p>
    </div>
    <dl class="agent-facts">
      ${WORDS.map((word, n) => html`<div key=${word}><dt>${word}</dt><dd>${facts[n]}</dd></div>`)}
    </dl>
    <${BreakerHelp} one=${one} again=${again} />
  </li>`;
}

const CALIBRATION =
  "How sure the agent said it was of what came to the desk, against the share of it that people " +
  "approved. Only what reached the desk is judged, so the agent is right at least this often.";

function skillsOf({ skills, handoffs, known }) {
  if (!known) return "no worker has ever said that it runs this agent";
  const parts = [skills.length && `can ${skills.join(", ")}`];
  parts.push(handoffs.length && `may hand over to ${handoffs.join(", ")}`);
  return parts.filter(Boolean).join(" · ") || "no skills declared";
}

function Queue({ one }) {
  return html`<span class="counted"><b class="figure big">${count(one.waiting)}</b>${" "}
    <span class="muted">waiting</span></span>`;
}

const hidden = html`<span class="muted">of all tenants, so not shown</span>`;

function Workers({ one }) {
  if (one.workers === null) return hidden;
  if (unserved(one)) return html`<${Badge} word="none alive" tone="aborted" icon="warn" />`;
  return html`<span class="counted"><b class="figure big">${count(one.workers)}</b>${" "}
    <span class="muted">alive</span></span>`;
}

function InFlight({ one, again }) {
  const [open, setOpen] = useState(false);
  if (one.in_flight === null) return hidden;
  const full = one.cap !== null && one.in_flight >= one.cap;
  return html`<div class="in-flight">
    <span class="counted"><b class="figure big">${count(one.in_flight)}</b>${" "}
      <span class="muted figure">${one.cap === null ? "no cap" : `of ${count(one.cap)}`}</span>${" "}
      ${full && html`<span class="full">full</span>`}</span>
    ${one.cap !== null && html`<${Share} part=${one.in_flight} whole=${one.cap}
      class=${full ? "is-full" : ""} />`}
    ${may("admin") && html`<button type="button" class="button quiet small"
      aria-label="Set the cap of ${one.name}" onClick=${() => setOpen(true)}>Set cap</button>`}
    ${open && html`<${Cap} one=${one} again=${again} onClose=${() => setOpen(false)} />`}
  </div>`;
}

function Spent({ sum }) {
  const spent = DIMENSIONS.filter(({ name }) => sum[name]);
  if (!spent.length) return html`<span class="muted">nothing</span>`;
  return html`<ul class="spent figure">
    ${spent.map(({ name }) => html`<li key=${name}>${amounts({ [name]: sum[name] })}</li>`)}
  </ul>`;
}

function Sureness({ calibration }) {
  if (!calibration) return html`<span class="muted">not judged by people yet</span>`;
  return html`<${Tip} says=${CALIBRATION}><${Calibration} ...${calibration} /><//>`;
}

/* --- the breaker ------------------------------------------------------------------------------ */

function Breaker({ one }) {
  const now = useNow();
  if (!one.breaker_open) return html`<${Badge} state="closed" word="breaker closed" />`;
  if (one.probing) return html`<${Badge} state="half_open" word="breaker probing" />`;
  if (one.opens_ms <= now) return html`<${Badge} state="half_open" word="breaker half open" />`;
  return html`<${Badge} state="tripped" word="breaker open" />`;
}

function BreakerHelp({ one, again }) {
  const now = useNow();
  if (!one.breaker_open) return null;
  const shut = !one.probing && one.opens_ms > now;
  return html`<div class=${`breaker-help ${shut ? "is-shut" : ""}`}>
    <p>${shut ? html`<${Shut} left=${one.opens_ms - now} />` : tried(one)}</p>
    ${may("admin")
      ? html`<button type="button" class="button" aria-label="Close the breaker of ${one.name}"
          onClick=${() => reset(one, again)}><${Icon} name="again" />Close it now</button>`
      : html`<p class="muted">Repaired? Somebody who may administer closes it here, or with
          <code>buckstop agents reset ${one.name}</code>.</p>`}
  </div>`;
}

function Shut({ left }) {
  const seconds = duration(Math.ceil(left / 1000) * 1000);
  return html`It failed too often, so it is sent nothing. One subtask may try it out in ${" "}
    <strong class="figure">${seconds}</strong>.`;
}

const tried = ({ probing }) =>
  probing
    ? "It failed too often. One subtask is trying it out now; if it goes well, the breaker closes."
    : "It failed too often. The next subtask tries it out; if it goes well, the breaker closes.";

async function reset(one, again) {
  const sure = await confirmed({
    title: `Close the breaker of ${one.name}?`,
    text: "Its faults are forgotten and it is sent work at once. If it is not repaired, the " +
      "breaker opens again after the next faults, and the subtasks sent meanwhile are lost to it.",
    yes: "Close the breaker",
    no: "Leave it open",
  });
  if (!sure) return;
  try {
    await post(`/v1/agents/${encodeURIComponent(one.name)}/reset`);
    toast(`The breaker of ${one.name} is closed.`);
  } catch (problem) {
    toast(problem.message, "bad");
  }
  again();
}

/* --- the cap ---------------------------------------------------------------------------------- */

function Cap({ one, again, onClose }) {
  const [most, setMost] = useState(one.cap === null ? "" : String(one.cap));
  const [problem, setProblem] = useState(null);
  const send = async (event) => {
    event.preventDefault();
    try {
      const cap = most.trim() === "" ? null : Number(most);
      await post(`/v1/agents/${encodeURIComponent(one.name)}/cap`, { cap });
      toast(cap === null ? `${one.name} has no cap.` : `${one.name}: at most ${cap} in flight.`);
      onClose();
      again();
    } catch (refused) {
      setProblem(refused);
    }
  };
  return html`<${Dialog} title="Cap of ${one.name}" onClose=${onClose}>
    <form class="stack" onSubmit=${send}>
      <p>How many messages of it may be in flight at once, over all workers and tenants. More wait
        with their tasks. What is in flight now goes on.</p>
      <${Field} label="At most" name="cap" hint="A whole number from 1; empty for no cap."
        problem=${problem}>
        ${(props) => html`<input class="input" ...${props} type="number" min="1" step="1" autofocus
          inputmode="numeric" value=${most} onInput=${(event) => setMost(event.target.value)} />`}
      <//>
      ${problem && problem.field !== "cap" && html`<${ProblemBox} problem=${problem} />`}
      <div class="row end">
        <button type="button" class="button" onClick=${onClose}>Cancel</button>
        <button type="submit" class="button primary">Set the cap</button>
      </div>
    </form>
  <//>`;
}
