"""The agent of the fan-out: it charges once and answers."""

import asyncio

from workers import Context, Envelope, agent


@agent("noop")
def noop(ctx: Context) -> Envelope:
    """Charge one call, as a real agent would, and succeed."""
    ctx.meter.charge(tokens=1)
    return Envelope.success(None, 1.0)


@agent("answer")
def answer(ctx: Context, input: dict[str, int]) -> Envelope:  # noqa: A002 -- the field's name
    """Charge one call, and answer with so many bytes."""
    ctx.meter.charge(tokens=1)
    return Envelope.success({"text": "x" * input["bytes"]}, 1.0)


@agent("hold")
async def hold(ctx: Context, input: dict[str, float]) -> Envelope:  # noqa: A002 -- as above
    """Wait as one does that asks a model, and answer nothing."""
    await ctx.meter.acharge(tokens=1)
    await asyncio.sleep(input["seconds"])
    return Envelope.success(None, 1.0)
