/* Edit the result: line numbers, what is wrong with the JSON by line and column, and what the task's
   schema and rules say of it, asked of the server while somebody types.

   It starts from what is kept. The text is a draft like everything else in a decision. A result that
   is one text is edited as such: nobody should have to write a letter with escapes in it. */

import { html, useEffect, useMemo, useRef, useState } from "../../lib/hooks.js";
import { post } from "../../lib/api.js";
import { Json } from "../../lib/json.js";
import { Icon, Tabs, Text } from "../../lib/parts.js";
import { difference } from "./diff.js";
import { lineOf, pointerOf, readJson } from "./json_text.js";

const SETTLE_MS = 350; // A pause in typing.
const ROWS_MIN = 8;
const ROWS_MAX = 22;
const DIFF_LINES_MAX = 400;
const DIFF_CHARS = 2000;
const NARROW = matchMedia("(max-width: 640px)");
const WRAPPED_LINES_MAX = 2000; // Each is an element then; of more, nobody reads all on a phone.

const pretty = (value) => JSON.stringify(value, null, 2);

function keptText({ story }) {
  return (story?.confidence ?? null) === null ? "" : pretty(story.kept);
}

/* Where nothing is kept, what the schema wants is a beginning. */
export function firstText(letter) {
  return keptText(letter) || (letter.result_schema ? pretty(outline(letter.result_schema)) : "");
}

function outline(schema) {
  if (schema === null || typeof schema !== "object") return null; // "true" is a schema too: anything.
  if (schema.type === "object" || schema.properties) {
    const names = schema.required ?? Object.keys(schema.properties ?? {});
    return Object.fromEntries(names.map((name) => [name, outline(schema.properties?.[name] ?? {})]));
  }
  if ("default" in schema) return schema.default;
  return { array: [], string: "", number: 0, integer: 0, boolean: false }[schema.type] ?? null;
}

export function Editor({ letter, draft, change, problem }) {
  const before = useMemo(() => keptText(letter), [letter]);
  const text = draft.text ?? firstText(letter);
  const read = useMemo(() => ({ ...readJson(text), empty: !text.trim() }), [text]);
  const checked = useCheck(letter.id, text, read);
  const prose = !read.wrong && typeof read.value === "string";
  const [wanted, setView] = useState(prose ? "text" : "edit");
  const view = wanted === "text" && !prose ? "edit" : wanted;
  const tabs = [
    prose && { id: "text", word: "Text" },
    { id: "edit", word: prose ? "JSON" : "Edit" },
    before && { id: "diff", word: "Changes" },
    letter.result_schema && { id: "schema", word: "Schema" },
  ];
  const set = (next) => change({ text: next });
  return html`<div class="editor">
    <div class="editor-bar">
      <${Tabs} tabs=${tabs.filter(Boolean)} chosen=${view} onChoose=${setView} label="Result to deliver" />
      <span class="editor-tools">
        <button type="button" class="button quiet small" disabled=${Boolean(read.wrong) || view === "text"}
          onClick=${() => set(pretty(read.value))}>Format</button>
        <button type="button" class="button quiet small" disabled=${text === firstText(letter)}
          onClick=${() => set(undefined)}>Start over</button>
      </span>
    </div>
    ${view === "text" && html`<${Prose} text=${read.value} onText=${(next) => set(JSON.stringify(next))} />`}
    ${view === "edit" &&
    html`<${Area} text=${text} marks=${marks(read, checked)} problem=${problem} onText=${set} />`}
    ${view === "diff" && html`<${Changes} ...${compared(letter.story?.kept, read, text)} />`}
    ${view === "schema" && html`<div class="editor-schema json"><${Json} value=${letter.result_schema} /></div>`}
    <${Verdict} text=${text} read=${read} checked=${checked} problem=${problem} />
  </div>`;
}

/* Ask the server what it would say, once typing pauses; an answer to an older text is dropped. */
function useCheck(id, text, read) {
  const [said, setSaid] = useState({ text: null });
  useEffect(() => {
    if (read.wrong || said.text === text) return undefined;
    const stop = new AbortController();
    const timer = setTimeout(async () => {
      try {
        const path = `/v1/letters/${encodeURIComponent(id)}/amendment`;
        setSaid({ text, ...(await post(path, { result: read.value }, { signal: stop.signal })) });
      } catch (problem) {
        if (!stop.signal.aborted) setSaid({ text, problem });
      }
    }, SETTLE_MS);
    return () => (clearTimeout(timer), stop.abort());
  }, [id, text]);
  return said.text === text && !read.wrong ? said : { pending: !read.wrong };
}

function Prose({ text, onText }) {
  const rows = Math.min(ROWS_MAX, Math.max(ROWS_MIN, text.split("\n").length));
  return html`<textarea class="input editor-prose" name="result" dir="auto" data-first="" data-testid="editor-prose"
    aria-label="Result to deliver, as text" aria-describedby="editor-verdict" rows=${rows} value=${text}
    onInput=${(event) => onText(event.target.value)} />`;
}

function located(read, text, errors) {
  return (errors ?? []).map(({ at, detail }) => {
    const place = read.places.get(pointerOf(at, read.places));
    return { at, detail, line: place === undefined ? undefined : lineOf(text, place).line };
  });
}

function marks(read, checked) {
  if (read.wrong) return new Set(read.empty ? [] : [read.wrong.line]);
  return new Set(located(read, checked.text ?? "", checked.errors).map(({ line }) => line));
}

