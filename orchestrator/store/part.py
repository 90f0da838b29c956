"""What every part of the store has: the server, the names of its keys, and the scripts."""

from typing import Any

from redis import Redis

from envelopes.keys import Keys
from envelopes.scripts import Scripts
from orchestrator.lua import LUA


class Part:
    """One part; a Store is all of them."""

    def __init__(self, client: Redis, keys: Keys) -> None:
        self._client: Any = client  # its types leave open whether replies are decoded; ours are not
        self._keys = keys
        self._scripts = Scripts(client, LUA, keys)

    def _hash(self, key: str) -> dict[str, bytes] | None:
        found = self._client.hgetall(key)
        return {name.decode(): value for name, value in found.items()} or None


def or_empty(figure: int | None) -> str:
    """Spell a figure as scripts take it; none is empty."""
    return "" if figure is None else str(figure)
