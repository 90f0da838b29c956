"""What a doctor's checks look at."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from redis import Redis

from envelopes.address import Sentinels
from envelopes.keys import Keys
from envelopes.seal import key_id
from orchestrator import keyfile
from orchestrator.checks import Finding
from orchestrator.clock import server_ms
from orchestrator.store import Store


@dataclass(frozen=True)
class Deployment:
    """A server, and what belongs to it under one prefix, while others use it."""

    client: Any
    keys: Keys
    store: Store
    role: str = "front"
    """What the present user is there for; see rights.py."""
    signer: str | None = None
    """The id of the key that orchestrators sign with, where it is known here."""
    kept: Sentinels | None = None
    """Who keeps the server, where somebody does."""

    @classmethod
    def of(
        cls,
        client: Redis,
        keys: Keys,
        role: str = "front",
        signing_key: bytes | None = None,
        kept: Sentinels | None = None,
    ) -> Self:
        """Look through this client, in this role."""
        signer = None if signing_key is None else key_id(keyfile.public_of(signing_key))
        return cls(client, keys, Store(client, keys), role, signer, kept)

    @cached_property
    def now_ms(self) -> int:
        """Return the server's time, as of the first question."""
        return server_ms(self.client)

    @cached_property
    def workers(self) -> Mapping[str, Mapping[str, Any]]:
        """Return what each worker that lives says of itself, by its name."""
        names = [name.decode() for name in self.client.zrange(self.keys.workers, 0, -1)]
        if not names:
            return {}
        said = self.client.mget([self.keys.worker(name) for name in names])
        return {name: json.loads(raw) for name, raw in zip(names, said, strict=True) if raw}

    @cached_property
    def served(self) -> frozenset[str]:
        """Return the agents that some living worker runs."""
        return frozenset(name for one in self.workers.values() for name in one.get("agents", ()))


Check = Callable[[Deployment], Iterator[Finding]]
"""Looks at one thing, and reports."""


def some(count: int, what: str) -> str:
    """Say how many there are of a thing, as people do."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"
