/* What cannot be seen in a stranger's text, written out: U+202E in place of what turns the line around.

       ${visible(text, UNSEEN)}     bytes: all controls and all that is invisible
       ${visible(text, TURNS)}      a choice that somebody is to make: what would show it as another one */

import { html } from "../../lib/hooks.js";

// Controls but for tab and newline, and all that changes the direction or cannot be seen.
export const UNSEEN = new RegExp(
  "[\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f\\u00ad\\u061c\\u200b-\\u200f" +
    "\\u2028-\\u202e\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb]",
  "g",
);

// Overrides, embeddings and isolates: no honest choice needs one, and a joined emoji has none.
export const TURNS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g;

export function visible(text, unseen) {
  const parts = [];
  let from = 0;
  for (const found of text.matchAll(unseen)) {
    if (found.index > from) parts.push(text.slice(from, found.index));
    parts.push(html`<span class="unseen">${codePoint(found[0])}</span>`);
    from = found.index + found[0].length;
  }
  return [...parts, text.slice(from)];
}

const codePoint = (char) => `U+${char.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
