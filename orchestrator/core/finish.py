"""Evaluate the finish line on recorded facts."""

from collections.abc import Sequence
from math import ceil
from typing import assert_never

from envelopes import All, Any, Confidence, Elapsed, FinishLine, Limits, PlanDone, Spent
from envelopes.ledger import Amounts
from orchestrator.core.result import composed, plan_is_done
from orchestrator.core.task import StepState, Task

Steps = Sequence[StepState]


def crossed(until: FinishLine, task: Task, steps: Steps, now_ms: int) -> str | None:
    """Return which condition holds, in words for the journal, or None."""
    match until:
        case PlanDone():
            return "plan_done" if plan_is_done(steps) else None
        case Confidence():
            result = composed(steps) if plan_is_done(steps) else None
            held = result is not None and result.confidence >= until.at_least
            return f"confidence>={until.at_least}" if held else None
        case Spent():
            return f"spent>={until.share}" if _spent(task, until.share) else None
        case Elapsed():
            held = now_ms >= _flip_ms(task, until.seconds)
            return f"elapsed>={until.seconds}s" if held else None
        case All():
            parts = [crossed(each, task, steps, now_ms) for each in until.of]
            return None if None in parts else " & ".join(filter(None, parts))
        case Any():
            return next(
                filter(None, (crossed(each, task, steps, now_ms) for each in until.of)), None
            )
    assert_never(until)


def next_flip_ms(task: Task, now_ms: int) -> int:
    """Say when the clock alone can move the task across its finish line; 0 for never."""
    flips = [_flip_ms(task, seconds) for seconds in _elapsed(task.terms.until)]
    return min((flip for flip in flips if flip > now_ms), default=0)


def _flip_ms(task: Task, seconds: float) -> int:
    """Say when so much time has passed: the same millisecond for the alarm and for the line."""
    return task.accepted_ms + ceil(seconds * 1000)


def _elapsed(until: FinishLine) -> list[float]:
    match until:
        case Elapsed():
            return [until.seconds]
        case All() | Any():
            return [seconds for each in until.of for seconds in _elapsed(each)]
        case _:
            return []


def _spent(task: Task, share: float) -> bool:
    spent, ceiling = task.ledger.spent, task.ledger.ceiling
    return any(
        bound is not None and amount >= bound * share for amount, bound in _pairs(spent, ceiling)
    )


def _pairs(spent: Amounts, ceiling: Limits) -> list[tuple[int, int | None]]:
    return [
        (spent.tokens, ceiling.tokens),
        (spent.usd_micros, ceiling.usd_micros),
        (spent.calls, ceiling.calls),
    ]
