"""To which cell a task goes: rendezvous hashing. Pure.

Each key has a score with each cell, and goes to the highest. So nobody keeps a table, all who read
the same file choose alike, and a cell that is added takes only what goes to it: among n cells one
n-th, from all others alike; one that is taken away leaves its share to all others alike.

The key is the tenant, so that its cap and its fair turn hold in one place. A tenant too large for
one cell is spread: the key is then what names the task itself.

An idempotency key must find its task though the list has changed since. Where a task went depends
on the list of that time: on which cells were there (`added`) and which were not draining. `way`
names each cell in which a task with this key may have been put, the oldest list's choice first.
Everybody agrees on that one, whatever later list they have: there a key is reserved.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b

from orchestrator.cells.file import Listed

_SCORE_BYTES = 8


def score(key: str, cell: str) -> int:
    """Return how much a key leans to a cell: the same number for ever, everywhere."""
    text = f"{cell}\0{key}".encode()
    return int.from_bytes(blake2b(text, digest_size=_SCORE_BYTES).digest(), "big")


def highest(key: str, cells: Iterable[str]) -> str:
    """Return the cell among these to which a key goes."""
    return max(cells, key=lambda cell: (score(key, cell), cell))


def target(key: str, cells: Sequence[Listed]) -> str:
    """Return where a task with this key is put now."""
    return highest(key, (one.name for one in cells if not one.draining))


def way(key: str, cells: Sequence[Listed]) -> tuple[str, ...]:
    """Return each cell in which a task with this key may have been put, the oldest choice first."""
    changes = sorted({one.added for one in cells})
    lists = [[c.name for c in cells if c.added <= change] for change in changes]
    return tuple(dict.fromkeys([*(highest(key, each) for each in lists), target(key, cells)]))
