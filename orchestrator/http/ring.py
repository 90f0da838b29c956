"""What was heard lately, laid out once for everybody who listens.

    place = ring.end                      where whoever comes now begins
    coming = ring.told.next               take this first, then look, then wait: nothing is missed
    items = ring.after(place, 500)        or None: it is gone, for whoever is too far behind
    await coming.wait()

A listener is a number, its place in the ring; what is told is held once, however many listen. So
one that does not keep up costs nothing and is never waited for: the ring goes on, and its place is
gone.

Not here: where the items come from (hub.py), how they are written to a client (stream.py).
"""

import asyncio
import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from envelopes import limits

EVERYBODY: Final = "*"
"""Stands for a tenant's name where all are told; no tenant is called so."""

ONE: Final = ""
"""Stands for a cell's name where there is one server."""


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to tell: to whom, and as it goes over the line."""

    event: str
    tenant: str
    """Whose it is: empty for what nobody owns, or EVERYBODY."""
    id: str | None
    """Its place in the news; what is no news has none."""
    frame: bytes
    cell: str = ONE
    """In whose news it was."""

    def concerns(self, tenant: str | None) -> bool:
        """Say whether somebody who is bound to this tenant, or to none, may be told."""
        return tenant is None or self.tenant in {tenant, EVERYBODY}


class Signal:
    """Wakes everybody who waits, any number of times."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    @property
    def next(self) -> asyncio.Event:
        """Return what the next call will set; take it before looking, and no call is missed."""
        return self._event

    def call(self) -> None:
        """Wake everybody."""
        event, self._event = self._event, asyncio.Event()
        event.set()


class Ring:
    """The last items told, by place; places are counted up and never used again."""

    def __init__(self, kept: int) -> None:
        self.told = Signal()
        self.end = 0
        """The place that the next item will have."""
        self._items: deque[Item] = deque(maxlen=kept)
        self._resting = False
        self._called_for = 0

    def add(self, item: Item) -> None:
        """Tell one more; where the ring is full, the oldest goes.

        Listeners are called at once, and then not again for a moment: what comes in a burst is
        written to each of a thousand clients once, not once for each item.
        """
        self._items.append(item)
        self.end += 1
        if not self._resting:
            self._call()

    def _call(self) -> None:
        self._resting, self._called_for = True, self.end
        asyncio.get_running_loop().call_later(limits.LIVE_GATHER_S, self._rested)
        self.told.call()

    def _rested(self) -> None:
        self._resting = False
        if self._called_for != self.end:
            self._call()

    def after(self, place: int, count: int) -> list[Item] | None:
        """Return up to `count` items from this place on; None where some of them are gone."""
        behind = self.end - place
        if behind > len(self._items):
            return None
        newest_first = list(islice(reversed(self._items), behind))
        return newest_first[::-1][:count]


def frame(event: str, about: Mapping[str, Any], place: object = None) -> bytes:
    """Write one server-sent event; JSON escapes line breaks, so it is always one line of data."""
    lines = [] if place is None else [f"id: {place}"]
    text = json.dumps(about, ensure_ascii=False, separators=(",", ":"))
    return "\n".join([*lines, f"event: {event}", f"data: {text}", "\n"]).encode()
