/* Why the core did something, in words. The journal names the rule; this says what that means.

       why("hop_cap")     { word: "hop cap reached", tone: "desk", icon: "hop", says: "A task may ..." }
       stopped("hop_cap") "hop cap reached"; "decided: approve by ada" stays as it is

   The rules themselves: orchestrator/core/decide.py. A rule that is not listed here is shown by its
   own name, which is readable too. tests/test_console_static.py sees that none is missing. */

const WHYS = {
  // the ordinary course
  publish: ["published", "working", "send", "A message went onto the agent's queue. Its allowance is reserved, so no other step can spend it."],
  envelope: ["envelope", "idle", "letter", "An agent answered. Its status says whether the step is done; what its meter charged is booked."],
  conclude: ["concluded", "done", "flag", "The task has its one outcome. Nothing changes it any more."],
  handoff: ["handed over", "working", "handoff", "The agent asked that another one goes on, and the owner agreed: one hop more."],
  ask: ["asked", "idle", "question", "The owner put a question to an agent: a planner, a judge, or the owner agent."],
  verdict: ["verdict", "idle", "completed", "An agent judged what was produced by others. Nobody judges their own work."],
  planned: ["planned", "working", "tasks", "A planner made the plan that is now in force."],
  delegated: ["delegated", "working", "tasks", "A manager asked for these steps."],
  replanned: ["re-planned", "partial", "again", "A manager gave up what was not done yet, for these steps."],
  satisfied: ["manager satisfied", "done", "check", "The manager says that all is done. Whether it is, the finish line decides."],
  not_yet: ["not yet", "idle", "clock", "The manager says that all is done, but the finish line is not crossed; it was told so."],
  // another way
  next_agent: ["next agent", "partial", "again", "A step broke and goes to another agent that can do it."],
  next_plan: ["next plan", "partial", "again", "A plan gave way to the next one. Steps keep what they had produced."],
  rerouted: ["rerouted", "partial", "again", "The agent's breaker is open after faults, so another one does the step."],
  unstuck: ["changed course", "partial", "again", "Nothing moved, so the plan was changed. This happens once; the next time the owner judges."],
  refused: ["refused by the gate", "partial", "aborted", "What was produced is below the bar. It is done otherwise, if there is a way."],
  given_up: ["step given up", "partial", "aborted", "A step of this round broke; the manager hears of it and goes on without."],
  dropped: ["dropped", "partial", "partial", "An optional step broke, and the task goes on without it."],
  repeats: ["repeats", "desk", "warn", "The same message went to the same agent again. One more time and it counts as a loop."],
  // faults
  lost: ["worker lost", "aborted", "warn", "The worker fell silent. What its meter had recorded is booked; the step runs again under a new id."],
  unclaimed: ["never fetched", "partial", "clock", "No worker fetched the message in time; it was taken back at no cost and goes out again."],
  revoked: ["taken back", "partial", "stop", "The owner took the subtask away; its worker cannot spend any more."],
  poison: ["poison", "aborted", "warn", "Several workers fell silent over this step, so it is not tried again."],
  undecidable: ["undecidable", "aborted", "warn", "Deciding about this task failed several times in a row. Its claims were taken away, and a person is asked."],
  step_timeout: ["step timed out", "aborted", "clock", "No envelope came within the step's own time. What was charged is booked."],
  late_envelope: ["came too late", "idle", "letter", "An answer to a subtask that was settled before. It changes nothing."],
  payload_too_large: ["too large to send", "aborted", "warn", "The message is larger than what may travel."],
  no_such_skill: ["nobody has the skill", "aborted", "warn", "No agent that is known has the skill this step wants."],
  handoff_refused: ["handoff refused", "aborted", "aborted", "An agent may hand over only to those that it declared, and that are known."],
  plan_refused: ["plan refused", "aborted", "aborted", "The planner's plan does not fit the task's caps, or is one that failed before."],
  round_refused: ["round refused", "aborted", "aborted", "What the manager asked for does not fit the task's caps, or repeats itself."],
  // caps: the owner judges
  hop_cap: ["hop cap reached", "desk", "hop", "A task may change hands so often and no more. Control is back with the owner."],
  subtask_cap: ["subtask cap reached", "desk", "stop", "More messages were wanted than the task may ever send."],
  replan_cap: ["re-plan cap reached", "desk", "again", "The plan was changed as often as it may be, and a step is still broken."],
  budget: ["budget used up", "desk", "tokens", "What is free does not hold the next step. No call was made that could overrun the ceiling."],
  deadline: ["deadline passed", "desk", "clock", "The time for the whole task is over."],
  stalled: ["no progress", "desk", "warn", "Answers came without progress, and another plan did not help."],
  repetition: ["repetition", "desk", "again", "The same message would have gone to the same agent once too often."],
  same_answer: ["going in circles", "desk", "again", "An agent gave the same answer again and again."],
  ping_pong: ["ping-pong", "desk", "handoff", "The step went to and fro between too few agents."],
  no_plan_left: ["no plan left", "desk", "warn", "A step is broken, and there is no other agent or plan for it."],
  plan_exhausted: ["plan exhausted", "desk", "warn", "Every step is done, and still the finish line is not crossed."],
  gate: ["below the bar", "desk", "stop", "The result does not pass the gate: schema, rules, confidence or validators."],
  below_the_bar: ["not delivered", "desk", "stop", "What is kept does not pass the gate, so it does not leave without a person."],
  last_word: ["owner's last word", "idle", "flag", "The owner agent was asked what becomes of the task."],
  // people
  escalate: ["went to the desk", "desk", "person", "A person is asked. The deadline stands still while the letter waits."],
  question: ["question", "desk", "question", "An agent wants to know something of a person."],
  decided: ["decided", "done", "person", "Somebody decided the letter. The first decision counts."],
  answered: ["answered", "done", "person", "A person answered; the step goes on with the answer."],
  granted: ["granted more", "done", "plus", "A person lets the task go on, with wider bounds."],
  late_decision: ["decided too late", "idle", "person", "The letter had been decided before; this changes nothing."],
  refused_decision: ["decision refused", "aborted", "person", "The decision made no sense of this letter; it stays open."],
  nobody_decided: ["nobody decided", "aborted", "clock", "The letter's time was over, and what was declared for that case was done."],
  stop_asked: ["asked to stop", "idle", "person", "Somebody wishes the task to stop; nothing more goes out for it."],
  cancelled: ["cancelled", "aborted", "stop", "Somebody asked to stop the task. What was produced is kept."],
  replay: ["message put back", "working", "again", "A message that was set aside went back onto its queue, byte for byte."],
  discard: ["message let go", "idle", "close", "A message that was set aside was let go; its letter stays as the record."],
  // finish lines, as reasons why a task stopped
  plan_done: ["plan done", "done", "check", "Every step that is not optional is done."],
  confidence: ["confident enough", "done", "check", "The result is as sure as the finish line wants."],
  rounds: ["rounds over", "done", "check", "The manager has had its rounds."],
  spent: ["share spent", "done", "tokens", "The share of the budget that was meant for it is spent."],
  elapsed: ["time over", "done", "clock", "The time that was meant for it is over."],
  result_matches: ["result matches", "done", "check", "The result has the form that the finish line wants."],
};

export function why(name) {
  const [word, tone, icon, says] = (Object.hasOwn(WHYS, name) ? WHYS[name] : undefined) ?? [String(name).replaceAll("_", " "), "idle", "waiting", ""];
  return { word, tone, icon, says };
}

export function stopped(reason) {
  return Object.hasOwn(WHYS, reason ?? "") ? WHYS[reason][0] : String(reason ?? "");
}
