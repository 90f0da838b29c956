"""Decisions as a caller writes them: a shape for each verb, so that nothing senseless can be said.

Who decides is never part of it: that is whoever the token names.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, JsonValue, WithJsonSchema

from envelopes import limits
from envelopes.decision import Decision, Verb
from envelopes.letter import LetterKind
from envelopes.request import Amount, Name, Seconds
from envelopes.strict import Refused, compact, parse
from orchestrator.cells.file import CellName
from orchestrator.http.models import WHOLE, In, Out, Why
from orchestrator.http.shown_letters import LetterSummary
from orchestrator.wanted import Wanted

_ANY: dict[str, Any] = {"type": ["object", "array", "string", "number", "boolean"]}


def _something(value: JsonValue) -> JsonValue:
    """Refuse to deliver nothing."""
    if value is None:
        raise ValueError("amend needs the result to deliver")
    return value


Deliverable = Annotated[
    JsonValue,
    AfterValidator(_something),
    WithJsonSchema({**_ANY, "description": "Any JSON but null."}),
]
Text = Annotated[str, Field(min_length=1, max_length=limits.REASON_CHARS_MAX)]


class Approve(Why):
    """Deliver what is kept, though it is below the bar."""

    verb: Literal["approve"]


class Amend(Why):
    """Deliver this instead."""

    verb: Literal["amend"]
    result: Deliverable


class Answered(Why):
    """Tell the agent that asked what it wanted to know."""

    verb: Literal["answer"]
    answer: Text


class Retry(Why):
    """Go on, with more of what ran out."""

    verb: Literal["retry"]
    budget: Amount | None = None
    hops: Annotated[int, Field(ge=0, le=limits.HOPS_CEILING), WHOLE] = 0
    time: Seconds | None = None
    agent: Name | None = None
    """Go on with this one."""


class Reassign(Why):
    """Let this agent do what would be done again."""

    verb: Literal["reassign"]
    agent: Name


class Abort(Why):
    """End the task; what is kept stays with it."""

    verb: Literal["abort"]


class OfAMessage(Why):
    """Put a message that was set aside back on its queue, or let it go."""

    verb: Literal["replay", "discard"]


VERBS: Final[Mapping[str, type[Why]]] = {
    Verb.APPROVE: Approve,
    Verb.AMEND: Amend,
    Verb.ANSWER: Answered,
    Verb.RETRY: Retry,
    Verb.REASSIGN: Reassign,
    Verb.ABORT: Abort,
    Verb.REPLAY: OfAMessage,
    Verb.DISCARD: OfAMessage,
}


class Amendment(In):
    """What somebody would deliver instead."""

    result: Deliverable


class Filter(In):
    """What letters have in common; nothing said is no condition."""

    kind: LetterKind | None = None
    reason: Annotated[str, Field(max_length=limits.NAME_CHARS_MAX)] | None = None
    agent: Annotated[str, Field(max_length=limits.NAME_CHARS_MAX)] | None = None
    tenant: Name | None = None
    older_s: Annotated[int, Field(ge=0, le=limits.LETTER_AGE_S_MAX), WHOLE] | None = None
    cell: CellName | None = None
    """Of several cells, in this one only."""

    def wanted(self, tenant: str | None) -> Wanted:
        """Return it as the store knows it, for this tenant only if one is named."""
        meant = wanted(self.kind, self.reason, self.agent, tenant, self.older_s)
        return replace(meant, cell=self.cell)


class Bulk(In):
    """One decision about every open letter that fits."""

    filter: Filter
    decision: dict[str, JsonValue]
    preview: bool
    """Only say what it would be about."""


class Preview(Out):
    """What a decision would be about; nothing was decided."""

    letters: int
    """How many fit."""
    looked_at: int
    """The newest of them, so many."""
    refusing: int
    """Those among them that do not allow this decision, and would stay open."""
    sample: list[LetterSummary]
    """Some that would be decided; where there are none, some that fit."""


class DecidedOut(Out):
    """What became of a letter."""

    letter: str
    verb: str
    by: str
    why: str
    decided_ms: int


class BulkDecided(Out):
    """What became of many letters."""

    decided: int
    before: int
    """Somebody else was first."""
    refused: dict[str, str]
    """By letter, why the decision makes no sense of it; it stays open."""


class Fault(Out):
    """Why a result could not be delivered."""

    at: Annotated[str, Field(examples=["/score"])]
    """A JSON pointer to the place."""
    detail: str


class Checked(Out):
    """Whether an amendment would be accepted; nothing was decided."""

    ok: bool
    errors: list[Fault]


def decision(said: Any, letter: str, by: str) -> Decision:
    """Make a decision of a JSON value, or raise Refused naming the field."""
    if not isinstance(said, dict) or (shape := VERBS.get(str(said.get("verb")))) is None:
        raise Refused("verb", f"say one of: {', '.join(Verb)}")
    spoken = parse(shape, compact(said), bytes_max=limits.REQUEST_BYTES_MAX, what="decision")
    whole = {**spoken.model_dump(mode="json"), "letter": letter, "by": by}
    return parse(Decision, compact(whole), bytes_max=limits.REQUEST_BYTES_MAX, what="decision")


def describe_decisions(schemas: dict[str, Any]) -> None:
    """Add to OpenAPI's schemas that a decision is one of the shapes."""
    refs = {verb: f"#/components/schemas/{shape.__name__}" for verb, shape in VERBS.items()}
    schemas["Decision"] = {
        "title": "Decision",
        "description": "What is said to a letter; the first decision wins.",
        "oneOf": [{"$ref": ref} for ref in dict.fromkeys(refs.values())],
        "discriminator": {"propertyName": "verb", "mapping": refs},
    }
    schemas["Bulk"]["properties"]["decision"] = {"$ref": "#/components/schemas/Decision"}


def wanted(
    kind: LetterKind | None,
    reason: str | None,
    agent: str | None,
    tenant: str | None,
    older_s: int | None,
) -> Wanted:
    """Return a filter as the store knows it."""
    age = None if older_s is None else older_s * 1000
    return Wanted(kind, reason, agent, tenant, age)
