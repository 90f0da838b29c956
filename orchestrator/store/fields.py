"""Which fields of a task's hash are the store's own, and which the core's."""

from collections.abc import Mapping
from typing import Final

from envelopes.scripts import Arg

OWN_FIELDS: Final = frozenset(
    (
        *("version", "op", "held_until", "posted", "outcome"),
        *("recall", "place", "rooms", "called", "noted", "failed", "rested"),
        *("request", "tenant", "accepted_ms", "retention_ms", "idem"),
    )
)


def of_the_core(record: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return what the core has written of a task."""
    return {name: value for name, value in record.items() if name not in OWN_FIELDS}


def only_the_cores(fields: Mapping[str, bytes]) -> None:
    """Check what the core wants to write: a field of the store among it is our bug."""
    if not OWN_FIELDS.isdisjoint(fields):
        raise AssertionError(f"the store's own: {sorted(OWN_FIELDS & fields.keys())}")


def pairs(fields: Mapping[str, bytes]) -> list[Arg]:
    """Lay out what the core wants to write, as scripts take it: name, value, and so on."""
    only_the_cores(fields)
    return [part for pair in fields.items() for part in pair]
