"""The agent of the recovery bench: it says when it begins, and takes longer than a lease."""

import json
import os
import time

from workers import Context, Envelope, agent


@agent("sleeper")
def sleeper(ctx: Context) -> Envelope:
    """Begin once more, and sleep until the owner has seen enough."""
    line = {"subtask": ctx.subtask, "pid": os.getpid(), "at": time.time()}
    with open(os.environ["BEGAN"], "a") as file:  # noqa: PTH123 - one short line, appended whole
        file.write(json.dumps(line) + "\n")
    ctx.cancelled.wait(60)
    return Envelope.success(None, 1.0)
