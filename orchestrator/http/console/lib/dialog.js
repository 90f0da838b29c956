/* Dialogs on the browser's own <dialog>: it traps the focus, makes the rest inert, closes on Escape
   and gives the focus back.

       ${open && html`<${Dialog} title="New task" onClose=${() => setOpen(false)}
           actions=${html`<button class="button primary" ...>Submit</button>`}>...<//>`}

       if (await confirmed({ title: "Cancel this task?", text: "It ends at once ...",
                             yes: "Cancel the task", danger: true, why: "Why?" })) ...
   confirmed() answers null for no, else {why: "..."} (why is asked where a label is given).

   The element with `autofocus` in it gets the focus, else its first control. */

import { html, useEffect, useId, useRef, useState } from "./hooks.js";
import { cell, useCell } from "./cell.js";
import { Icon } from "./icons.js";

export function Dialog({ title, onClose, actions, wide = false, children }) {
  const place = useRef(null);
  const id = useId();
  useEffect(() => {
    const before = document.activeElement;
    place.current.showModal();
    return () => before?.isConnected && before.focus();
  }, []);
  const outside = (event) => event.target === place.current && onClose();
  return html`<dialog
    ref=${place}
    class=${`dialog ${wide ? "is-wide" : ""}`}
    aria-labelledby=${id}
    onCancel=${(event) => (event.preventDefault(), onClose())}
    onMouseDown=${outside}
  >
    <div class="dialog-body">
      <header class="dialog-head">
        <h2 id=${id}>${title}</h2>
        <button type="button" class="button quiet icon-only" aria-label="Close" onClick=${onClose}>
          <${Icon} name="close" />
        </button>
      </header>
      <div class="dialog-main">${children}</div>
      ${actions && html`<footer class="dialog-foot">${actions}</footer>`}
    </div>
  </dialog>`;
}

const asked = cell(null);

export function confirmed(question) {
  return new Promise((answer) => asked.set({ ...question, answer }));
}

export function Confirmation() {
  const question = useCell(asked);
  return question && html`<${Asked} key=${question.title} ...${question} />`;
}

function Asked({ title, text, yes = "Yes", no = "Keep it as it is", danger, why, answer }) {
  const [said, setSaid] = useState("");
  const end = (answered) => {
    asked.set(null);
    answer(answered);
  };
  const send = (event) => {
    event.preventDefault();
    end({ why: said.trim() });
  };
  return html`<${Dialog} title=${title} onClose=${() => end(null)}>
    <form class="stack" onSubmit=${send}>
      <p>${text}</p>
      ${why && html`<label class="field"><span>${why}</span>
        <input class="input" name="why" autofocus maxlength="1000" value=${said}
          onInput=${(event) => setSaid(event.target.value)} /></label>`}
      <div class="row end">
        <button type="button" class="button" onClick=${() => end(null)}>${no}</button>
        <button type="submit" class=${`button ${danger ? "danger" : "primary"}`}>${yes}</button>
      </div>
    </form>
  <//>`;
}
