/* Markdown that an agent wrote: read by marked's lexer, drawn by us, token by token.

       <${Markdown} text=${text} />

   No HTML is ever made of it. What an agent wrote as HTML is shown as the text it is. Links go to
   http and https only, and tell the other side nothing; a picture becomes a link, because loading
   it would tell somebody that it was looked at. A token we do not know is shown as its source. */

import { html } from "./hooks.js";
import { Lexer } from "../vendor/marked.js";
import { Text, giant } from "./parts.js";

// The lexer looks ahead, and from each mark of emphasis through the rest of its paragraph. What has
// more of either is shown as plain text, so that the page does not stand still for seconds.
const CHARS_MAX = 30000;
const MARKS_MAX = 1000;
const DEPTH_MAX = 20;

export function Markdown({ text }) {
  const said = String(text ?? "");
  if (said.length > CHARS_MAX || marksOf(said) > MARKS_MAX) return html`<div class="prose"><${Text} text=${said} /></div>`;
  let tokens;
  try {
    tokens = new Lexer({ gfm: true }).lex(said);
  } catch {
    return html`<div class="prose"><${Text} text=${said} /></div>`; // Too tangled to read: as it is.
  }
  return html`<div class=${`prose ${giant(said)}`} dir="auto">${all(tokens, 0)}</div>`;
}

const marksOf = (said) => said.match(/[*_~]+/g)?.length ?? 0;

const all = (tokens, depth) => (tokens ?? []).map((token) => one(token, depth + 1));

const BLOCKS = {
  space: () => null,
  def: () => null,
  hr: () => html`<hr />`,
  br: () => html`<br />`,
  paragraph: (t, d) => html`<p dir="auto">${all(t.tokens, d)}</p>`,
  blockquote: (t, d) => html`<blockquote dir="auto">${all(t.tokens, d)}</blockquote>`,
  code: (t) => html`<pre class="code" tabindex="0" aria-label="Code"><code>${t.text}</code></pre>`,
  list: (t, d) => list(t, d),
  table: (t, d) => table(t, d),
  heading: (t, d) => html`<p class=${`heading heading-${t.depth}`} dir="auto">${all(t.tokens, d)}</p>`,
  strong: (t, d) => html`<strong>${all(t.tokens, d)}</strong>`,
  em: (t, d) => html`<em>${all(t.tokens, d)}</em>`,
  del: (t, d) => html`<del>${all(t.tokens, d)}</del>`,
  codespan: (t) => html`<code>${t.text}</code>`,
  escape: (t) => t.text,
  text: (t, d) => (t.tokens ? all(t.tokens, d) : t.text),
  link: (t, d) => link(t.href, all(t.tokens, d), t.raw),
  image: (t) => link(t.href, `picture: ${t.text || t.href}`, t.raw),
  checkbox: () => null,
};

function one(token, depth) {
  const draw = Object.hasOwn(BLOCKS, token.type) ? BLOCKS[token.type] : null;
  return draw && depth < DEPTH_MAX ? draw(token, depth) : token.raw;
}

function list(token, depth) {
  const items = token.items.map((item) => html`<li dir="auto">
    ${item.task && (item.checked ? "☑ " : "☐ ")}${all(item.tokens, depth)}
  </li>`);
  return token.ordered ? html`<ol start=${Number(token.start) || 1}>${items}</ol>` : html`<ul>${items}</ul>`;
}

function table(token, depth) {
  const cell = (tag) => (c) => html`<${tag} dir="auto">${all(c.tokens, depth)}<//>`;
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Table"><table>
    <thead><tr>${token.header.map(cell("th"))}</tr></thead>
    <tbody>${token.rows.map((row) => html`<tr>${row.map(cell("td"))}</tr>`)}</tbody>
  </table></div>`;
}

function link(href, children, raw) {
  if (!URL.canParse(href) || !["http:", "https:"].includes(new URL(href).protocol)) return raw;
  return html`<a href=${href} target="_blank" rel="noopener noreferrer nofollow" title=${href}>${children}</a>`;
}
