/* A value that components watch.

   A cell holds one value for the whole page: the session, the state of the live connection, the
   path. Setting it draws every component that uses it again, and no other.

       export const count = cell(0);
       count.set(3);                          // or count.set((n) => n + 1)
       function Count() { return html`<b>${useCell(count)}</b>`; }

   Not here: what is read from the server (api.js), what is announced by it (live.js). */

import { useEffect, useState } from "../vendor/preact.js";

export function cell(first) {
  const watchers = new Set();
  const it = {
    value: first,
    set(next) {
      const value = typeof next === "function" ? next(it.value) : next;
      if (Object.is(value, it.value)) return;
      it.value = value;
      for (const watcher of [...watchers]) watcher(value);
    },
    watch(watcher) {
      watchers.add(watcher);
      return () => watchers.delete(watcher);
    },
  };
  return it;
}

export function useCell(it) {
  const [, draw] = useState(it.value);
  useEffect(() => {
    draw(it.value); // It may have changed between drawing and watching.
    return it.watch(() => draw(it.value));
  }, [it]);
  return it.value;
}
