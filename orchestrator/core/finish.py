"""Evaluate the finish line on recorded facts.

An agent's opinion counts only where the line names that agent (`Custom`), and then it is a recorded
verdict on one result, like a validator's.
"""

from collections.abc import Sequence
from math import ceil
from typing import assert_never

from envelopes import (
    All,
    Any,
    Confidence,
    Custom,
    Elapsed,
    FinishLine,
    Limits,
    PlanDone,
    ResultMatches,
    Rounds,
    Spent,
    Stalled,
)
from envelopes.ledger import Amounts
from envelopes.strict import compact
from envelopes.until import parts
from orchestrator.core.result import at_rest, composed, fingerprint, plan_is_done
from orchestrator.core.schema import misfit
from orchestrator.core.task import Composed, Role, StepState, Task, Verdict

Steps = Sequence[StepState]


def crossed(  # noqa: C901 - a closed set, a line or two for each
    until: FinishLine, task: Task, steps: Steps, now_ms: int
) -> str | None:
    """Return which condition holds, in words for the journal, or None."""
    match until:
        case All():
            joined = [crossed(each, task, steps, now_ms) for each in until.of]
            return None if None in joined else " & ".join(filter(None, joined))
        case Any():
            return next(
                filter(None, (crossed(each, task, steps, now_ms) for each in until.of)), None
            )
        case PlanDone():
            return "plan_done" if plan_is_done(task, steps) else None
        case Confidence():
            result = finished(task, steps)
            held = result is not None and result.confidence >= until.at_least
            return f"confidence>={until.at_least}" if held else None
        case Spent():
            return f"spent>={until.share}" if _spent(task, until.share) else None
        case Elapsed():
            held = now_ms >= _flip_ms(task, until.seconds)
            return f"elapsed>={until.seconds}s" if held else None
        case Rounds():
            held = task.rounds >= until.at_least and at_rest(steps)
            return f"rounds>={until.at_least}" if held else None
        case Stalled():
            return f"stalled>={until.at_least}" if task.stalls >= until.at_least else None
        case ResultMatches():
            result = composed(task, steps)
            held = result is not None and misfit(compact(until.json_schema), result.result) is None
            return "result_matches" if held else None
        case Custom():
            verdict = said(task, steps, until.agent)
            return f"custom:{until.agent}" if verdict is not None and verdict.ok else None
    assert_never(until)


def achieved(task: Task, steps: Steps, now_ms: int) -> bool:
    """Say whether what was produced has crossed the line, and not the clock, the purse or a count.

    Then the task is completed, though something of its plan may be left to do.
    """
    goals = (Confidence, ResultMatches, Custom)
    named = (each for each in parts(task.terms.until) if isinstance(each, goals))
    return any(crossed(each, task, steps, now_ms) for each in named)


def finished(task: Task, steps: Steps) -> Composed | None:
    """Return the result once there is one to be judged: nobody is still making it."""
    between_rounds = task.terms.manager is not None and at_rest(steps)
    return composed(task, steps) if between_rounds or plan_is_done(task, steps) else None


def said(task: Task, steps: Steps, agent: str) -> Verdict | None:
    """Return what a referee has said of the result as it is, or None where it has not been asked.

    None too where there is nothing to be asked about.
    """
    result = finished(task, steps)
    if result is None:
        return None
    about = fingerprint(result.result)
    found = (v for v in task.verdicts if v.role is Role.PREDICATE and v.by == agent)
    return next((v for v in found if v.about == about), None)


def referees(task: Task, steps: Steps) -> list[str]:
    """Return the agents whose word on the result as it is the finish line still wants."""
    named = [each.agent for each in parts(task.terms.until) if isinstance(each, Custom)]
    if not named or finished(task, steps) is None:
        return []
    return [agent for agent in dict.fromkeys(named) if said(task, steps, agent) is None]


def next_flip_ms(task: Task, now_ms: int) -> int:
    """Say when the clock alone can move the task across its finish line; 0 for never."""
    flips = [_flip_ms(task, seconds) for seconds in _elapsed(task.terms.until)]
    return min((flip for flip in flips if flip > now_ms), default=0)


def _flip_ms(task: Task, seconds: float) -> int:
    """Say when so much time has passed: the same millisecond for the alarm and for the line."""
    return task.accepted_ms + ceil(seconds * 1000)


def _elapsed(until: FinishLine) -> list[float]:
    return [each.seconds for each in parts(until) if isinstance(each, Elapsed)]


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
