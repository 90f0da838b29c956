/* A small request, by hand: one agent, a goal, and the three things no task is taken without: a
   ceiling, a deadline and a finish line. Whatever is larger comes by the API or the command line. */

import { html, useState } from "../../lib/hooks.js";
import { post, session, useRead } from "../../lib/api.js";
import { useCell } from "../../lib/cell.js";
import { Dialog } from "../../lib/dialog.js";
import { Field, ProblemBox, isAbout } from "../../lib/parts.js";
import { go } from "../../lib/router.js";
import { toast } from "../../lib/toast.js";
import { someKey } from "./key.js";

const FIELDS = ["goal", "agent", "budget", "timeout", "until", "tenant"];
const LINES = [
  ["plan_done", "its step is done"],
  ["confidence", "the result is as sure as"],
];

export function NewTask({ onClose }) {
  const who = useCell(session);
  const agents = useRead("/v1/agents");
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  const [line, setLine] = useState("plan_done");
  const [key] = useState(someKey); // Sent twice, it is submitted once.
  const send = async (event) => {
    event.preventDefault();
    setBusy(true);
    try {
      const request = asked(new FormData(event.target));
      const task = await post("/v1/tasks", request, { headers: { "Idempotency-Key": key } });
      toast("Submitted. It ends in exactly one outcome.");
      onClose();
      go(`/tasks/${task.id}`);
    } catch (wrong) {
      setProblem(wrong);
      setBusy(false);
    }
  };
  const elsewhere = problem && !FIELDS.some((name) => isAbout(problem, name));
  return html`<${Dialog} title="New task" onClose=${onClose}>
    <form class="stack" onSubmit=${send}>
      ${elsewhere && html`<${ProblemBox} problem=${problem} />`}
      <${Field} label="Goal" name="goal" problem=${problem}>
        ${(p) => html`<textarea class="input" required autofocus dir="auto" rows="3"
          placeholder="What is to be reached" ...${p} />`}
      <//>
      <${Field} label="Agent" name="agent" problem=${problem} hint=${told(agents.value)}>
        ${(p) => html`<input class="input" required list="agents-known" autocomplete="off"
          spellcheck=${false} ...${p} />`}
      <//>
      <datalist id="agents-known">
        ${(agents.value?.items ?? []).map((each) => html`<option key=${each.name} value=${each.name} />`)}
      </datalist>
      <div class="fields">
        <${Field} label="Ceiling, in tokens" name="budget" problem=${problem}>
          ${(p) => html`<input class="input" required type="number" min="1" defaultValue="20000" ...${p} />`}
        <//>
        <${Field} label="Deadline" name="timeout" problem=${problem} hint="such as 90s, 5m, 2h">
          ${(p) => html`<input class="input" required defaultValue="5m" ...${p} />`}
        <//>
      </div>
      <div class="fields">
        <${Field} label="Done when" name="until" problem=${problem}>
          ${(p) => html`<select class="input" value=${line} onChange=${(e) => setLine(e.target.value)} ...${p}>
            ${LINES.map(([kind, word]) => html`<option key=${kind} value=${kind}>${word}</option>`)}
          </select>`}
        <//>
        ${line === "confidence" && html`<${Field} label="Confidence" name="at_least">
          ${(p) => html`<input class="input" type="number" min="0" max="1" step="0.01" defaultValue="0.85" ...${p} />`}
        <//>`}
        ${!who.tenant && html`<${Field} label="Tenant" name="tenant" problem=${problem}>
          ${(p) => html`<input class="input" required defaultValue="default" spellcheck=${false} ...${p} />`}
        <//>`}
      </div>
      <div class="row end">
        <button type="button" class="button" onClick=${onClose}>Not now</button>
        <button class="button primary" disabled=${busy}>${busy ? "Submitting…" : "Submit"}</button>
      </div>
    </form>
  <//>`;
}

function asked(form) {
  const text = (name) => form.get(name)?.trim();
  const kind = text("until");
  const request = {
    goal: text("goal"),
    agent: text("agent"),
    budget: { tokens: Number(text("budget")) },
    timeout: text("timeout"),
    until: kind === "confidence" ? { kind, at_least: Number(text("at_least")) } : { kind },
  };
  if (text("tenant")) request.tenant = text("tenant");
  return request;
}

function told(agents) {
  const live = (agents?.items ?? []).filter((each) => each.workers > 0).map((each) => each.name);
  return live.length ? `At work now: ${live.slice(0, 8).join(", ")}` : "";
}
