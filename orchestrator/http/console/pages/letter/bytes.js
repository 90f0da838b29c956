/* A message that was set aside: where it came from, and its original bytes as text or as hex.

   The bytes are a stranger's. As text, what cannot be seen or turns the line around is written out
   (U+202E); as hex, only what somebody asks for is drawn. */

import { html, useMemo, useState } from "../../lib/hooks.js";
import { count } from "../../lib/format.js";
import { Copy, Facts, Icon, Tabs } from "../../lib/parts.js";
import { UNSEEN, visible } from "./unseen.js";

const TEXT_CHARS = 3000;
const HEX_ROWS = 24;
const ROW_BYTES = 16;
export function Message({ letter }) {
  const bytes = useMemo(() => decoded(letter.bytes_base64), [letter.bytes_base64]);
  const cut = (letter.size ?? 0) > bytes.length;
  return html`<div class="evidence is-message">
    <section class="panel is-wide" aria-label="The message">
      <header class="panel-head"><h2>The message</h2></header>
      <${Facts} pairs=${[
        ["Queue", letter.queue && html`<bdi class="mono">${letter.queue}</bdi>`],
        ["Size", letter.size !== null && html`<span class="figure">${count(letter.size)} bytes</span>`],
        ["Found by", letter.worker && html`<bdi class="mono">${letter.worker}</bdi>`],
        ["Subtask", letter.subtask && html`<bdi class="mono">${letter.subtask}</bdi>`],
      ]} />
      ${letter.sha256 && html`<p class="sha">
        <span class="muted">SHA-256</span><code>${letter.sha256}</code>
        <${Copy} text=${letter.sha256} label="Copy the SHA-256" />
      </p>`}
      ${cut && html`<p class="note">
        <${Icon} name="warn" />
        The first ${count(bytes.length)} of ${count(letter.size)} bytes were kept, so it cannot be replayed.
      </p>`}
      <${Original} bytes=${bytes} />
    </section>
  </div>`;
}

function decoded(base64) {
  const raw = atob(base64 ?? "");
  const bytes = new Uint8Array(raw.length);
  for (let n = 0; n < raw.length; n += 1) bytes[n] = raw.charCodeAt(n);
  return bytes;
}

const VIEWS = [
  { id: "text", word: "Text" },
  { id: "hex", word: "Hex" },
];

function Original({ bytes }) {
  const [view, setView] = useState("text");
  const text = useMemo(() => new TextDecoder().decode(bytes), [bytes]);
  return html`<div class="original">
    <div class="row between">
      <${Tabs} label="How to show the bytes" tabs=${VIEWS} chosen=${view} onChoose=${setView} />
      <${Copy} text=${text} label="Copy the bytes as text" />
    </div>
    ${view === "text" ? html`<${AsText} text=${text} />` : html`<${AsHex} bytes=${bytes} />`}
  </div>`;
}

function AsText({ text }) {
  const [most, setMost] = useState(TEXT_CHARS);
  const parts = useMemo(() => visible(text.slice(0, most), UNSEEN), [text, most]);
  const shown = text ? html`<bdi dir="ltr">${parts}</bdi>` : html`<span class="muted">no bytes</span>`;
  return html`<pre class="code" tabindex="0" role="region" aria-label="The bytes as text">${shown}</pre>
    <${More} left=${text.length - most} word="characters" onMore=${() => setMost(most * 8)} />`;
}

function AsHex({ bytes }) {
  const [rows, setRows] = useState(HEX_ROWS);
  const text = useMemo(() => dump(bytes, rows), [bytes, rows]);
  return html`<pre class="code original-hex" tabindex="0" role="region" aria-label="The bytes as hex">${text}</pre>
    <${More} left=${bytes.length - rows * ROW_BYTES} word="bytes" onMore=${() => setRows(rows * 8)} />`;
}

function dump(bytes, rows) {
  const lines = [];
  for (let at = 0; at < bytes.length && lines.length < rows; at += ROW_BYTES) {
    const row = [...bytes.subarray(at, at + ROW_BYTES)];
    const hex = row.map((byte) => byte.toString(16).padStart(2, "0")).join(" ").padEnd(ROW_BYTES * 3);
    const seen = row.map((byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : "·")).join("");
    lines.push(`${at.toString(16).padStart(6, "0")}  ${hex} ${seen}`);
  }
  return lines.join("\n");
}

function More({ left, word, onMore }) {
  if (left <= 0) return null;
  return html`<button type="button" class="button small" onClick=${onMore}>
    Show more: ${count(left)} ${word} left</button>`;
}
