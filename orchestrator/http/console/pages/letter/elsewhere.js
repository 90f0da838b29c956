/* Let somebody else answer: a link that takes one answer, once, from whoever has it. */

import { html, useState } from "../../lib/hooks.js";
import { post } from "../../lib/api.js";
import { Dialog } from "../../lib/dialog.js";
import { moment } from "../../lib/format.js";
import { Copy, ProblemBox, Skeleton } from "../../lib/parts.js";

export function Elsewhere({ letter }) {
  const [open, setOpen] = useState(false);
  return html`<button type="button" class="button quiet" data-testid="elsewhere" onClick=${() => setOpen(true)}>
      Let somebody else answer…</button>
    ${open && html`<${Link} letter=${letter} onClose=${() => setOpen(false)} />`}`;
}

function Link({ letter, onClose }) {
  const [made, setMade] = useState({});
  const make = async () => {
    setMade({ busy: true });
    try {
      setMade({ link: await post(`/v1/letters/${encodeURIComponent(letter.id)}/wait-token`) });
    } catch (problem) {
      setMade({ problem });
    }
  };
  return html`<${Dialog} title="Let somebody else answer" onClose=${onClose}>
    <div class="stack">
      <p>Make a link that shows this one question and takes one answer, once. Whoever has it needs no
        login: give it to a form, a chat or another service.</p>
      ${!made.link && !made.busy && html`<div>
        <button type="button" class="button primary" autofocus onClick=${make}>Make the link</button>
      </div>`}
      ${made.busy && html`<${Skeleton} lines=${2} />`}
      ${made.problem && html`<${ProblemBox} problem=${made.problem} again=${make} />`}
      ${made.link && html`<${Made} link=${made.link} />`}
    </div>
  <//>`;
}

function Made({ link }) {
  return html`<label class="field"><span>The link, shown this once</span>
      <span class="row elsewhere-url">
        <input class="input mono" readonly data-testid="wait-url" value=${link.url}
          onFocus=${(e) => e.target.select()} />
        <${Copy} text=${link.url} label="Copy the link" />
      </span></label>
    <p class="muted">It works until ${moment(link.expires_ms)}, or until the question is answered here. GET
      tells the question; POST <code>{"answer": "..."}</code> answers it.</p>`;
}
