/* The desk's words: why a letter is there, what is asked, what each decision will do.

   A person must understand a letter in ten seconds, so each cause is one plain sentence. The exact
   text of whoever filed it is shown beneath, never instead. */

export const VERBS = {
  approve: { word: "Approve", key: "a", icon: "check", done: "approved", does: "Deliver what is kept." },
  amend: { word: "Amend", key: "e", icon: "tasks", done: "amended", does: "Deliver your own version." },
  answer: { word: "Answer", key: "w", icon: "question", done: "answered", does: "Tell the agent; it goes on." },
  retry: { word: "Retry", key: "r", icon: "again", done: "retried", does: "Let it go on, with more." },
  reassign: { word: "Reassign", key: "g", icon: "handoff", done: "reassigned", does: "Let another agent do it." },
  abort: { word: "Abort", key: "x", icon: "stop", done: "aborted", does: "End it; nothing is delivered." },
  replay: { word: "Replay", key: "p", icon: "again", done: "replayed", does: "Put it back on its queue, byte for byte." },
  discard: { word: "Discard", key: "d", icon: "close", done: "discarded", does: "Let it go; the letter stays as its record." },
};

const GIVES_UP = new Set(["abort", "discard"]);

export const givesUp = (verb) => GIVES_UP.has(verb);

export const wordOf = (verb) => VERBS[verb]?.word ?? verb;

export const doneOf = (verb) => VERBS[verb]?.done ?? verb;

/* Why a task came to the desk: the rule that stopped it. */
const RULES = {
  gate: "The result did not pass the gate",
  hop_cap: "It was passed around too often",
  budget: "Its budget is used up",
  deadline: "Its time is over",
  no_plan_left: "A step failed, and no plan is left",
  replan_cap: "It was re-planned too often",
  subtask_cap: "It has used up its subtasks",
  plan_exhausted: "All is done, but it is not finished",
  stalled: "It makes no progress",
  same_answer: "An agent repeats its answer",
  ping_pong: "Two agents pass it back and forth",
  repetition: "The same work is sent out repeatedly",
  undecidable: "No decision can be made: a fault of the software, or of the record",
};

/* Why a message was set aside: the check that it failed. */
const CHECKS = {
  oversize: "A message is too large",
  undecodable: "A message is not JSON",
  deep: "A message is nested too deep",
  shape: "A message is not one of Celery’s",
  serializer: "A message uses a serializer that is never used here",
  encoding: "A message uses an encoding that is never used here",
  compressed: "A message is compressed, which is never done here",
  "no-task": "A message names no task",
  "unknown-task": "A message names a task that no worker here has",
  unsigned: "A message is not signed",
  forged: "A message was not signed by us",
  schema: "A message is of a version this worker does not know",
  headers: "A message’s signed headers cannot be read",
  "wrong-queue": "A message was signed for another queue",
  "edited-task": "A message was changed after it was signed",
  "edited-id": "A message was changed after it was signed",
  "edited-claim": "A message was changed after it was signed",
  "edited-body": "A message was changed after it was signed",
  body: "A message’s body cannot be read",
  positional: "A request by Celery gives its fields by place, not by name",
  request: "A request by Celery has fields that are wrong",
  canvas: "A request by Celery asks for a call back",
  "time-limit": "A request by Celery carries a time limit of Celery’s",
  eta: "A message asks to be run later",
  expires: "A message carries an expiry of Celery’s",
  retried: "A message carries a retry of Celery’s",
  expired: "A message came too late",
  replayed: "A message was here before",
  "not-issued": "A message is a copy: its claim was not issued with it",
  unread: "A worker ended before it could say what is wrong",
};

const MESSAGES = new Set(["undeliverable", "expired", "forged", "oversize"]);

export const isMessage = (letter) => MESSAGES.has(letter.kind);

export function causeOf({ kind, reason, agent }) {
  if (kind === "question") return agent ? `${agent} asks a question` : "An agent asks a question";
  if (kind === "poison" && reason !== "undecidable") return "Workers fell silent over this step";
  const known = { ...RULES, ...CHECKS };
  return known[reason] ?? `Stopped: ${String(reason || kind).replaceAll("_", " ")}`;
}

/* A cause that many letters share: no agent in it. */
export const sharedCause = (reason) =>
  reason === "question" ? "An agent asks a question" : causeOf({ kind: "", reason });

export function askOf(letter) {
  const can = new Set(letter.allowed);
  if (isMessage(letter)) return can.has("replay") ? "Put it back, or let it go?" : "Let it go?";
  if (can.has("answer")) return "What do you say?";
  if (can.has("approve")) return "Is what is kept good enough?";
  return "Let it go on, or end it?";
}

/* What happens at the due time. */
export function fateOf(letter) {
  const verb = letter.if_nobody_decides ?? letter.story?.if_nobody_decides ?? (isMessage(letter) ? "discard" : "abort");
  const then = {
    approve: "what is kept is delivered",
    abort: "the task is aborted",
    discard: "the message is let go",
  };
  return then[verb] ?? `${wordOf(verb)} is applied`;
}

/* What the owner says of a decision that makes no sense, without what the page says already. */
export const plainRefusal = (text) =>
  text.replace(/^verb: /, "").replace(/^[a-z]+ by [^:]*: /, "").replace(/; the letter stays open$/, "");

/* The finish line that was crossed, by its name in the API: the rest of the sentence is plain. */
export const plainWhy = (text) =>
  String(text ?? "").replace(/^[a-z]+(_[a-z]+)+(?=, but )/, (name) => name.replaceAll("_", " "));

export const BY_NOBODY = "nobody";
export const BY_DEFAULT = "default";

export const whoOf = (by) => ([BY_NOBODY, BY_DEFAULT].includes(by) ? "nobody in time: the default" : by);
