/* What somebody has typed into a decision and not sent: kept per letter, for this tab.

       const [draft, change, drop] = useDraft(letter.id);
       change({ verb: "amend", text: "{...}" });

   It survives a reload, a lost connection, a login that ran out and a look at another letter. One
   flat object for all verbs, so that the why somebody wrote stays when they choose another verb. */

import { session } from "../../lib/api.js";
import { useCallback, useEffect, useState } from "../../lib/hooks.js";

const PREFIX = "buckstop.draft.";

function stored(id) {
  try {
    return JSON.parse(sessionStorage.getItem(PREFIX + id)) ?? {};
  } catch {
    return {}; // Storage that is forbidden, or was written by somebody else.
  }
}

function store(id, draft) {
  try {
    if (Object.keys(draft).length) sessionStorage.setItem(PREFIX + id, JSON.stringify(draft));
    else sessionStorage.removeItem(PREFIX + id);
  } catch {
    return; // Full or forbidden: what is typed still stands on the page.
  }
}

export function useDraft(id) {
  const [all, setAll] = useState(() => ({ id, draft: stored(id) }));
  const draft = all.id === id ? all.draft : stored(id);
  useEffect(() => {
    if (all.id !== id) setAll({ id, draft: stored(id) });
  }, [id]);
  const change = useCallback(
    (changes) => setAll((old) => {
      const next = { ...(old.id === id ? old.draft : stored(id)), ...changes };
      store(id, next);
      return { id, draft: next };
    }),
    [id],
  );
  const drop = useCallback(() => {
    store(id, {});
    setAll({ id, draft: {} });
  }, [id]);
  return [draft, change, drop];
}

/* Whether a decision is the one that was typed here: its answer may have been lost on the way, or it
   was acted on only later. Then nobody else was first. */
export function isOurs({ verb, by, why }, wished, draft) {
  return verb === wished && by === session.value?.name && (why ?? "") === (draft.why ?? "").trim();
}

export const hasDraft = (id) => Boolean(stored(id).touched);
