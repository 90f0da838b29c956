"""What a letter looks like over HTTP, and what can be decided about it.

The story of a letter is written by the core (core/story.py) and passed on as it is.
"""

import base64
from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import Field

from envelopes.letter import LetterKind
from orchestrator.http.models import CellOf, Out, Partial

_ABSENT: Final[Mapping[str, Any]] = dict.fromkeys(
    ("due_ms", "decided_ms", "hop", "size", "queue", "subtask", "worker", "sha256", "cell")
)
_GOAL_CHARS: Final = 300
"""Of a goal in a list: more than the two lines that anybody shows of it there."""


class LetterSummary(Out):
    """A letter in a list. What does not apply is empty or null."""

    id: Annotated[str, Field(examples=["88b127b7749f9c1e04f2.1"])]
    kind: LetterKind
    reason: Annotated[str, Field(examples=["hop_cap"])]
    """The rule or check that led to it; letters of one cause share it."""
    why: str
    agent: str
    tenant: str
    task: str
    goal: Annotated[str, Field(examples=["compare three vendors"])]
    """What its task is to reach, in a list its beginning; empty for a message."""
    step: str
    hop: int | None
    filed_ms: int
    due_ms: int | None
    """When the default applies."""
    if_nobody_decides: str
    """The default."""
    allowed: list[str]
    """What can be decided now."""
    state: Annotated[str, Field(examples=["open"])]
    verb: str
    """Of what was decided: what, by whom, why, when."""
    by: str
    decided_why: str
    said: str
    """What came with the decision, in short: an answer, another result, what more may be used."""
    decided_ms: int | None
    cell: CellOf


class LetterOut(LetterSummary):
    """Everything that is needed to decide."""

    story: dict[str, Any] | None
    """Of a task: what was asked, spent and kept, and how it came to this."""
    question: dict[str, Any] | None
    """What an agent asks: its text, and the choices if there are any."""
    result_schema: dict[str, Any] | None
    """What an amendment must fit."""
    predicates: list[dict[str, Any]]
    confidence_min: float | None
    size: int | None
    """Of a message: its bytes."""
    queue: str | None
    subtask: str | None
    worker: str | None
    sha256: str | None
    bytes: str | None
    """Of a message: its beginning as text; what is no text is escaped."""
    bytes_base64: str | None


class LetterPage(Partial):
    """Some open letters, the newest in front."""

    items: list[LetterSummary]
    next: str | None
    total: int
    """How many there are that fit."""


class Counts(Partial):
    """Open letters, counted by one thing that they share."""

    by: str
    counts: dict[str, int]
    total: int


def short(letter: Mapping[str, Any]) -> LetterSummary:
    """Return a letter as a list shows it."""
    known = {**_ABSENT, **letter, "goal": _goal(letter)[:_GOAL_CHARS]}
    return LetterSummary(**{name: known[name] for name in LetterSummary.model_fields})


def whole(
    letter: Mapping[str, Any], request: Mapping[str, Any] | None, raw: bytes | None
) -> LetterOut:
    """Return all of a letter, with what its task promises about the result."""
    promised = request or {}
    known = {
        **_ABSENT,
        "bytes": None,
        **letter,
        "goal": _goal(letter),
        "question": (letter["story"] or {}).get("question"),
        "result_schema": promised.get("result_schema"),
        "predicates": promised.get("predicates", []),
        "confidence_min": promised.get("confidence_min"),
        "bytes_base64": None if raw is None else base64.b64encode(raw).decode(),
    }
    return LetterOut(**{name: known[name] for name in LetterOut.model_fields})


def _goal(letter: Mapping[str, Any]) -> str:
    """Return the goal of the letter's task; those of its steps come after it in the story."""
    return next(iter((letter["story"] or {}).get("goals", ())), "")
