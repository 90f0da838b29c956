"""Agents for the browser's tests: each says what its input tells it to say.

An input is a script; a task that was submitted by hand has it as the last line of its goal, or none
at all. It is read in this order:

    {"waits": path}        go on once that file is there, so that a test sees the task at work
    {"costs": tokens}      pay for one call
    {"raises": text}       be at fault
    {"fails": reason}      have nothing to use
    {"asks": text, "choices": [...]}   ask a person, and then say what the person answered
    {"to": agent, "reason": why}       hand the step over
    {"says": result, "confidence": 0.9}
"""

import json
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from workers import Context, Envelope, agent

LOOK_EVERY_S = 0.02


def play(
    ctx: Context,
    goal: str,
    input: JsonValue,  # noqa: A002 - the payload's word
    answers: list[dict[str, str]],
) -> Envelope:
    """Do as the script says."""
    script = input if isinstance(input, dict) else _last_line(goal)
    _wait_for(ctx, script.get("waits"))
    _pay(ctx, int(script.get("costs", 200)))
    if raises := script.get("raises"):
        raise RuntimeError(str(raises))
    return _said(ctx, script, answers)


def _said(ctx: Context, script: dict[str, Any], answers: list[dict[str, str]]) -> Envelope:
    if fails := script.get("fails"):
        return Envelope.failed(str(fails))
    if (asks := script.get("asks")) and not answers:
        return ctx.question(str(asks), script.get("choices", ()))
    if to := script.get("to"):
        return ctx.handoff(str(to), input=script.get("then"), reason=str(script["reason"]))
    says = answers[-1]["answer"] if answers else script.get("says", "done")
    return Envelope.success(says, float(script.get("confidence", 0.9)))


def _pay(ctx: Context, costs: int) -> None:
    with ctx.meter.call(input_tokens=costs // 2, max_tokens=costs - costs // 2) as call:
        call.used(costs // 2, costs - costs // 2)


def _last_line(goal: str) -> dict[str, Any]:
    line = goal.splitlines()[-1]
    return json.loads(line) if line.startswith("{") else {}


def _wait_for(ctx: Context, path: JsonValue) -> None:
    while path and not Path(str(path)).exists():
        if ctx.cancelled.wait(LOOK_EVERY_S):
            return


MODEL = "openai:gpt-5-mini"

agent("research", skills=["search"], handoffs=["review"], price=MODEL)(play)
agent("write", skills=["prose"], handoffs=["review"], price=MODEL, in_flight_max=24)(play)
agent("review", skills=["proof-reading"], price=MODEL)(play)
agent("translate", skills=["danish", "swedish"])(play)
agent("illustrate")(play)
