/* From a journal to the graph of a task's subtasks: who worked at which hop, and what led to whom.

       hops(notes, request)   [{subtask, step, agent, hop, state, confidence, charged, at_ms, ended_ms,
                                from: [{subtask, why}]}], in the order in which they went out

   Pure. The journal says what was published and what came of it; what a step needs is said by the
   plan that was in force: the request's own, or one that an agent made up (notes with `steps`). */

const ENDINGS = new Set(["lost", "unclaimed", "revoked", "step_timeout", "poison"]);
const AGAIN = {
  handoff: "handed over",
  lost: "its worker was lost",
  unclaimed: "never fetched",
  revoked: "taken back",
  next_agent: "next agent",
  rerouted: "rerouted",
  answered: "answered",
  granted: "a person's retry",
};

export function hops(notes, request) {
  const seen = {
    nodes: new Map(), // subtask -> node
    last: new Map(), // step -> its last subtask
    needs: new Map(needsOf(request?.plan)), // step -> steps
    cause: new Map(), // step -> the subtask whose agent made it up
    again: new Map(), // step -> why it goes out again
    heard: null, // the subtask that answered last
    broke: null, // the subtask after which a plan gave way
  };
  for (const note of notes) (READERS[note.why] ?? other)(seen, note, request);
  return [...seen.nodes.values()];
}

const needsOf = (plan) => (plan ?? []).map((step) => [step.id, step.needs ?? []]);

function publish(seen, note) {
  const { subtask, step, agent, hop, at_ms } = note;
  const node = { subtask, step, agent, hop, at_ms, state: "open", confidence: null, charged: null };
  seen.nodes.set(subtask, { ...node, ended_ms: null, from: causes(seen, note) });
  seen.last.set(step, subtask);
  seen.again.delete(step);
}

function causes(seen, { step }) {
  if (seen.last.has(step)) return [{ subtask: seen.last.get(step), why: seen.again.get(step) ?? "again" }];
  const needs = (seen.needs.get(step) ?? []).filter((need) => seen.last.has(need));
  if (needs.length) return needs.map((need) => ({ subtask: seen.last.get(need), why: `needs ${need}` }));
  if (seen.cause.has(step)) return [{ subtask: seen.cause.get(step), why: "asked for it" }];
  if (step?.startsWith("_") && seen.heard) return [{ subtask: seen.heard, why: "is judged, or told of it" }];
  if (seen.broke) return [{ subtask: seen.broke, why: "another plan" }];
  return [];
}

function envelope(seen, note) {
  const node = seen.nodes.get(note.subtask);
  if (!node) return;
  const { status, confidence, charged, at_ms } = note;
  seen.nodes.set(note.subtask, { ...node, state: status, confidence, charged, ended_ms: at_ms });
  seen.heard = note.subtask;
}

function nextPlan(seen, note, request) {
  const plan = request?.fallback_plans?.[(note.plan ?? 0) - 1];
  for (const [step, needs] of needsOf(plan)) seen.needs.set(step, needs);
  seen.broke = seen.heard;
  for (const step of seen.last.keys()) seen.again.set(step, "another plan");
}

function planned(seen, note) {
  const cause = seen.last.get(note.step);
  for (const [step, needs] of needsOf(note.steps)) {
    seen.needs.set(step, needs);
    if (cause !== undefined) seen.cause.set(step, cause);
  }
}

function other(seen, note) {
  if (ENDINGS.has(note.why)) {
    const node = seen.nodes.get(note.subtask);
    const ended = { state: note.why, charged: note.charged, ended_ms: note.at_ms };
    if (node) seen.nodes.set(note.subtask, { ...node, ...ended });
  }
  if (note.step && AGAIN[note.why]) seen.again.set(note.step, AGAIN[note.why]);
  if (!note.step && note.why === "granted") {
    for (const step of seen.last.keys()) seen.again.set(step, AGAIN.granted);
  }
}

const READERS = { publish, envelope, next_plan: nextPlan, planned, delegated: planned, replanned: planned };
