/* What a person says to an agent: one of its choices (keys 1 to 9), or free text where it gave none. */

import { html, useRef } from "../../lib/hooks.js";
import { Field, Icon } from "../../lib/parts.js";
import { TURNS, visible } from "./unseen.js";

const KEYS_MAX = 9;

export function Answer({ letter, draft, change, problem }) {
  const choices = letter.story?.question?.choices ?? [];
  if (!choices.length) return html`<${Free} draft=${draft} change=${change} problem=${problem} />`;
  const wrong = problem?.field === "answer" ? problem.message : null;
  const choose = (answer) => change({ answer });
  return html`<${Choices} choices=${choices} chosen=${draft.answer} wrong=${wrong} onChoose=${choose} />`;
}

function Choices({ choices, chosen, wrong, onChoose }) {
  const list = useRef(null);
  const byKey = (event) => {
    const place = Number(event.key) - 1;
    if (!(place in choices) || place >= KEYS_MAX || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    onChoose(choices[place]);
    list.current.querySelectorAll("input")[place].focus();
  };
  const described = wrong ? "answer-wrong" : undefined;
  return html`<fieldset class="answers" ref=${list} onKeyDown=${byKey} aria-describedby=${described}>
    <legend>Your answer</legend>
    ${choices.map((choice, n) => html`<label key=${n} class="choice">
      <input
        type="radio"
        name="answer"
        value=${choice}
        checked=${chosen === choice}
        data-first=${(chosen ? chosen === choice : n === 0) ? "" : undefined}
        onChange=${() => onChoose(choice)}
      />
      <span class="choice-text text" dir="auto">${visible(choice, TURNS)}</span>
      ${n < KEYS_MAX && html`<kbd aria-hidden="true">${n + 1}</kbd>`}
    </label>`)}
    ${wrong && html`<span class="wrong" id="answer-wrong"><${Icon} name="warn" />${wrong}</span>`}
  </fieldset>`;
}

function Free({ draft, change, problem }) {
  return html`<${Field} label="Your answer" name="answer" problem=${problem}>
    ${(p) => html`<textarea class="input" rows="3" maxlength="4096" ...${p} dir="auto" data-first=""
      value=${draft.answer ?? ""} onInput=${(e) => change({ answer: e.target.value })} />`}
  <//>`;
}
