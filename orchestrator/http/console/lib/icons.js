/* Icons: strokes on a grid of 16, drawn in the colour of the text around them.

       <${Icon} name="desk" />                     decoration: hidden from screen readers
       <${Icon} name="warn" label="over budget" /> says something that no word beside it says */

import { html } from "../vendor/preact.js";

const RING = "M8 2.25a5.75 5.75 0 1 1 0 11.5 5.75 5.75 0 0 1 0-11.5z";

const STROKES = {
  tasks: ["M6 4h7.5M6 8h7.5M6 12h7.5", "M2.75 4h.01M2.75 8h.01M2.75 12h.01"],
  desk: ["M2.25 9.25 4 3.25h8l1.75 6v3.5H2.25z", "M2.25 9.25h3.5l1 1.75h2.5l1-1.75h3.5"],
  agents: ["M3.5 6.25h9v6.5h-9z", "M8 6.25V3.5M8 3.25h.01M6.25 9.25h.01M9.75 9.25h.01M1.75 9v1.5M14.25 9v1.5"],
  budget: [RING, "M9.9 6.2c-.3-.6-1-.9-1.9-.9-1.1 0-1.8.5-1.8 1.3 0 1.9 3.7.9 3.7 2.8 0 .8-.8 1.3-1.9 1.3-.9 0-1.7-.3-2-1M8 4.3v7.4"],
  working: [RING, "M8 5v3l2 1.5"],
  submitted: ["M8 2.25a5.75 5.75 0 0 1 2.2.44M12.6 4.6a5.75 5.75 0 0 1 1.1 2.3M13.7 9.2a5.75 5.75 0 0 1-1.2 2.3M10.1 13.3a5.75 5.75 0 0 1-2.2.45M5.6 13.2a5.75 5.75 0 0 1-1.9-1.5M2.4 9.4a5.75 5.75 0 0 1 0-2.6M3.6 4.4a5.75 5.75 0 0 1 2-1.6"],
  person: ["M8 8a2.6 2.6 0 1 0 0-5.2A2.6 2.6 0 0 0 8 8z", "M2.9 13.4c.5-2.3 2.5-3.6 5.1-3.6s4.6 1.3 5.1 3.6"],
  completed: [RING, "m5.4 8.2 1.8 1.8 3.4-4"],
  partial: [RING, "M8 4.2v7.6M10 5v6M6 8h.01"],
  aborted: [RING, "m6 6 4 4M10 6l-4 4"],
  waiting: [RING, "M5.4 8h.01M8 8h.01M10.6 8h.01"],
  question: [RING, "M6.3 6.4c.1-1 .8-1.6 1.8-1.6s1.7.6 1.7 1.5c0 1.2-1.7 1.3-1.7 2.6M8 11h.01"],
  warn: ["M8 2.5 14.2 13H1.8z", "M8 6.5v3M8 11.2h.01"],
  check: ["m3.5 8.5 3 3 6-7"],
  close: ["m4 4 8 8M12 4l-8 8"],
  plus: ["M8 3.5v9M3.5 8h9"],
  search: ["M7 11.5a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9z", "m10.3 10.3 3.2 3.2"],
  copy: ["M5.75 5.75h7.5v7.5h-7.5z", "M10.25 5.75v-3h-7.5v7.5h3"],
  right: ["m6 3.5 4.5 4.5L6 12.5"],
  down: ["m3.5 6 4.5 4.5L12.5 6"],
  left: ["M10 3.5 5.5 8l4.5 4.5"],
  out: ["M6.5 2.75h-3.5v10.5h3.5M10 5l3 3-3 3M13 8H6.25"],
  sun: ["M8 10.6a2.6 2.6 0 1 0 0-5.2 2.6 2.6 0 0 0 0 5.2z", "M8 1.5v1.2M8 13.3v1.2M1.5 8h1.2M13.3 8h1.2M3.4 3.4l.9.9M11.7 11.7l.9.9M12.6 3.4l-.9.9M4.3 11.7l-.9.9"],
  moon: ["M13.4 9.6A5.7 5.7 0 0 1 6.4 2.6a5.7 5.7 0 1 0 7 7z"],
  auto: [RING, "M8 2.25v11.5M10 3v10M12 4.6v6.8"],
  keyboard: ["M1.75 4.25h12.5v7.5H1.75z", "M4.25 6.75h.01M6.75 6.75h.01M9.25 6.75h.01M11.75 6.75h.01M5 9.5h6"],
  clock: [RING, "M8 5v3.2l2 1.3"],
  handoff: ["M2.5 5.5h9M9 3l2.5 2.5L9 8M13.5 10.5h-9M7 8l-2.5 2.5L7 13"],
  stop: ["M5.4 2.25h5.2l3.15 3.15v5.2l-3.15 3.15H5.4L2.25 10.6V5.4z", "M6 6h4v4H6z"],
  again: ["M13 8a5 5 0 1 1-1.6-3.7M13 2.5v2.75h-2.75"],
  hop: ["M2.5 11c1-4.5 4-6 9-5.5M9 3l2.75 2.5L9.25 8.2"],
  tokens: ["M3 4.5c0-1 2.2-1.75 5-1.75s5 .75 5 1.75-2.2 1.75-5 1.75-5-.75-5-1.75zM3 4.5v7c0 1 2.2 1.75 5 1.75s5-.75 5-1.75v-7M3 8c0 1 2.2 1.75 5 1.75S13 9 13 8"],
  send: ["M2.25 8 13.75 2.75 10.5 13.5 7.75 9z", "m7.75 9 6-6.25"],
  letter: ["M2.25 3.75h11.5v8.5H2.25z", "m2.5 4.25 5.5 4.5 5.5-4.5"],
  flag: ["M4 14V2.5M4 3h8l-1.75 2.75L12 8.5H4"],
};

export function Icon({ name, label, class: more = "" }) {
  const said = label ? { role: "img", "aria-label": label } : { "aria-hidden": "true" };
  return html`
    <svg class=${`icon ${more}`} width="16" height="16" viewBox="0 0 16 16" ...${said}>
      ${(STROKES[name] ?? STROKES.waiting).map((d) => html`<path key=${d} d=${d} />`)}
    </svg>
  `;
}
