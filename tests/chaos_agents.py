"""Agents for chaos: each does as its input says, and keeps an account (account.py)."""

import time
from uuid import uuid4

from tests import account
from workers import Context, Envelope, agent

CALL = {"input_tokens": 50, "max_tokens": 100}
WORST, REAL = 150, 90


def _think(ctx: Context, run: str, number: int, seconds: float) -> None:
    """Make one paid call, as a model's own invoice would show it."""
    line = {"subtask": ctx.subtask, "run": run, "op": f"{run}.{number}"}
    account.note("meant", at_ms=account.now_ms(), **line)
    with ctx.meter.call(**CALL) as call:
        account.note("called", **line)
        time.sleep(seconds)
        call.used(50, 40)
        account.note("answered", **line)


def _behave(ctx: Context, input: dict) -> Envelope:
    run = uuid4().hex
    account.note("began", subtask=ctx.subtask, run=run, at_ms=account.now_ms())
    does, calls = input.get("does", "work"), input.get("calls", 1)
    for number in range(10_000 if does == "overspend" else calls):
        _think(ctx, run, number, input.get("seconds", 0.01))
        ctx.keep({"calls": number + 1}, 0.75)
    match does:
        case "fail":
            return Envelope.failed("it was told to fail")
        case "raise":
            raise RuntimeError("it was told to raise")
        case "text":
            return "free text"
        case "unsure":
            return Envelope.success({"by": ctx.headers.agent}, 0.4)
        case "pass on":
            other = "two" if ctx.headers.agent == "one" else "one"
            again = input | {"round": ctx.headers.hop}
            return ctx.handoff(other, goal=f"hop {ctx.headers.hop}", input=again, reason="not mine")
        case "hang":
            time.sleep(input["hangs_s"])
    return Envelope.success({"by": ctx.headers.agent, "calls": calls}, 0.9)


@agent("one", handoffs=["two"])
def one(ctx: Context, input: dict) -> Envelope:
    """Do as the input says."""
    return _behave(ctx, input)


@agent("two", handoffs=["one"])
def two(ctx: Context, input: dict) -> Envelope:
    """Do as the input says."""
    return _behave(ctx, input)


@agent("spare")
def spare(ctx: Context, input: dict) -> Envelope:
    """Do the work, whatever the input says: somebody to fall back on."""
    return _behave(ctx, input | {"does": "work"})
