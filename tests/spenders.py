"""Agents that never have enough, and keep an account that nobody else can edit.

Each pays for one call after the other until a call is refused, and keeps the last answer. What
each call cost stands in the account (account.py). Before the fourth they wait for a test's word, so
that it can be sure of killing somebody over it.
"""

import time
from uuid import uuid4

from tests import account
from workers import Context, Envelope, agent
from workers.prices import Price

INPUT, MOST, REAL = 50, 100, 40
CALL_S = 0.1
MICROS_PER_TOKEN = 10
DEAR = Price.per_million(str(MICROS_PER_TOKEN), str(MICROS_PER_TOKEN))


def _cost(output: int, micros: int) -> tuple[int, int, int]:
    tokens = INPUT + output
    return tokens, tokens * micros, 1


def _spend(ctx: Context, micros: int) -> Envelope:
    run = uuid4().hex
    account.note("began", subtask=ctx.subtask, run=run, at_ms=account.now_ms())
    for number in range(1_000):
        if number == account.FIRST:
            account.wait_for("killed")
        line = {"subtask": ctx.subtask, "run": run, "op": f"{run}.{number}"}
        account.note("meant", at_ms=account.now_ms(), worst=_cost(MOST, micros), **line)
        with ctx.meter.call(input_tokens=INPUT, max_tokens=MOST, booked_as=account.MODEL) as call:
            account.note("called", worst=_cost(call.max_tokens, micros), **line)
            time.sleep(CALL_S)
            output = min(REAL, call.max_tokens)
            call.used(INPUT, output)
            account.note("answered", real=_cost(output, micros), **line)
        ctx.keep({"by": ctx.subtask, "calls": number + 1}, 0.9)
    return Envelope.failed("nobody ever said no")


@agent("spender")
def spender(ctx: Context) -> Envelope:
    """Spend tokens."""
    return _spend(ctx, 0)


@agent("dear", price=DEAR)
def dear(ctx: Context) -> Envelope:
    """Spend dollars."""
    return _spend(ctx, MICROS_PER_TOKEN)


@agent("slow")
def slow(ctx: Context) -> Envelope:
    """Take as long as it takes to kill somebody over it."""
    account.note("began", subtask=ctx.subtask, run=uuid4().hex, at_ms=account.now_ms())
    account.wait_for("go on")
    return Envelope.success({"by": ctx.subtask}, 0.9)
