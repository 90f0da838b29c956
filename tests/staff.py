"""Agents that real workers run in tests. Each first writes down that it was run."""

import asyncio
import os
import time

from workers import Context, Envelope, agent


def _ran(ctx: Context) -> None:
    file = os.open(os.environ["EFFECTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{ctx.subtask}\n".encode())
    os.close(file)


@agent("noop")
def noop(ctx: Context) -> Envelope:
    _ran(ctx)
    return Envelope.success("done", 1.0)


@agent("payer")
def payer(ctx: Context) -> Envelope:
    _ran(ctx)
    with ctx.meter.call(input_tokens=10, max_tokens=90) as call:
        call.used(10, 20)
    return Envelope.success("paid", 1.0)


@agent("sleeper")
def sleeper(ctx: Context, input: float) -> Envelope:  # noqa: A002 - the word that payloads use
    _ran(ctx)
    ctx.keep("what there is", 0.5)
    time.sleep(input)
    return Envelope.success(os.getpid(), 1.0)


@agent("waiter")
async def waiter(ctx: Context, input: float) -> Envelope:  # noqa: A002 - the word that payloads use
    _ran(ctx)
    async with ctx.meter.call(input_tokens=10, max_tokens=90) as call:
        await asyncio.sleep(input)
        call.used(10, 20)
    return Envelope.success("waited", 1.0)


@agent("napper")
def napper(ctx: Context, input: float) -> Envelope:  # noqa: A002 - the word that payloads use
    """Quick or slow, as it is told."""
    _ran(ctx)
    time.sleep(input)
    return Envelope.success("slept", 1.0)


@agent("watcher")
async def watcher(ctx: Context, input: float) -> Envelope:  # noqa: A002 - the word that payloads use
    """Write down how it ended."""
    _ran(ctx)
    try:
        await asyncio.sleep(input)
    except asyncio.CancelledError:
        _ran(ctx)
        raise
    return Envelope.success("watched", 1.0)
