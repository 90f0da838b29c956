"""Agents for the browser's tests: each says what its input tells it to say.

An input is a script, read in this order:

    {"waits": path}        go on once that file is there, so that a test sees the task at work
    {"costs": tokens}      pay for one call
    {"raises": text}       be at fault
    {"fails": reason}      have nothing to use
    {"asks": text, "choices": [...]}   ask a person, and then say what the person answered
    {"to": agent, "reason": why}       hand the step over
    {"says": result, "confidence": 0.9}
"""

from pathlib import Path

from pydantic import JsonValue

from workers import Context, Envelope, agent

LOOK_EVERY_S = 0.02


def play(
    ctx: Context,
    input: dict[str, JsonValue],  # noqa: A002 - the payload's word
    answers: list[dict[str, str]],
) -> Envelope:
    """Do as the input says."""
    _wait_for(ctx, input.get("waits"))
    if costs := int(input.get("costs", 200)):
        with ctx.meter.call(input_tokens=costs // 2, max_tokens=costs - costs // 2) as call:
            call.used(costs // 2, costs - costs // 2)
    if raises := input.get("raises"):
        raise RuntimeError(str(raises))
    if fails := input.get("fails"):
        return Envelope.failed(str(fails))
    if (asks := input.get("asks")) and not answers:
        return ctx.question(str(asks), input.get("choices", ()))
    if to := input.get("to"):
        return ctx.handoff(str(to), input=input.get("then"), reason=str(input["reason"]))
    says = answers[-1]["answer"] if answers else input.get("says", "done")
    return Envelope.success(says, float(input.get("confidence", 0.9)))


def _wait_for(ctx: Context, path: JsonValue) -> None:
    while path and not Path(str(path)).exists():
        if ctx.cancelled.wait(LOOK_EVERY_S):
            return


for name in ("research", "write", "review"):
    agent(name, handoffs=["review"], price="openai:gpt-5-mini")(play)
for name in ("translate", "fragile"):
    agent(name)(play)
