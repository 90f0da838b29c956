/* What can be done to a whole task: cancel it, or submit the same once more. */

import { html } from "../../lib/hooks.js";
import { post } from "../../lib/api.js";
import { confirmed } from "../../lib/dialog.js";
import { Icon } from "../../lib/parts.js";
import { go } from "../../lib/router.js";
import { toast } from "../../lib/toast.js";
import { someKey } from "../tasks/key.js";

export function CancelButton({ task }) {
  const cancel = async () => {
    const sure = await confirmed({
      title: "Cancel this task?",
      text: "What is out is revoked and cannot spend any more. The task ends as aborted; what was produced is kept.",
      yes: "Cancel the task",
      no: "Let it go on",
      danger: true,
      why: "Why, for the record",
    });
    if (!sure) return;
    try {
      const { asked } = await post(`/v1/tasks/${encodeURIComponent(task.id)}/cancel`, sure);
      toast(asked ? "The owner was asked to stop it." : "It had ended already.");
    } catch (problem) {
      toast(problem.message, "bad");
    }
  };
  return html`<button type="button" class="button danger" onClick=${cancel}><${Icon} name="stop" />Cancel</button>`;
}

/* Whoever has mended what a task failed by need not write it anew. */
export function AgainButton({ task }) {
  const again = async () => {
    const key = someKey();
    const sure = await confirmed({
      title: "Submit the same once more?",
      text: "A new task with the same goal, plan, ceiling, time and finish line. It spends anew; this one stays as it is.",
      yes: "Submit it",
      no: "Not now",
    });
    if (!sure) return;
    try {
      const { idempotency_key: _, traceparent: __, ...request } = task.request;
      const { id } = await post("/v1/tasks", request, { headers: { "Idempotency-Key": key } });
      toast("Submitted once more; this is the new task.");
      go(`/tasks/${id}`);
    } catch (problem) {
      toast(problem.message, "bad");
    }
  };
  return html`<button type="button" class="button" onClick=${again}><${Icon} name="again" />Submit again</button>`;
}
