"""Let two versions work side by side: what is written is what everybody who lives can read.

    SCHEMA_VERSION     the newest form that this code can read, and can write
    OLDEST_VERSION     the oldest: one before it, for an upgrade goes step by step
    SINCE              which field of which record came with which version

Every process says which version it speaks, with its sign of life: a key of that number, which
expires. An orchestrator writes in the oldest version that anybody speaks (`spoken`, in CLAIM), so
the first new process changes nothing, and the new form is used once the last old one is gone. A
worker answers in the version in which it was asked.

To change a record: raise SCHEMA_VERSION and OLDEST_VERSION by one, give the new field a default,
name it in SINCE. The default must mean what its absence meant. A field never changes its meaning
and never goes while somebody may read it; whoever wants that adds another one.

What is too new is left alone: a worker files the message as a letter, an orchestrator leaves the
task to its alarm, so that one that can read it finds it.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from functools import cache
from typing import Any, Final

from pydantic import BaseModel

SCHEMA_VERSION: Final = 1
OLDEST_VERSION: Final = 1
SINCE: Final[Mapping[str, Mapping[str, int]]] = {
    "headers": {},
    "envelope": {},
    "request": {},
    "decision": {},
    "head": {},
    "step": {},
}
"""By record and field; what is not named has been there from the beginning."""


class Newer(Exception):
    """Something was written by a newer version; whoever can read it will find it."""


@cache
def too_new(record: str, version: int) -> AbstractSet[str]:
    """Return the fields of a record that whoever speaks this version does not know."""
    return frozenset(name for name, since in SINCE[record].items() if since > version)


def kept(record: str, fields: Mapping[str, Any], version: int) -> Mapping[str, Any]:
    """Return what is written of a record in this version."""
    unknown = too_new(record, version)
    if not unknown:
        return fields
    return {name: value for name, value in fields.items() if name not in unknown}


def written(record: str, model: BaseModel, version: int) -> str:
    """Return a record as JSON in this version."""
    return model.model_dump_json(exclude=set(too_new(record, version)))


def written_for_anybody(record: str, model: BaseModel) -> str:
    """Return as JSON what a caller says, who does not know which versions are spoken.

    What it leaves at its default is left out where somebody may not know it; what it asks for is
    there, and found by who can do it.
    """
    fields = type(model).model_fields
    unknown = too_new(record, OLDEST_VERSION)
    unsaid = {name for name in unknown if getattr(model, name) == fields[name].default}
    return model.model_dump_json(exclude=unsaid)