function Area({ text, marks: marked, problem, onText }) {
  const gutter = useRef(null);
  const lines = text.split("\n").length;
  const wraps = useNarrow() && lines <= WRAPPED_LINES_MAX;
  const follow = (event) => (gutter.current.scrollTop = event.target.scrollTop);
  const wrong = marked.size > 0 || problem?.field === "result";
  return html`<div class=${`editor-area ${wraps ? "is-wrapped" : ""}`}>
    <div class="editor-gutter figure" aria-hidden="true" ref=${gutter}>
      ${wraps
        ? html`<${WrappedNumbers} text=${text} marked=${marked} />`
        : html`<${Numbers} lines=${lines} marked=${marked} />`}
    </div>
    <textarea
      class="editor-text"
      name="result"
      data-first=""
      data-testid="editor"
      aria-label="Result to deliver, as JSON"
      aria-describedby="editor-verdict"
      aria-invalid=${wrong ? "true" : undefined}
      rows=${Math.min(ROWS_MAX, Math.max(ROWS_MIN, lines))}
      wrap=${wraps ? "soft" : "off"}
      spellcheck=${false}
      autocapitalize="off"
      autocomplete="off"
      value=${text}
      onInput=${(e) => onText(e.target.value)}
      onScroll=${follow}
    />
  </div>`;
}

/* On a phone long lines wrap: else a text that is one line would be read through a keyhole. */
function useNarrow() {
  const [narrow, setNarrow] = useState(NARROW.matches);
  useEffect(() => {
    const look = () => setNarrow(NARROW.matches);
    NARROW.addEventListener("change", look);
    return () => NARROW.removeEventListener("change", look);
  }, []);
  return narrow;
}

/* A number stands where its line begins: each line is laid out once more, unseen, as wide. */
function WrappedNumbers({ text, marked }) {
  return text.split("\n").map((line, n) => html`<div key=${n} class="editor-line">
    <span class=${marked.has(n + 1) ? "editor-mark" : ""}>${n + 1}</span>${line || "\u200b"}
  </div>`);
}

/* Thousands of numbers are one text; only marked lines are elements of their own. */
function Numbers({ lines, marked }) {
  const parts = [];
  let from = 1;
  for (const line of [...marked].filter((n) => n && n <= lines).sort((a, b) => a - b)) {
    parts.push(range(from, line), html`<span class="editor-mark">${line}</span>`, "\n");
    from = line + 1;
  }
  return [...parts, range(from, lines + 1)];
}

const range = (from, to) => Array.from({ length: Math.max(0, to - from) }, (_, n) => `${from + n}\n`).join("");

function Verdict({ text, read, checked, problem }) {
  const server = problem?.field === "result" ? problem.message : null;
  return html`<div class="editor-verdict" id="editor-verdict" role="status" data-testid="editor-verdict">
    ${said(text, read, checked)}
    ${server && !read.wrong && html`<span class="wrong"><${Icon} name="warn" /><${Text} text=${server} /></span>`}
  </div>`;
}

function said(text, read, checked) {
  const line = (kind, icon, words) => html`<span class=${kind}><${Icon} name=${icon} />${words}</span>`;
  if (read.empty) return line("muted", "waiting", "Write what is to be delivered, as JSON.");
  if (read.wrong)
    return line("wrong", "warn", `Line ${read.wrong.line}, column ${read.wrong.column}: ${read.wrong.says}.`);
  if (checked.pending) return line("muted", "waiting", "JSON is sound; asking what the task’s schema says…");
  if (checked.problem)
    return line("muted", "warn", `JSON is sound; its schema could not be asked: ${checked.problem.message}`);
  if (checked.ok) return line("right", "completed", "Fits: it can be delivered.");
  return html`<ul class="editor-errors">
    ${located(read, text, checked.errors).map((one, n) => html`<li key=${n} class="wrong">
      <${Icon} name="warn" />
      <span>
        ${one.at && html`<code>${one.at}</code> `}
        <${Text} text=${one.detail} most=${400} />
        ${one.line && html` <span class="muted">(line ${one.line})</span>`}
      </span>
    </li>`)}
  </ul>`;
}

function compared(kept, read, text) {
  if (typeof kept === "string" && typeof read.value === "string") return { before: kept, after: read.value };
  return { before: pretty(kept), after: read.wrong ? text : pretty(read.value) };
}

const SIGNS = { gone: ["−", "gone"], new: ["+", "new"], same: [" ", ""], skip: ["⋯", ""] };

function Changes({ before, after }) {
  const lines = useMemo(() => difference(before, after), [before, after]);
  if (!lines.some(({ kind }) => kind === "new" || kind === "gone"))
    return html`<p class="editor-same muted">Nothing is changed: this is what is kept.</p>`;
  return html`<div class="diff mono" role="region" tabindex="0" aria-label="Changes against what is kept">
    ${lines.slice(0, DIFF_LINES_MAX).map((each, n) => html`<${DiffLine} key=${n} ...${each} />`)}
    ${lines.length > DIFF_LINES_MAX && html`<p class="muted">and ${lines.length - DIFF_LINES_MAX} lines more</p>`}
  </div>`;
}

function DiffLine({ kind, text, line }) {
  const [sign, word] = SIGNS[kind];
  return html`<div class=${`diff-line is-${kind}`}>
    <span class="diff-number figure" aria-hidden="true">${line}</span>
    <span class="diff-sign"><span aria-hidden="true">${sign}</span><span class="sr-only">${word}</span></span>
    <span class="diff-text"><bdi>${text.length > DIFF_CHARS ? `${text.slice(0, DIFF_CHARS)}…` : text}</bdi></span>
  </div>`;
}
