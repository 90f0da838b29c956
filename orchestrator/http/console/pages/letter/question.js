/* What an agent asks a person: in its own words, as Markdown, and what the task was about. */

import { html } from "../../lib/hooks.js";
import { Markdown } from "../../lib/markdown.js";
import { Text } from "../../lib/parts.js";

const QUESTION_CHARS = 1200; // Longer is no question but an essay; it scrolls in a box of its own.

export function Question({ text, goal }) {
  return html`<blockquote class=${`letter-question ${text.length > QUESTION_CHARS ? "is-long" : ""}`}
    tabindex=${text.length > QUESTION_CHARS ? 0 : undefined}>
    <${Markdown} text=${text} />
    ${goal && html`<footer class="muted">while working on: <${Text} text=${goal} most=${200} /></footer>`}
  </blockquote>`;
}
