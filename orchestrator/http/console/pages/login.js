/* The door: paste a token, or come by the link that `buckstop up` prints.

   The link carries a code behind the #, which browsers send to nobody. It is taken at once and
   removed from the address, so that it is in no history and on no screen. */

import { html, useState } from "../lib/hooks.js";
import { ended, login, session } from "../lib/api.js";
import { cell, useCell } from "../lib/cell.js";
import { Field, Icon, ProblemBox } from "../lib/parts.js";
import { ThemeButton, mayWhat } from "../lib/shell.js";
import { useTitle } from "../lib/router.js";
import { toast } from "../lib/toast.js";

const refused = cell(null);

/* Says whether there was a code and it was good. */
export async function codeInAddress() {
  const code = new URLSearchParams(location.hash.slice(1)).get("code");
  if (!code) return false;
  history.replaceState(null, "", location.pathname + location.search);
  try {
    await login({ code });
    welcome();
    return true;
  } catch (problem) {
    refused.set(problem);
    return false;
  }
}

function welcome() {
  const { name } = session.value;
  toast(`Logged in as ${name}. ${mayWhat(session.value)}`);
}

const MEANINGS = [
  ["read", "see tasks, letters, agents and what they cost"],
  ["submit", "submit tasks, and cancel them"],
  ["decide", "decide letters on the desk"],
  ["admin", "all of that, caps, breakers, tokens and webhooks"],
];

export function Login() {
  useTitle("Log in");
  const byCode = useCell(refused);
  const wasIn = useCell(ended);
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  const send = async (event) => {
    event.preventDefault();
    const token = new FormData(event.target).get("token").trim();
    setBusy(true);
    try {
      await login({ token });
      refused.set(null);
      welcome();
    } catch (wrong) {
      setProblem(wrong);
      setBusy(false);
    }
  };
  return html`<main class="door">
    <div class="door-card card">
      <div class="door-brand">
        <svg class="brand-mark" viewBox="0 0 32 32" aria-hidden="true">
          <path d="M10.5 3.5h11l7 7v11l-7 7h-11l-7-7v-11z" /><path d="M10.5 16.5l4 4 7.5-9" />
        </svg>
        <div><h1>Buckstop</h1><p class="muted">The buck stops here.</p></div>
        <${ThemeButton} />
      </div>
      ${wasIn && html`<p class="door-again" role="status"><${Icon} name="clock" />
        <span>Your session has ended. Log in again: this page comes back, and what you typed is kept in
          this tab.</span></p>`}
      ${byCode && !problem && html`<${ProblemBox} problem=${linkUsed(byCode)} />`}
      <${ProblemBox} problem=${problem} />
      <form class="stack" onSubmit=${send}>
        <${Field} label="Token" name="token" hint=${html`Make one with${" "}
          <code>buckstop token new --scope read --scope decide</code>`}>
          ${(props) => html`<input class="input mono" type="password" required autofocus
            autocomplete="current-password" spellcheck=${false} placeholder="bk_…" ...${props} />`}
        <//>
        <button class="button primary" disabled=${busy}>${busy ? "Looking…" : "Log in"}</button>
      </form>
      <details class="door-more">
        <summary><${Icon} name="question" />What a token may do</summary>
        <dl class="scopes">
          ${MEANINGS.map(([scope, means]) => html`<div key=${scope}>
            <dt><code>${scope}</code></dt><dd>${means}</dd></div>`)}
        </dl>
        <p class="muted">A token of a tenant sees that tenant only. Logged in, point at your name to
          see what yours may do.</p>
      </details>
    </div>
  </main>`;
}

function linkUsed(problem) {
  if (problem.status === 0 || problem.status >= 500) return problem;
  return {
    title: "This link does not log in any more",
    message:
      "A link works once, and for a few minutes. Make a new one with “buckstop console”, " +
      "or paste a token.",
  };
}
