/* The frame around every page: the rail with the four places, the line on top, the theme.

   How many letters wait is the one figure that is on every page: it stands in the rail and on
   top, in the colour of the desk, and in the tab's title. It is read from /v1/overview after every announcement about letters, at most
   once a second.

       useCell(overview)      what /v1/overview said last, or undefined */

import { html, useEffect, useState } from "./hooks.js";
import { logout, session, useRead } from "./api.js";
import { cell, useCell } from "./cell.js";
import { Confirmation } from "./dialog.js";
import { Icon } from "./icons.js";
import { KeyHelp, helpOpen, useKeys } from "./keys.js";
import { cellsAway, liveness, useEvents, useGathered } from "./live.js";
import { Tip } from "./parts.js";
import { Link, calling, go, here } from "./router.js";
import { Toasts, toast } from "./toast.js";

export const overview = cell(undefined);

const PLACES = [
  { path: "/tasks", word: "Tasks", icon: "tasks", keys: "g t" },
  { path: "/desk", word: "Desk", icon: "desk", keys: "g d" },
  { path: "/agents", word: "Agents", icon: "agents", keys: "g a" },
  { path: "/budget", word: "Budget", icon: "budget", keys: "g b" },
];
const GATHER_MS = 1000;

export function Shell({ children }) {
  const read = useRead("/v1/overview");
  useEffect(() => overview.set(read.value ?? overview.value), [read.value]);
  const soon = useGathered(read.again, GATHER_MS);
  useEvents("/v1/events", ({ kind }) => /^(letter|task)\./.test(kind) && soon());
  useKeys(
    PLACES.map(({ keys, word, path }) => ({ keys, does: `go to ${word}`, run: () => go(path) })),
    "Everywhere",
  );
  return html`<div class="shell">
    <a class="skip" href="#main">Skip to the page</a>
    <${Rail} />
    <${TopLine} />
    <main id="main" tabindex="-1">${children}</main>
    <${Toasts} /><${Confirmation} /><${KeyHelp} />
  </div>`;
}

function Rail() {
  const path = useCell(here);
  const letters = useCell(overview)?.letters ?? 0;
  return html`<nav class="rail" aria-label="Places">
    <${Link} to="/tasks" class="brand" aria-label="Buckstop, start">
      <svg class="brand-mark" viewBox="0 0 32 32" aria-hidden="true">
        <path d="M10.5 3.5h11l7 7v11l-7 7h-11l-7-7v-11z" /><path d="M10.5 16.5l4 4 7.5-9" />
      </svg><span>Buckstop</span>
    <//>
    <ul>
      ${PLACES.map((place) => html`<li key=${place.path}>
        <${Place} ...${place} chosen=${path.startsWith(place.path)} letters=${place.path === "/desk" ? letters : 0} />
      </li>`)}
    </ul>
  </nav>`;
}

function Place({ path, word, icon, chosen, letters }) {
  return html`<${Link} to=${path} class="place" aria-current=${chosen ? "page" : undefined}>
    <${Icon} name=${icon} /><span class="place-word">${word}</span>
    ${letters > 0 && html`<span class="place-count figure" title=${`${letters} open letters`}>
      ${letters > 999 ? "999+" : letters}<span class="sr-only"> waiting for a person</span>
    </span>`}
  <//>`;
}

const WEATHER = {
  live: ["live", "Live"],
  connecting: ["waiting", "Connecting"],
  reconnecting: ["away", "Reconnecting"],
  away: ["away", "Redis is away"],
};

/* Of several cells one may be away: then every list lacks what it has. */
function weather(state, cells) {
  if (state !== "live" || !cells.length) return WEATHER[state];
  return ["away", cells.length > 1 ? `Cells ${cells.join(", ")} are away` : `Cell ${cells[0]} is away`];
}

/* On every page but the desk itself: somebody waits, and here is the way. */
function Call() {
  const letters = useCell(overview)?.letters ?? 0;
  const path = useCell(here);
  useEffect(() => calling.set(letters), [letters]);
  if (!letters || path.startsWith("/desk")) return null;
  return html`<${Link} to="/desk" class="call-chip">
    <${Icon} name="person" />${letters} ${letters === 1 ? "letter waits" : "letters wait"} for a person
  <//>`;
}

const MAY = {
  read: "see everything",
  submit: "submit and cancel tasks",
  decide: "decide letters",
};

/* What the token that somebody logged in with may do, as a sentence. */
export function mayWhat({ scopes, tenant }) {
  const where = tenant ? ` of tenant ${tenant}` : "";
  if (scopes.includes("admin")) return `You may do everything${where}.`;
  return `You may ${scopes.map((scope) => MAY[scope] ?? scope).join(", ")}${where}.`;
}

function TopLine() {
  const who = useCell(session);
  const [kind, said] = weather(useCell(liveness), useCell(cellsAway));
  return html`<header class="topline">
    <span class=${`live is-${kind}`} role="status"><span class="live-dot" />${said}</span>
    <${Call} />
    <${Tip} says=${mayWhat(who)} class="who"><span class="row who-row"><${Icon} name="person" />
      <span class="who-name" dir="auto">${who.name}</span>
      ${who.tenant && html`<span class="muted who-tenant" dir="auto">of ${who.tenant}</span>`}</span><//>
    <button type="button" class="button quiet icon-only keys-button" aria-label="Keyboard shortcuts"
      title="Keyboard shortcuts (?)" onClick=${() => helpOpen.set(true)}><${Icon} name="keyboard" /></button>
    <${ThemeButton} />
    <button type="button" class="button quiet icon-only" aria-label="Log out" title="Log out" onClick=${leave}>
      <${Icon} name="out" /></button>
  </header>`;
}

async function leave() {
  try {
    await logout();
  } catch (problem) {
    toast(problem.message, "bad");
  }
}

const THEMES = { auto: ["light", "as the system has it"], light: ["dark", "light"], dark: ["auto", "dark"] };

export function ThemeButton() {
  const [theme, setTheme] = useState(document.documentElement.dataset.theme ?? "auto");
  const [next, word] = THEMES[theme];
  const turn = () => {
    if (next === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    localStorage.setItem("buckstop.theme", next);
    setTheme(next);
  };
  const label = `Theme: ${word}. Change it`;
  return html`<button type="button" class="button quiet icon-only" aria-label=${label} title=${label} onClick=${turn}>
    <${Icon} name=${{ auto: "auto", light: "sun", dark: "moon" }[theme]} />
  </button>`;
}
