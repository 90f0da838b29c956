"""Seven agents. No model is called; the tokens they charge are made up, the ledger is real.

`research`, `write` and `review` do their work. `spender` never stops calling its model. `pinger`
and `ponger` each think that the task is the other's. `quote` is honest about how little it knows.
"""

import time

from pydantic import JsonValue

from workers import Context, Envelope, agent

CALL_TOKENS = 400
SECONDS_PER_FACT = 1.0


@agent("research")
def research(ctx: Context, goal: str) -> Envelope:
    """Find three facts, one paid call each."""
    facts = []
    for number in range(1, 4):
        with ctx.meter.call(input_tokens=200, max_tokens=CALL_TOKENS) as call:
            time.sleep(SECONDS_PER_FACT)
            call.used(200, 150)
        facts.append(f"fact {number} on {goal.lower()}")
        ctx.keep(facts, 0.3 * number)
    return Envelope.success(facts, 0.9)


@agent("write")
def write(ctx: Context, inputs: dict[str, list[str]]) -> Envelope:
    """Put all facts into one draft."""
    with ctx.meter.call(input_tokens=600, max_tokens=CALL_TOKENS) as call:
        call.used(600, 380)
    facts = [fact for found in inputs.values() for fact in found]
    return Envelope.success({"draft": f"{len(facts)} facts, in order", "facts": facts}, 0.85)


@agent("review")
def review(ctx: Context, inputs: dict[str, dict[str, JsonValue]]) -> Envelope:
    """Read the draft and sign it off."""
    with ctx.meter.call(input_tokens=500, max_tokens=CALL_TOKENS) as call:
        call.used(500, 60)
    return Envelope.success({**inputs["write"], "reviewed": True}, 0.88)


@agent("spender")
def spender(ctx: Context) -> Envelope:
    """Call the model again and again; only the meter ever stops it."""
    calls = 0
    while True:
        with ctx.meter.call(input_tokens=300, max_tokens=CALL_TOKENS, min_tokens=100) as call:
            time.sleep(0.15)
            call.used(300, 200)
        calls += 1
        ctx.keep({"drafts": calls}, 0.75)


@agent("pinger", handoffs=["ponger"])
def pinger(ctx: Context) -> Envelope:
    """Do a little and pass it on."""
    return _pass_on(ctx, "ponger")


@agent("ponger", handoffs=["pinger"])
def ponger(ctx: Context) -> Envelope:
    """Do a little and pass it back."""
    return _pass_on(ctx, "pinger")


@agent("quote")
def quote(ctx: Context) -> Envelope:
    """Write an offer, and say how sure of it one can be."""
    with ctx.meter.call(input_tokens=400, max_tokens=CALL_TOKENS) as call:
        call.used(400, 210)
    offer = {"trips": 12, "price_eur": 4_800, "text": "Twelve trips by boat, **guide included**."}
    return Envelope.success(offer, 0.55)


def _pass_on(ctx: Context, to: str) -> Envelope:
    ctx.meter.charge(tokens=50)
    time.sleep(0.2)
    ctx.keep({"answer so far": f"after {ctx.headers.hop} hops"}, 0.75)
    return ctx.handoff(to, goal=f"your turn, round {ctx.headers.hop}", reason="not my department")
