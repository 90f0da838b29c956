"""The news of all cells, as one stream.

Each line has a place in the stream of its cell; a place in all is one for each (places.py). Between
cells there is no order, as there is none between tasks: what is told first is what was heard first.
Nothing is lost while a cell is away: it is told when it is back, from where it was.
"""

import time
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Final

from envelopes import limits
from orchestrator.cells import places
from orchestrator.cells.cell import ask_each
from orchestrator.cells.opened import Opened
from orchestrator.cells.where import CELL, Where
from orchestrator.news import GAP, News

_PAUSE_S: Final = 0.05
Heard = tuple[str, list[News]]
"""Where a cell's news go on, and what was told."""


class CellNews(Where):
    """The part of CellRecords that tells what happens."""

    def last_news(self) -> str:
        """Return the place behind which comes what is still to happen."""
        said = self.everywhere(lambda store: store.last_news()).said
        return places.written({name: said.get(name, places.UNKNOWN) for name in self.cells})

    def news_gap(self, after: str) -> bool:
        """Say whether lines behind this place may be gone, in a cell that answers."""
        at = places.read(after, self.cells)
        known = {name: line for name, line in at.items() if line != places.UNKNOWN}
        asked = ((self.cells[name], partial(_has_gap, line)) for name, line in known.items())
        return any(ask_each(asked).said.values())

    def news(self, after: str, count: int, block_ms: int = 0) -> list[News]:
        """Return up to `count` lines behind this place, of each cell in turn."""
        return list(islice(self._told(places.read(after, self.cells), count, block_ms), count))

    def follow_news(self, after: str) -> Iterator[News]:
        """Yield news behind this place, for ever; GAP first, where lines of it are gone."""
        at = places.read(after, self.cells)
        if self.news_gap(after):
            yield News(after, GAP, {})
        while True:
            heard = time.monotonic()
            yield from self._told(at, limits.LIVE_PAGE, limits.CELL_NEWS_MS)
            if time.monotonic() - heard < _PAUSE_S:  # all are away, and nobody has waited
                time.sleep(_PAUSE_S)

    def _told(self, at: dict[str, str], count: int, block_ms: int) -> Iterator[News]:
        """Listen to each cell once; `at` goes on with what is told."""
        listening = (
            (self.cells[n], partial(_hear, line, count, block_ms)) for n, line in at.items()
        )
        for name, (goes_on, lines) in ask_each(listening).said.items():
            at[name] = goes_on
            for line in lines:
                yield placed(at, name, line)


def placed(at: dict[str, str], name: str, line: News) -> News:
    """Tell a line of a cell's news as one of all, and let `at` go on behind it."""
    at[name] = line.id
    return News(places.written(at), line.event, {**line.fields, CELL: name})


def begun(one: Opened) -> str:
    """Return where a cell's news are told from whose place nobody knew: from their end."""
    return one.store.last_news()


def _has_gap(line: str, one: Opened) -> bool:
    return one.store.news_gap(line)


def _hear(line: str, count: int, block_ms: int, one: Opened) -> Heard:
    """Listen to one cell."""
    if line == places.UNKNOWN:
        return begun(one), []
    return line, one.store.news(line, count, block_ms)
