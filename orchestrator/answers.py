"""What a client gets back: how a task ended, what happened to it, what became of a decision.

Given by the clients (client.py, aio.py) and by whatever stands on them: the command line, the API.
Everything here is a value; nothing talks to the server.

    NotFound, TimedOut         what a client raises besides Refused and Unfit
    Result, Story, TaskEvent   of a task
    DecidedLetter, DecidedAll, Preview  of the desk
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from envelopes import Ledger
from envelopes.decision import Decision
from envelopes.strict import Refused
from orchestrator.view import KeptView, State, TaskView, Unreadable


class NotFound(LookupError):
    """There is no such task or letter, or a shortened id fits several."""


class TimedOut(TimeoutError):
    """The task had not ended, or the decision not been acted on, in the time given."""


@dataclass(frozen=True, slots=True)
class Result:
    """How a task ended."""

    task: str
    outcome: State
    """completed, partial or aborted."""
    result: Any
    confidence: float | None
    stop_reason: str | None
    ledger: Ledger
    kept: Mapping[str, KeptView]
    """By step: the best that was produced, whatever the outcome."""

    @classmethod
    def of(cls, task_id: str, last: TaskView | None, timeout: float | None) -> Self:
        """Say how a task ended that was last seen so, or raise TimedOut; Refused if unreadable."""
        if last is None or not last.final:
            at = last.state if last else "unknown"
            raise TimedOut(f"task {task_id} is still {at} after {timeout:g} s; it goes on")
        if isinstance(last, Unreadable):
            why = f"{task_id} is {last.state}, but {last.stop_reason}"
            raise Refused("task", f"{why}; ask where a newer version runs")
        return cls(
            task=task_id,
            outcome=last.state,
            result=last.result,
            confidence=last.confidence,
            stop_reason=last.stop_reason,
            ledger=last.ledger,
            kept=last.kept,
        )

    def as_json(self) -> dict[str, Any]:
        """Return the result as a JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Story:
    """A task and everything that happened to it."""

    task: TaskView
    journal: tuple[Mapping[str, Any], ...]

    def as_json(self) -> dict[str, Any]:
        """Return the story as a JSON object."""
        return {**self.task.as_json(), "journal": list(self.journal)}


@dataclass(frozen=True, slots=True)
class TaskEvent:
    """One line of a task's journal: what was decided or learnt, and why."""

    place: int
    """Where it stands in the journal, counted from 0 and for ever: `events(after=place)` goes on
    behind it. Where one is missing, the journal had grown too long, and its oldest lines went."""
    at_ms: int
    why: str
    """The rule's name; a closed set, see the reference."""
    text: str
    """The same for a person to read."""
    about: Mapping[str, Any]
    """The whole line: step, agent, hop, what was charged, whatever applies."""

    @classmethod
    def read(cls, place: int, line: bytes) -> Self:
        """Read a line of the journal."""
        about: dict[str, Any] = json.loads(line)
        return cls(place, about["at_ms"], about["why"], about["text"], about)


@dataclass(frozen=True, slots=True)
class DecidedLetter:
    """What became of a letter."""

    letter: str
    first: bool
    """Whether it was this decision that counted."""
    verb: str
    by: str
    why: str
    decided_ms: int

    @classmethod
    def told(cls, decision: Decision, letter: Mapping[str, Any]) -> Self:
        """Tell whoever made a decision what a task's letter, closed by now, says of it."""
        said = (letter["verb"], letter["by"], letter["decided_why"])
        ours = (decision.verb.value, decision.by, decision.why)
        first = said == ours and letter["decided_as"] == decision.fingerprint()
        return cls(decision.letter, first, *said, letter["decided_ms"])


@dataclass(frozen=True, slots=True)
class Preview:
    """What one decision about many letters would be about; nothing was decided."""

    letters: int
    """How many fit."""
    looked_at: int
    """The newest of them, so many."""
    refusing: int
    """Those among them that do not allow this decision, and would stay open."""
    sample: Sequence[Mapping[str, Any]]
    """Some that would be decided; where there are none, some that fit."""


@dataclass(frozen=True, slots=True)
class DecidedAll:
    """What became of many letters that were decided alike."""

    decided: int
    before: int
    """Somebody else was first."""
    refused: Mapping[str, str]
    """By letter, why the decision made no sense of it; it stays open."""


def none_or_several(task_id: str, found: Sequence[str] = ()) -> NotFound:
    """Say that no task has this id, or that several ids begin so."""
    if not (task_id and found):
        return NotFound(f"no task {task_id!r}; see which there are: buckstop tasks")
    among = ", ".join(found[:5])
    return NotFound(
        f"{task_id!r} is the beginning of {len(found)} task ids; write more of it: {among}"
    )
