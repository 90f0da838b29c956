"""A place in the news of all cells: one in each. Pure.

    east=1795242195089-0,west=1795242195012-3

A cell that is not named came later: its news are told from their beginning. One whose place is `?`
was away when the place was taken: it is told from when it is back.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from envelopes.strict import Refused
from orchestrator.news import START, after_of, place

UNKNOWN: Final = "?"
_FORM: Final = re.compile(r"[a-z0-9-]+=[0-9?-]+(,[a-z0-9-]+=[0-9?-]+)*", re.ASCII)
Places = Mapping[str, str]
"""By cell, the id of the last line of its news that was told; or UNKNOWN."""


def read(text: str, cells: Iterable[str]) -> dict[str, str]:
    """Read a place, for the cells there are; or raise Refused."""
    if text == START:
        return dict.fromkeys(cells, START)
    if not _FORM.fullmatch(text):
        raise Refused("after", f"a place in the news is like east=1-0,west=2-0, not {text[:40]!r}")
    said = dict(part.split("=") for part in text.split(","))
    return {cell: _checked(said.get(cell, START)) for cell in cells}


def written(places: Places) -> str:
    """Write a place."""
    return ",".join(f"{cell}={line}" for cell, line in sorted(places.items()))


def is_behind(places: Places, cell: str, line: str) -> bool:
    """Say whether a line of a cell's news comes behind these places."""
    at = places.get(cell, START)
    return at == UNKNOWN or place(line) > place(at)


def _checked(line: str) -> str:
    return line if line == UNKNOWN else after_of(line)
