/* What each decision needs to know, as a form; and how what was typed becomes a decision.

       <${Form} verb="retry" letter=${letter} draft=${draft} change=${change} problem=${problem} />
       decisionOf("retry", letter, draft)       the body for the API, or throws a Problem

   What is wrong is said at the field it is about, in the API's own names of fields, whether this
   page or the server finds it. */

import { html } from "../../lib/hooks.js";
import { Problem, useRead } from "../../lib/api.js";
import { DIMENSIONS, amount } from "../../lib/format.js";
import { Field, Icon } from "../../lib/parts.js";
import { Agents } from "./agents.js";
import { Answer } from "./answer.js";
import { Editor, firstText } from "./editor.js";
import { readJson } from "./json_text.js";

const MICROS_PER_USD = 1e6;
const DURATION = /^\s*\d+(\.\d+)?\s*(ms|s|m|h|d)\s*$/;

const WHYS = {
  approve: "Why is it good enough?",
  amend: "What did you change, and why?",
  answer: "Anything for the record?",
  retry: "What should it do differently?",
  reassign: "Why that agent?",
  abort: "Why end it?",
  replay: "Why should it run now?",
  discard: "Why let it go?",
};
const TOLD = new Set(["retry"]); // The agents are told why.
const ALONE = new Set(["approve", "abort", "replay", "discard"]); // Nothing but the why is asked.
const TERSE = new Set(["answer", "amend", "reassign"]);

export function Form({ verb, letter, draft, change, problem }) {
  const Fields = { amend: Editor, answer: Answer, retry: Retry, reassign: Reassign }[verb];
  const props = { letter, draft, change, problem };
  return html`
    ${Fields && html`<${Fields} ...${props} />`}
    <${Why} verb=${verb} ...${props} />
  `;
}

function Why({ verb, draft, change, problem }) {
  const kept = "Stays in the task’s journal, with your name.";
  const hint = TOLD.has(verb) ? "Planner and manager agents are told this. It stays in the journal." : kept;
  return html`<${Field} label=${WHYS[verb]} name="why" hint=${hint} problem=${problem}>
    ${(p) => html`<textarea
      class="input why"
      rows=${TERSE.has(verb) ? 1 : 2}
      maxlength="4096"
      ...${p}
      dir="auto"
      data-first=${ALONE.has(verb) ? "" : undefined}
      value=${draft.why ?? ""}
      onInput=${(e) => change({ why: e.target.value })}
    />`}
  <//>`;
}

/* --- retry ------------------------------------------------------------------------------------ */

/* What ran out is offered half again; what did not is left alone. */
export function offered(letter) {
  const story = letter.story ?? {};
  const { spent = {}, ceiling = {}, hop = 0, hops_max: most = 0 } = story;
  const budget = letter.reason === "budget";
  const bounded = DIMENSIONS.filter(({ name }) => (ceiling[name] ?? null) !== null);
  const tight = bounded.filter(({ name }) => (spent[name] ?? 0) >= 0.75 * ceiling[name]);
  const more = tight.length || !budget ? tight : bounded;
  return {
    ...Object.fromEntries(more.map(({ name }) => [name, halfOf(name, ceiling[name])])),
    hops: letter.reason === "hop_cap" || hop >= most ? String(Math.max(2, Math.ceil(most / 2))) : "",
    time: letter.reason === "deadline" ? "10m" : "",
  };
}

function halfOf(name, sum) {
  return String(name === "usd_micros" ? sum / 2 / MICROS_PER_USD : Math.ceil(sum / 2));
}

const given = (draft, letter, name) => draft[name] ?? offered(letter)[name] ?? "";

function Retry({ letter, draft, change, problem }) {
  const { ceiling = {}, hops_max: most = 0 } = letter.story ?? {};
  const bounded = DIMENSIONS.filter(({ name }) => (ceiling[name] ?? null) !== null);
  const names = [...bounded.map(({ name }) => name), "hops", "time"];
  const first = names.find((name) => given(draft, letter, name)) ?? names[0];
  const props = (name) => ({
    value: given(draft, letter, name),
    onInput: (e) => change({ [name]: e.target.value }),
    first: name === first,
    problem,
  });
  return html`
    <fieldset class="more">
      <legend>More of</legend>
      <div class="more-fields">
        ${bounded.map(({ name, word }) => html`<${More}
          key=${name}
          word=${word}
          name=${`budget.${name === "usd_micros" ? "usd" : name}`}
          hint=${`of ${amount(name, ceiling[name])} now`}
          step=${name === "usd_micros" ? "0.01" : "1"}
          ...${props(name)}
        />`)}
        <${More} word="hops" name="hops" hint=${`of ${most} now`} step="1" ...${props("hops")} />
        <${More} word="time" name="time" hint="such as 90s, 5m, 2h" ...${props("time")} />
      </div>
    </fieldset>
    ${letter.allowed.includes("reassign") &&
    html`<${Other} letter=${letter} draft=${draft} change=${change} problem=${problem} />`}
  `;
}

