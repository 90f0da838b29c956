"""An agent that waits, as one that asks a model does, and says where it ran."""

import socket
import time

from workers import Context, Envelope, agent


@agent("nap")
def nap(ctx: Context, goal: str) -> Envelope:
    """Sleep as many seconds as the goal says; the call that stands for it is paid."""
    with ctx.meter.call(input_tokens=10, max_tokens=10) as call:
        time.sleep(float(goal))
        call.used(10, 10)
    return Envelope.success({"host": socket.gethostname()}, confidence=0.9)
