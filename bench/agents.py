"""The agent of the fan-out: it charges once and answers."""

from workers import Context, Envelope, agent


@agent("noop")
def noop(ctx: Context) -> Envelope:
    """Charge one call, as a real agent would, and succeed."""
    ctx.meter.charge(tokens=1)
    return Envelope.success(None, 1.0)
