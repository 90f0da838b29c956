/* The console: who is logged in decides between the door and the rooms.

   A new page: write pages/NAME.js (lib/parts.js shows how), and add a line to ROUTES. */

import { html, render, useEffect, useErrorBoundary, useRef } from "./lib/hooks.js";
import { session, whoAmI } from "./lib/api.js";
import { useCell } from "./lib/cell.js";
import { Empty, Page, ProblemBox, Skeleton } from "./lib/parts.js";
import { Link, go, here, useRoute, useTitle } from "./lib/router.js";
import { Shell } from "./lib/shell.js";
import { Agents } from "./pages/agents.js";
import { Budget } from "./pages/budget.js";
import { Desk } from "./pages/desk.js";
import { Login, codeInAddress } from "./pages/login.js";
import { Task } from "./pages/task.js";
import { Tasks } from "./pages/tasks.js";

const ROUTES = [
  ["/tasks", Tasks],
  ["/tasks/:id", Task],
  ["/desk", Desk],
  ["/desk/:id", Desk],
  ["/agents", Agents],
  ["/budget", Budget],
];
const ASK_AGAIN_MS = 2000;

function Console() {
  const who = useCell(session);
  if (who === undefined) return html`<div class="door"><${Skeleton} lines=${3} /></div>`;
  if (who === null) return html`<${Login} />`;
  return html`<${Shell}><${Room} /><//>`;
}

function Room() {
  const { page, props } = useRoute(ROUTES);
  const path = useCell(here).split("?")[0];
  const start = path === "/" || path === "/login";
  useEffect(() => start && go("/tasks", { replace: true }), [start]);
  useHeadingFocus(path);
  if (start) return null;
  const key = page?.keeps ?? path; // The desk stays as it is while one letter after the other is read.
  return html`<${Guarded} key=${key}>
    ${page ? html`<${page} key=${key} ...${props} />` : html`<${Nowhere} />`}
  <//>`;
}

/* After a move within the page a screen reader would stay where the link was: go to the heading. */
function useHeadingFocus(path) {
  const first = useRef(true);
  useEffect(() => {
    if (first.current) first.current = false;
    else document.querySelector("main h1")?.focus({ preventScroll: true });
  }, [path]);
}

function Guarded({ children }) {
  const [error, again] = useErrorBoundary((wrong) => console.error(wrong));
  if (!error) return children;
  return html`<${Page} title="This page broke">
    <${ProblemBox} problem=${{ title: "A mistake of ours", message: String(error) }} again=${again} />
  <//>`;
}

function Nowhere() {
  useTitle("Not here");
  return html`<${Page} title="Nothing is here">
    <${Empty} icon="search" title="There is no such page">
      <${Link} to="/tasks">See the tasks<//>
    <//>
  <//>`;
}

async function begin() {
  try {
    if (!(await codeInAddress())) await whoAmI();
  } catch {
    setTimeout(begin, ASK_AGAIN_MS); // Nobody answers yet; the skeleton stays until somebody does.
  }
}

document.body.replaceChildren(); // What the page said until this module was here.
render(html`<${Console} />`, document.body);
begin();
