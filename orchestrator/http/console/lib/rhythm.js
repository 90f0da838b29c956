/* Look again every so often, for what nobody announces: queue depths, workers, spend.

       useRhythm(agents.again, 4000);

   A page that nobody sees does not ask; it does so at once when it is seen again. */

import { useEffect, useRef } from "./hooks.js";

export function useRhythm(look, everyMs) {
  const current = useRef(look);
  current.current = look;
  useEffect(() => {
    const beat = () => document.hidden || current.current();
    const timer = setInterval(beat, everyMs);
    document.addEventListener("visibilitychange", beat);
    return () => (clearInterval(timer), document.removeEventListener("visibilitychange", beat));
  }, [everyMs]);
}
