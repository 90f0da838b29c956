"""What a worker hands back: a typed status, never free text.

    success   the result is the agent's final word on its subtask
    partial   there is something, but not all: a reason says what is missing, or an ask says what
              the agent wants from the owner
    failed    there is nothing to use: a reason says why, and no result is carried

Whatever else an agent returns, raises or does becomes a `failed` envelope with a `fault`, made by
the runtime that ran it (workers/runtime.py) or by the owner that missed it.
"""

from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import Field, JsonValue, model_validator

from envelopes import limits
from envelopes.request import Name, Plan
from envelopes.strict import Frozen, Refused


class Status(StrEnum):
    """The three things a worker can say."""

    SUCCESS = "success"
    PARTIAL = "partial"
    FAILED = "failed"


class Fault(StrEnum):
    """Why an envelope was made for an agent instead of by it."""

    RAISED = "raised"
    CONTRACT = "contract"
    """It returned something that is no envelope, or one that breaks the rules."""
    BUDGET = "budget"
    """Its next call could have overrun its allowance, so the call was not made."""
    PRICE = "price"
    """There is a usd ceiling and nobody knows what its model costs."""
    TIMEOUT = "timeout"
    LOST = "lost"
    """Its worker fell silent."""
    STOPPED = "stopped"
    """Its worker was told to stop before it was done."""


class Usage(Frozen):
    """What the agent says it used. For the record: only the meter's figures are booked."""

    tokens: int = Field(default=0, ge=0, le=limits.AMOUNT_CEILING)
    usd_micros: int = Field(default=0, ge=0, le=limits.AMOUNT_CEILING)
    calls: int = Field(default=0, ge=0, le=limits.AMOUNT_CEILING)


class Handoff(Frozen):
    """Ask the owner to give this step to another agent."""

    kind: Literal["handoff"] = "handoff"
    to: Name
    """Whom; only those that the agent has declared."""
    goal: str | None = Field(default=None, min_length=1, max_length=limits.GOAL_CHARS_MAX)
    """What it is about from now on."""
    input: JsonValue = None
    """Any JSON besides."""


class Delegate(Frozen):
    """Ask the owner to have these steps done; a manager's word."""

    kind: Literal["delegate"] = "delegate"
    steps: Plan


class Replan(Frozen):
    """Ask the owner to give up what is not done yet and to do this; a manager's word."""

    kind: Literal["replan"] = "replan"
    steps: Plan


class Question(Frozen):
    """Ask a person; the step goes on with the answer."""

    kind: Literal["question"] = "question"
    text: str = Field(min_length=1, max_length=limits.REASON_CHARS_MAX)
    """What is asked."""
    choices: tuple[Annotated[str, Field(min_length=1, max_length=limits.LABEL_CHARS_MAX)], ...] = (
        Field(default=(), max_length=limits.CHOICES_MAX)
    )
    """What can be answered; any text where there are none."""


Ask = Annotated[Handoff | Delegate | Replan | Question, Field(discriminator="kind")]
"""What an agent can want of its owner."""


class Envelope(Frozen):
    """The answer to one subtask."""

    status: Status
    """How it ended."""
    result: JsonValue = None
    """What was produced; any JSON."""
    confidence: float | None = Field(default=None, ge=0, le=1)
    """How sure the agent is of it, from 0 to 1."""
    reason: str | None = Field(default=None, min_length=1, max_length=limits.REASON_CHARS_MAX)
    """Why it is partial or failed, in words."""
    usage: Usage | None = None
    """What the agent says it used."""
    progress: bool | None = None
    """Whether this brought the task further; three answers more without than with are a stall."""
    ask: Ask | None = None
    """What the agent wants of the owner."""
    fault: Fault | None = None
    """Why this was made for the agent and not by it."""

    @model_validator(mode="after")
    def _the_status_means_what_it_says(self) -> Self:
        match self.status:
            case Status.SUCCESS:
                self._is_a_final_word()
            case Status.PARTIAL:
                self._gives_a_reason()
                if self.result is not None and self.confidence is None:
                    raise Refused("confidence", "a partial result says how sure it is, from 0 to 1")
            case Status.FAILED:
                self._gives_a_reason()
                self._has_nothing_to_use()
        return self

    def _is_a_final_word(self) -> None:
        if self.confidence is None:
            raise Refused("confidence", "a success says how sure it is, from 0 to 1")
        if self.ask is not None:
            raise Refused("ask", "a success is a final word and asks for nothing; say partial")
        if self.fault is not None:
            raise Refused("fault", "a success has none")

    def _gives_a_reason(self) -> None:
        if self.reason is None:
            raise Refused("reason", f"{self.status} needs one")

    def _has_nothing_to_use(self) -> None:
        if self.result is not None:
            raise Refused("result", "a failed envelope carries none; say partial to keep something")
        if self.ask is not None:
            raise Refused("ask", "a failed envelope asks for nothing; say partial")

    @classmethod
    def success(cls, result: Any, confidence: float, **more: Any) -> Self:
        """Say that this is the final word."""
        return cls(status=Status.SUCCESS, result=result, confidence=confidence, **more)

    @classmethod
    def partial(cls, result: Any, confidence: float, reason: str, **more: Any) -> Self:
        """Say that there is something, and what is missing."""
        return cls(
            status=Status.PARTIAL,
            result=result,
            confidence=confidence,
            reason=reason,
            **more,
        )

    @classmethod
    def failed(cls, reason: str, fault: Fault | None = None) -> Self:
        """Say that there is nothing to use, and why."""
        return cls(status=Status.FAILED, reason=reason[: limits.REASON_CHARS_MAX], fault=fault)
