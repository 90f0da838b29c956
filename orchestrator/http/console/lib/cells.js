/* The cells of the deployment, for filters: a list of one is no choice, and is empty here. */

import { session, useRead } from "./api.js";
import { useCell } from "./cell.js";

/* Their names, home first, and the one that an address names; who sees one tenant only has no choice. */
export function useCellNames(chosen) {
  const who = useCell(session);
  const read = useRead(who.tenant ? null : "/v1/cells");
  const names = (read.value?.items ?? []).map((each) => each.cell);
  if (chosen && !names.includes(chosen)) names.push(chosen);
  return names.length > 1 || chosen ? names : [];
}
