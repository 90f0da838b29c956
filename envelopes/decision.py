"""What a person says to a dead letter. A decision is mail to the task; the first one wins."""

from enum import StrEnum
from typing import Self

from pydantic import Field, JsonValue, model_validator

from envelopes import limits
from envelopes.request import Amount, Seconds
from envelopes.strict import Frozen, Refused


class Verb(StrEnum):
    """What can be decided of an escalated task."""

    APPROVE = "approve"
    """Deliver what is kept, though it is below the bar."""
    AMEND = "amend"
    """Deliver this instead."""
    ANSWER = "answer"
    """Tell the agent that asked what it wanted to know."""
    RETRY = "retry"
    """Go on, with more of what ran out."""
    ABORT = "abort"


class Decision(Frozen):
    """One person's decision on one letter."""

    letter: str = Field(min_length=1, max_length=limits.KEY_CHARS_MAX)
    verb: Verb
    by: str = Field(min_length=1, max_length=limits.NAME_CHARS_MAX)
    why: str = Field(default="", max_length=limits.REASON_CHARS_MAX)
    result: JsonValue = None
    answer: str | None = Field(default=None, min_length=1, max_length=limits.REASON_CHARS_MAX)
    budget: Amount | None = None
    hops: int = Field(default=0, ge=0, le=limits.HOPS_CEILING)
    time: Seconds | None = None

    @model_validator(mode="after")
    def _the_verb_has_what_it_needs(self) -> Self:
        if self.verb is Verb.AMEND and self.result is None:
            raise Refused("result", "amend needs the result to deliver")
        if self.verb is not Verb.AMEND and self.result is not None:
            raise Refused("result", f"{self.verb} carries none; say amend")
        if (self.verb is Verb.ANSWER) != (self.answer is not None):
            raise Refused("answer", "answer needs the text of it, and nothing else takes one")
        more = next((name for name in ("budget", "hops", "time") if getattr(self, name)), None)
        if more is not None and self.verb is not Verb.RETRY:
            raise Refused(more, f"only retry takes more, not {self.verb}")
        return self


class Cancellation(Frozen):
    """A caller's wish to stop."""

    by: str = Field(min_length=1, max_length=limits.NAME_CHARS_MAX)
    why: str = Field(default="", max_length=limits.REASON_CHARS_MAX)
