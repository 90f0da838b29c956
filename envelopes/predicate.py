"""What a result must be like, said as data: one place in it, and what must hold there.

    {"at": "/sources", "must": "have_at_least", "value": 2}
    {"at": "/draft", "must": "not_contain", "value": "TODO"}

A JSON Schema says what shape a result has; a predicate says the few things about its content that
can be said without a judge. It is checked by the gate (orchestrator/core/gate.py).
"""

from enum import StrEnum
from typing import Self

from pydantic import Field, JsonValue, model_validator

from envelopes import limits
from envelopes.strict import Frozen, Refused


class Must(StrEnum):
    """What can be asked of one place in a result."""

    EXIST = "exist"
    EQUAL = "equal"
    DIFFER = "differ"
    BE_ONE_OF = "be_one_of"
    BE_AT_LEAST = "be_at_least"
    BE_AT_MOST = "be_at_most"
    HAVE_AT_LEAST = "have_at_least"
    """Characters, items or fields."""
    HAVE_AT_MOST = "have_at_most"
    CONTAIN = "contain"
    """A text in a text, whatever its case; an item in a list; a field in an object."""
    NOT_CONTAIN = "not_contain"


_NUMBERS = {Must.BE_AT_LEAST, Must.BE_AT_MOST, Must.HAVE_AT_LEAST, Must.HAVE_AT_MOST}


class Predicate(Frozen):
    """One thing that must hold at one place of the result."""

    at: str = Field(default="", pattern=r"^(/([^~/]|~[01])*)*$", max_length=limits.KEY_CHARS_MAX)
    """A JSON Pointer; empty for the whole result."""
    must: Must
    """What must hold there."""
    value: JsonValue = None
    """What it is compared with."""

    @model_validator(mode="after")
    def _the_value_fits(self) -> Self:
        number = isinstance(self.value, int | float) and not isinstance(self.value, bool)
        if self.must in _NUMBERS and not number:
            raise Refused("value", f"{self.must} needs a number")
        if self.must is Must.BE_ONE_OF and not isinstance(self.value, list):
            raise Refused("value", f"{self.must} needs a list")
        return self
