"""Agents for chaos: each does as its input says, and keeps an account (account.py)."""

import time
from uuid import uuid4

from tests import account
from workers import Context, Envelope, agent

INPUT, MOST, REAL = 50, 100, 40


def _cost(output: int) -> tuple[int, int, int]:
    return INPUT + output, 0, 1


def _think(ctx: Context, run: str, number: int, seconds: float) -> None:
    """Make one paid call, as a model's own invoice would show it."""
    line = {"subtask": ctx.subtask, "run": run, "op": f"{run}.{number}"}
    account.note("meant", at_ms=account.now_ms(), worst=_cost(MOST), **line)
    with ctx.meter.call(input_tokens=INPUT, max_tokens=MOST) as call:
        account.note("called", worst=_cost(call.max_tokens), **line)
        time.sleep(seconds)
        output = min(REAL, call.max_tokens)
        call.used(INPUT, output)
        account.note("answered", real=_cost(output), **line)


def _behave(ctx: Context, script: dict) -> Envelope:
    run = uuid4().hex
    account.note("began", subtask=ctx.subtask, run=run, at_ms=account.now_ms())
    does, calls = script.get("does", "work"), script.get("calls", 1)
    for number in range(10_000 if does == "overspend" else calls):
        _think(ctx, run, number, script.get("seconds", 0.01))
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
            again = script | {"round": ctx.headers.hop}
            return ctx.handoff(other, goal=f"hop {ctx.headers.hop}", input=again, reason="not mine")
        case "hang":
            time.sleep(script["hangs_s"])
    return Envelope.success({"by": ctx.headers.agent, "calls": calls}, 0.9)


@agent("one", handoffs=["two"])
def one(ctx: Context, input: dict) -> Envelope:  # noqa: A002 - the payload's word
    """Do as the input says."""
    return _behave(ctx, input)


@agent("two", handoffs=["one"])
def two(ctx: Context, input: dict) -> Envelope:  # noqa: A002 - the payload's word
    """Do as the input says."""
    return _behave(ctx, input)


@agent("spare")
def spare(ctx: Context, input: dict) -> Envelope:  # noqa: A002 - the payload's word
    """Do the work, whatever the input says: somebody to fall back on."""
    return _behave(ctx, input | {"does": "work"})
