"""The finish line: when a task is done.

Required at submit, composable with `&` and `|`, and plain JSON on the wire. It is evaluated by the
core on recorded facts (orchestrator/core/finish.py), never by an agent's feeling. Hop cap, budget
and deadline always apply on top.

    PlanDone()                           every step of the plan has its result
    Confidence(0.85)                     ... the composed result is at least this confident
    Spent(0.5)                           half of the ceiling is spent, in some dimension
    Elapsed(60)                          a minute has passed since submit
    PlanDone() & Confidence(0.9) | Elapsed(60)
"""

from typing import Annotated, Literal, Union

from pydantic import Field

from envelopes import limits
from envelopes.strict import Frozen


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

    def __init__(self, at_least: float | None = None, **data: object) -> None:
        super().__init__(**(data if at_least is None else {"at_least": at_least, **data}))


class Spent(Condition):
    """This share of the ceiling is spent in some dimension."""

    kind: Literal["spent"] = "spent"
    share: float = Field(gt=0, le=1)

    def __init__(self, share: float | None = None, **data: object) -> None:
        super().__init__(**(data if share is None else {"share": share, **data}))


class Elapsed(Condition):
    """This many seconds have passed since the task was accepted."""

    kind: Literal["elapsed"] = "elapsed"
    seconds: float = Field(ge=limits.TIMEOUT_FLOOR_S, le=limits.TIMEOUT_CEILING_S)

    def __init__(self, seconds: float | None = None, **data: object) -> None:
        super().__init__(**(data if seconds is None else {"seconds": seconds, **data}))


class All(Condition):
    """All of these."""

    kind: Literal["all"] = "all"
    of: tuple["FinishLine", ...] = Field(min_length=1, max_length=limits.CONDITIONS_MAX)


class Any(Condition):
    """One of these."""

    kind: Literal["any"] = "any"
    of: tuple["FinishLine", ...] = Field(min_length=1, max_length=limits.CONDITIONS_MAX)


FinishLine = Annotated[
    Union[PlanDone, Confidence, Spent, Elapsed, All, Any], Field(discriminator="kind")  # noqa: UP007
]
All.model_rebuild()
Any.model_rebuild()
