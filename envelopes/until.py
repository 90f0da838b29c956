"""The finish line: when a task is done.

Required at submit, composable with `&` and `|`, and plain JSON on the wire. It is evaluated by the
core on recorded facts (orchestrator/core/finish.py), never by an agent's feeling. Hop cap, budget
and deadline always apply on top.

    PlanDone()                           every step of the plan has its result
    Confidence(0.85)                     ... the composed result is at least this confident
    Spent(0.5)                           half of the ceiling is spent, in some dimension
    Elapsed(60)                          a minute has passed since submit
    Rounds(6)                            the manager was asked six times
    Stalled(3)                           three answers more were no progress than were
    ResultMatches({"required": ["url"]}) what has been produced fits this JSON Schema
    Custom("referee")                    this agent says of what has been produced that it is enough
    PlanDone() & Confidence(0.9) | Elapsed(60)
"""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, FailFast, Field, JsonValue

from envelopes import limits
from envelopes.strict import NAME_PATTERN, Frozen


class Condition(Frozen):
    """What `&` and `|` join."""

    def __and__(self, other: "FinishLine") -> "All":
        return All(of=(self, other))  # type: ignore[arg-type]

    def __or__(self, other: "FinishLine") -> "Any":
        return Any(of=(self, other))  # type: ignore[arg-type]


class PlanDone(Condition):
    """Every step of the plan has its result, or was optional and is dropped."""

    kind: Literal["plan_done"] = "plan_done"


class Confidence(Condition):
    """What has been produced so far is at least this confident, composed by the weakest link."""

    kind: Literal["confidence"] = "confidence"
    at_least: float = Field(ge=0, le=1)
    """From 0 to 1."""

    def __init__(self, at_least: float | None = None, **data: object) -> None:
        super().__init__(**(data if at_least is None else {"at_least": at_least, **data}))


class Spent(Condition):
    """This share of the ceiling is spent in some dimension."""

    kind: Literal["spent"] = "spent"
    share: float = Field(gt=0, le=1)
    """From 0 to 1."""

    def __init__(self, share: float | None = None, **data: object) -> None:
        super().__init__(**(data if share is None else {"share": share, **data}))


class Elapsed(Condition):
    """This many seconds have passed since the task was accepted."""

    kind: Literal["elapsed"] = "elapsed"
    seconds: float = Field(ge=limits.TIMEOUT_FLOOR_S, le=limits.TIMEOUT_CEILING_S)

    def __init__(self, seconds: float | None = None, **data: object) -> None:
        super().__init__(**(data if seconds is None else {"seconds": seconds, **data}))


class Rounds(Condition):
    """The manager has been asked this often."""

    kind: Literal["rounds"] = "rounds"
    at_least: int = Field(ge=1, le=limits.HOPS_EVER_MAX)

    def __init__(self, at_least: int | None = None, **data: object) -> None:
        super().__init__(**(data if at_least is None else {"at_least": at_least, **data}))


class Stalled(Condition):
    """So many answers more brought no progress than brought some."""

    kind: Literal["stalled"] = "stalled"
    at_least: int = Field(ge=1, le=limits.HOPS_CEILING)

    def __init__(self, at_least: int | None = None, **data: object) -> None:
        super().__init__(**(data if at_least is None else {"at_least": at_least, **data}))


class ResultMatches(Condition):
    """What has been produced so far fits this JSON Schema."""

    kind: Literal["result_matches"] = "result_matches"
    json_schema: dict[str, JsonValue]

    def __init__(self, json_schema: dict[str, object] | None = None, **data: object) -> None:
        super().__init__(**(data if json_schema is None else {"json_schema": json_schema, **data}))


class Custom(Condition):
    """This agent, shown what has been produced so far, says that it is enough."""

    kind: Literal["custom"] = "custom"
    agent: str = Field(pattern=NAME_PATTERN, max_length=limits.NAME_CHARS_MAX)
    """Who is asked."""

    def __init__(self, agent: str | None = None, **data: object) -> None:
        super().__init__(**(data if agent is None else {"agent": agent, **data}))


def _one_at_least(joined: tuple[object, ...]) -> tuple[object, ...]:
    """Refuse nothing at all; asked only of what is right, of which there is none after a fault."""
    if not joined:
        raise ValueError("at least one condition is joined")
    return joined


_Joined = Annotated[
    tuple["FinishLine", ...],
    Field(max_length=limits.CONDITIONS_MAX, json_schema_extra={"minItems": 1}),
    # The first that is wrong is told. Tens of thousands can stand in one request, at one level or
    # in a tree of them, and to look for what is wrong with each takes seconds.
    FailFast(),
    AfterValidator(_one_at_least),
]


class All(Condition):
    """All of these."""

    kind: Literal["all"] = "all"
    of: _Joined


class Any(Condition):
    """One of these."""

    kind: Literal["any"] = "any"
    of: _Joined


FinishLine = Annotated[
    PlanDone | Confidence | Spent | Elapsed | Rounds | Stalled | ResultMatches | Custom | All | Any,
    Field(discriminator="kind"),
]
All.model_rebuild()
Any.model_rebuild()


def parts(line: FinishLine) -> Iterator[FinishLine]:
    """Walk over a finish line and everything it is joined from."""
    yield line
    if isinstance(line, All | Any):
        for each in line.of:
            yield from parts(each)
