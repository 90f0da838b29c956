"""An agent that waits, as one that asks a model does, and one that asks a person."""

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


@agent("asks")
def asks(ctx: Context, answers: list[dict[str, str]]) -> Envelope:
    """Ask a person, and say what they said."""
    if not answers:
        return ctx.question("Shall I?", choices=["yes", "no"])
    return Envelope.success(answers[-1]["answer"], confidence=0.9)