function More({ word, name, hint, value, onInput, problem, step, first }) {
  const kind = step ? { type: "number", min: 0, step, inputmode: "decimal" } : { type: "text" };
  return html`<div class="more-field"><${Field} label=${`+ ${word}`} name=${name} hint=${hint} problem=${problem}>
    ${(p) => html`<input
      class="input figure"
      ...${kind}
      ...${p}
      placeholder="0"
      autocomplete="off"
      data-first=${first ? "" : undefined}
      value=${value}
      onInput=${onInput}
    />`}
  <//></div>`;
}

function Other({ letter, draft, change, problem }) {
  const agents = useRead("/v1/agents");
  const others = (agents.value?.items ?? []).filter((one) => one.known && one.name !== letter.agent);
  const choose = (e) => change({ agent: e.target.value });
  return html`<${Field} label="With another agent" name="agent" problem=${problem}>
    ${(p) => html`<select class="input" ...${p} value=${draft.agent ?? ""} onChange=${choose}>
      <option value="">No: ${letter.agent || "the same"} again</option>
      ${others.map((one) => html`<option key=${one.name} value=${one.name}>
        ${one.name}${one.workers ? "" : " (no worker of it lives)"}
      </option>`)}
    </select>`}
  <//>`;
}

/* Another agent meets the same caps: said before somebody finds out by the next letter. */
function Reassign({ letter, draft, change, problem }) {
  const short = letter.allowed.includes("retry") && Object.values(offered(letter)).some(Boolean);
  return html`
    ${short && html`<p class="note">
      <${Icon} name="warn" />
      <span>What ran out is not filled up by this, so it may come back at once.
        <button type="button" class="button quiet small" onClick=${() => change({ verb: "retry" })}>
          Retry with another agent, and more</button></span>
    </p>`}
    <${Agents} letter=${letter} chosen=${draft.agent ?? ""} problem=${problem}
    onChoose=${(agent) => change({ agent })} />
  `;
}

/* --- from what was typed to a decision -------------------------------------------------------- */

export function decisionOf(verb, letter, draft) {
  const why = (draft.why ?? "").trim();
  const said = { verb, ...(why && { why }) };
  const more = { amend: amended, answer: answered, retry: retried, reassign: reassigned }[verb];
  return more ? { ...said, ...more(letter, draft) } : said;
}

export function refuse(field, detail) {
  throw new Problem(422, { type: "urn:buckstop:problem:refused", title: "Not sent", detail, field });
}

function amended(letter, draft) {
  const { value, wrong } = readJson(draft.text ?? firstText(letter));
  if (wrong) refuse("result", `Line ${wrong.line}, column ${wrong.column}: ${wrong.says}.`);
  if (value === null) refuse("result", "null is no result; say what is to be delivered.");
  return { result: value };
}

function answered(letter, draft) {
  const answer = (draft.answer ?? "").trim() ? draft.answer : "";
  const choices = letter.story?.question?.choices ?? [];
  if (!answer) refuse("answer", choices.length ? "Choose one of these." : "Say what the agent wants to know.");
  return { answer };
}

function retried(letter, draft) {
  const whole = (name, field) => {
    const text = given(draft, letter, name).trim();
    if (text && !/^\d+$/.test(text)) refuse(field, "A whole number, or nothing.");
    return Number(text || 0);
  };
  const usd = given(draft, letter, "usd_micros").trim();
  if (usd && !/^\d+(\.\d{1,6})?$/.test(usd)) refuse("budget.usd", "An amount such as 0.25, or nothing.");
  const time = given(draft, letter, "time").trim();
  if (time && !DURATION.test(time)) refuse("time", "A time with its unit, such as 90s, 5m or 2h.");
  const budget = {
    tokens: whole("tokens", "budget.tokens"),
    usd: Number(usd) ? usd : 0,
    calls: whole("calls", "budget.calls"),
  };
  const some = Object.fromEntries(Object.entries(budget).filter(([, sum]) => sum));
  const hops = whole("hops", "hops");
  return {
    ...(Object.keys(some).length && { budget: some }),
    ...(hops && { hops }),
    ...(time && { time }),
    ...(draft.agent && { agent: draft.agent }),
  };
}

function reassigned(letter, draft) {
  if (!draft.agent) refuse("agent", "Choose the agent that is to go on.");
  return { agent: draft.agent };
}
