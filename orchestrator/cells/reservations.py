"""What an idempotency key stands for in one cell, and in which cell that task is put.

Submitting does this by itself where a key can have gone to one cell only. Where the list of cells
has changed since, the key is reserved first (lua/reserve.lua), and the task is then submitted under
the reserved id to the reserved cell: whoever comes at the same time, with an older list or a newer
one, gets the same two, and the same submission twice is one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from redis import Redis

from envelopes.keys import Keys
from envelopes.limits import PURGE_MAX
from envelopes.scripts import Scripts
from orchestrator.lua import LUA


@dataclass(frozen=True, slots=True)
class Reserved:
    """Which task a key stands for, and where that is put."""

    task_id: str
    cell: str


class Reservations:
    """The idempotency keys of one cell. Safe to share between threads."""

    def __init__(self, client: Redis, keys: Keys) -> None:
        self._client: Any = client  # its types leave open whether replies are decoded; ours are not
        self._keys = keys
        self._scripts = Scripts(client, LUA, keys)

    def find(self, tenant: str, key: str, here: str) -> Reserved | None:
        """Return what a key stands for in this cell, which is called `here`."""
        keys = self._keys.idempotency(tenant, key), self._keys.idempotency_cell(tenant, key)
        task_id, cell = self._client.mget(keys)
        return (
            None
            if task_id is None
            else Reserved(task_id.decode(), (cell or here.encode()).decode())
        )

    def make(self, tenant: str, key: str, wish: Reserved, kept_ms: int, here: str) -> Reserved:
        """Let a key stand for this, and return it; or what it stands for already."""
        keys = [self._keys.idempotency(tenant, key), self._keys.idempotency_cell(tenant, key)]
        task_id, cell = self._scripts.run("reserve", keys, [wish.task_id, wish.cell, kept_ms])
        return Reserved(task_id.decode(), (cell or here.encode()).decode())

    def forget(self, standing: Mapping[str, str]) -> None:
        """Forget what records of keys are reserved for here, where it is still these tasks."""
        left = list(standing.items())
        for at in range(0, len(left), PURGE_MAX):
            some = [part for each in left[at : at + PURGE_MAX] for part in each]
            self._scripts.run("unreserve", [], some)
