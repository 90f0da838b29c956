"""Agents for chaos: each does as its input says, and keeps an account (account.py)."""

import time
from uuid import uuid4

from tests import account
from workers import Context, Envelope, Step, agent

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


def _began(ctx: Context) -> str:
    run = uuid4().hex
    account.note("began", subtask=ctx.subtask, run=run, at_ms=account.now_ms())
    return run


def _behave(ctx: Context, script: dict) -> Envelope:
    run = _began(ctx)
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


# --- whom the owner asks -------------------------------------------------------------------------


def _ask(ctx: Context) -> None:
    """Cost something, as everybody does."""
    _think(ctx, _began(ctx), 0, 0.01)


@agent("planner")
def planner(ctx: Context, input: dict) -> Envelope:  # noqa: A002 - the payload's word
    """Plan two steps; the first plan may break, and is once proposed again."""
    _ask(ctx)
    work = {"does": "work", "seconds": 0.01}
    first = work if input["failed"] else input["input"]
    plan = [
        {"id": "first", "agent": "two" if input.get("advice") else "one", "input": first},
        {"id": "second", "agent": "two", "input": work, "needs": ["first"]},
    ]
    return Envelope.success(plan, 0.9)


@agent("lead")
def lead(ctx: Context, input: dict) -> Envelope:  # noqa: A002 - the payload's word
    """Delegate to both for some rounds, then be satisfied."""
    _ask(ctx)
    if input["round"] > input["input"]["rounds"]:
        return Envelope.success({"by": "lead", "rounds": input["round"]}, 0.9)
    script = {"does": "work", "seconds": 0.01, "round": input["round"]}
    steps = [Step(id=name, agent=name, input=script) for name in ("one", "two")]
    return ctx.delegate(*steps, reason="not enough yet")


@agent("judge")
def judge(ctx: Context, input: dict) -> Envelope:  # noqa: A002 - the payload's word
    """Agree with most, object to some."""
    _ask(ctx)
    ok = not _one_in(ctx, 4)
    return Envelope.success({"ok": ok, "confidence": 0.85, "reason": "it was looked at"}, 1.0)


@agent("boss")
def boss(ctx: Context) -> Envelope:
    """Have the last word, now and then a senseless one."""
    _ask(ctx)
    word = "never mind" if _one_in(ctx, 4) else "escalate" if _one_in(ctx, 3) else "complete"
    return Envelope.success({"decision": word, "why": "somebody has to"}, 1.0)


def _one_in(ctx: Context, many: int) -> bool:
    """Draw by the task, so that whoever is asked again says the same."""
    return int(ctx.headers.task, 16) % many == 0
