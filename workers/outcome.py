"""One subtask's outcome in a line, for whoever looks on from Celery's side.

    success 0.90; 812 of 5,000 tokens, 1 of 10 calls
    partial 0.40, asks for handoff; 812 of 5,000 tokens: needs a lawyer
    failed, budget; 4,990 of 5,000 tokens: the call was not made, ...
    taken away by its owner; 0 of 5,000 tokens

Flower and `celery inspect` show such a line where Celery has a task's return value. It says how an
agent answered and what that cost, never what it was given or what it made: whoever may look at
Flower need not be whoever may read a task.

What a task returns crosses from a pool's child to its parent as text only, so the line itself says
which event of Celery's it is (`event_of`). A partial answer is a success to Celery: the agent has
done its part, and what becomes of it is the owner's business.
"""

from collections.abc import Iterator
from typing import Any, Final

from envelopes.envelope import Envelope, Status, Usage
from envelopes.ledger import Limits
from envelopes.limits import MICROS_PER_USD, SHOWN_CHARS

_TAKEN: Final = "taken away by its owner"
_GIVEN_BACK: Final = "given back before it began"
_EVENTS: Final = (
    (Status.FAILED, "task-failed"),
    (_TAKEN, "task-revoked"),
    (_GIVEN_BACK, "task-rejected"),
)


class Outcome:
    """What a subtask's Celery task returns: an object that is written as its line."""

    __slots__ = ("line",)

    def __init__(self, line: str) -> None:
        self.line = line

    def __repr__(self) -> str:
        return self.line


GIVEN_BACK: Final = Outcome(_GIVEN_BACK)


def outcome_line(envelope: Envelope | None, usage: Usage, allowance: Limits) -> Outcome:
    """Say how a subtask ended and what it cost; None is one that was taken away."""
    spent = ", ".join(_spent(usage, allowance))
    if envelope is None:
        return Outcome(f"{_TAKEN}; {spent}")
    reason = f": {_short(envelope.reason)}" if envelope.reason else ""
    return Outcome(f"{_answer(envelope)}; {spent}{reason}")


def event_of(line: str) -> tuple[str, dict[str, Any]]:
    """Return the event of Celery's that a line stands for, and what it carries."""
    for beginning, event in _EVENTS:
        if line.startswith(beginning):
            return event, {"result": line, "exception": line}
    return "task-succeeded", {"result": line}


def _answer(envelope: Envelope) -> str:
    words = str(envelope.status)
    if envelope.confidence is not None:
        words += f" {envelope.confidence:.2f}"
    if envelope.fault is not None:
        words += f", {envelope.fault}"
    if envelope.ask is not None:
        words += f", asks for {envelope.ask.kind}"
    return words


def _short(reason: str) -> str:
    """Return a reason on one line that fits into a table."""
    text = " ".join(reason.split())
    return text if len(text) <= SHOWN_CHARS else f"{text[: SHOWN_CHARS - 3]}..."


def _spent(usage: Usage, allowance: Limits) -> Iterator[str]:
    """Say what was charged of each dimension that is bounded or was used."""
    for name, spent, most in (
        ("tokens", usage.tokens, allowance.tokens),
        ("calls", usage.calls, allowance.calls),
    ):
        if spent or most is not None:
            said = f"{spent:,}" if most is None else f"{spent:,} of {most:,}"
            one = (spent if most is None else most) == 1
            yield f"{said} {name.removesuffix('s') if one else name}"
    spent_usd = f"${usage.usd_micros / MICROS_PER_USD:.4f}"
    if allowance.usd_micros is not None:
        yield f"{spent_usd} of ${allowance.usd_micros / MICROS_PER_USD:.4f}"
    elif usage.usd_micros:
        yield spent_usd
