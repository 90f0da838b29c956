"""What a person says to a dead letter; the first one wins.

A decision on a task is mail to the task, and its owner acts on it. A message that was set aside has
no owner that waits: what is said of it is done at once.
"""

import json
from enum import StrEnum
from hashlib import sha256
from typing import Final, Self

from pydantic import Field, JsonValue, model_validator

from envelopes import limits
from envelopes.request import Amount, Name, Seconds
from envelopes.strict import Frozen, Refused

_FINGERPRINT_CHARS: Final = 32
"""128 bits: nobody makes two decisions that share one."""
_SAID_BESIDE: Final = frozenset({"letter", "by", "why"})
"""Recorded with the letter word for word."""


class Verb(StrEnum):
    """What can be decided: of an escalated task, or (the last two) of a message set aside."""

    APPROVE = "approve"
    """Deliver what is kept, though it is below the bar."""
    AMEND = "amend"
    """Deliver this instead."""
    ANSWER = "answer"
    """Tell the agent that asked what it wanted to know."""
    RETRY = "retry"
    """Go on, with more of what ran out; with another agent, if one is named."""
    REASSIGN = "reassign"
    """Let this agent do what would be done again; a question's step too."""
    ABORT = "abort"
    REPLAY = "replay"
    """Put the message back on its queue, byte for byte."""
    DISCARD = "discard"
    """Let the message go; the letter stays as its record."""

    @property
    def of_a_message(self) -> bool:
        """Say whether it is said of a message, and of no task."""
        return self in {Verb.REPLAY, Verb.DISCARD}


class Decision(Frozen):
    """One person's decision on one letter."""

    letter: str = Field(min_length=1, max_length=limits.KEY_CHARS_MAX)
    """Which letter is decided."""
    verb: Verb
    """What is said."""
    by: str = Field(min_length=1, max_length=limits.NAME_CHARS_MAX)
    """By whom, for the record."""
    why: str = Field(default="", max_length=limits.REASON_CHARS_MAX)
    """Why, for the record."""
    result: JsonValue = None
    """What is delivered instead; with amend."""
    answer: str | None = Field(default=None, min_length=1, max_length=limits.REASON_CHARS_MAX)
    """The answer to the question; with answer."""
    budget: Amount | None = None
    """More to spend; with retry."""
    hops: int = Field(default=0, ge=0, le=limits.HOPS_CEILING)
    """More transfers of control; with retry."""
    time: Seconds | None = None
    """More time; with retry."""
    agent: Name | None = None
    """Who goes on; with reassign or retry."""

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
        if self.verb is Verb.REASSIGN and self.agent is None:
            raise Refused("agent", "reassign needs the agent that is to go on")
        if self.agent is not None and self.verb not in {Verb.RETRY, Verb.REASSIGN}:
            raise Refused("agent", f"only retry and reassign name one, not {self.verb}")
        return self

    def fingerprint(self) -> str:
        """Name what is decided, in full: equal for the same decision sent again, and for no other.

        Two answers by one person without a reason have all else in common.
        """
        said = self.model_dump(mode="json", exclude=set(_SAID_BESIDE))
        return sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:_FINGERPRINT_CHARS]


class Cancellation(Frozen):
    """A caller's wish to stop."""

    by: str = Field(min_length=1, max_length=limits.NAME_CHARS_MAX)
    """By whom, for the record."""
    why: str = Field(default="", max_length=limits.REASON_CHARS_MAX)
    """Why, for the record."""
