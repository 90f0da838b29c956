/* Which page is shown: history paths, without a reload.

       <${Link} to="/tasks/7f3a">...<//>           a link; opens in a new tab as any link does
       go("/desk/7f3a.1")                          from code; go(path, { replace: true })
       const [wanted, want] = useQuery();          what stands behind the ?, as an object
       want({ state: "on_desk" })                  changes it in place: a filter can be bookmarked
       useTitle("Desk")                            the tab's title

   Routes stand in app.js: [pattern, component]; ":name" in a pattern becomes a prop. */

import { html, useCallback, useEffect, useMemo } from "../vendor/preact.js";
import { cell, useCell } from "./cell.js";

export const here = cell(at());

function at() {
  return location.pathname + location.search;
}

export function go(path, { replace = false } = {}) {
  if (path === at()) return;
  history[replace ? "replaceState" : "pushState"](null, "", path);
  const moved = path.split("?")[0] !== here.value.split("?")[0];
  here.set(path);
  if (moved) window.scrollTo(0, 0);
}

addEventListener("popstate", () => here.set(at()));

export function useRoute(routes) {
  const path = useCell(here).split("?")[0];
  return useMemo(() => {
    for (const [pattern, page] of routes) {
      const props = match(pattern, path);
      if (props) return { page, props, pattern };
    }
    return { page: null, props: {}, pattern: null };
  }, [path]);
}

function match(pattern, path) {
  const [wanted, given] = [pattern.split("/"), path.replace(/(.)\/$/, "$1").split("/")];
  if (wanted.length !== given.length) return null;
  const props = {};
  for (const [place, word] of wanted.entries()) {
    if (word.startsWith(":")) props[word.slice(1)] = decoded(given[place]);
    else if (word !== given[place]) return null;
  }
  return props;
}

function decoded(word) {
  try {
    return decodeURIComponent(word);
  } catch {
    return word; // A stray % is no reason to show nothing.
  }
}

export function useQuery() {
  const path = useCell(here);
  const wanted = useMemo(() => Object.fromEntries(new URLSearchParams(path.split("?")[1])), [path]);
  const want = useCallback((changes) => {
    const all = new URLSearchParams(at().split("?")[1]);
    for (const [name, value] of Object.entries(changes)) {
      if (value === undefined || value === null || value === "") all.delete(name);
      else all.set(name, value);
    }
    const text = all.toString();
    go(text ? `${location.pathname}?${text}` : location.pathname, { replace: true });
  }, []);
  return [wanted, want];
}

export function Link({ to, children, ...rest }) {
  const follow = (event) => {
    rest.onClick?.(event);
    if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey) return;
    if (event.shiftKey || event.altKey) return;
    event.preventDefault();
    go(to);
  };
  return html`<a ...${rest} href=${to} onClick=${follow}>${children}</a>`;
}

// How many letters wait: a tab in the background says it too.
export const calling = cell(0);

export function useTitle(title) {
  const n = useCell(calling);
  useEffect(() => {
    const waiting = n ? `(${n > 999 ? "999+" : n}) ` : "";
    document.title = waiting + (title ? `${title} · Buckstop` : "Buckstop");
  }, [title, n]);
}
