"""What `buckstop up` waits for before it says ready: that what is sent now will be done.

Ready is more than started. An orchestrator serves once it has looked for work; a worker consumes
once it has loaded its modules and told everybody which agents it runs. Before that a newcomer's
first task would lie there, and a module that cannot be imported would be told after "ready".
"""

import socket
from collections.abc import Iterable, Iterator
from typing import Final

from redis import Redis
from redis.exceptions import RedisError

from envelopes.keys import Keys
from orchestrator.child import Child
from orchestrator.store import Store

LOOK_EVERY_S: Final = 0.1
"""How often it is looked again, until all is there."""
TELL_EVERY_S: Final = 5.0
"""How often it is said whom all wait for: a module with a model in it takes its time to load."""


class Readiness:
    """Who of those that are started is at work already."""

    def __init__(self, client: Redis, keys: Keys, *, ours: bool) -> None:
        """Note what an earlier start has left; `ours` is a server that nobody else serves."""
        self._client = client
        self._store = Store(client, keys)
        if ours:
            client.delete(keys.serving)
        self._left = set(self._consuming())
        self._seen: set[int] = set()
        """Processes that have said once that they consume: a pool's children say less."""

    def missing(self, children: Iterable[Child]) -> list[Child]:
        """Return who is not at work yet; of a server that is away nobody knows."""
        asked = [child for child in children if child.name.startswith(("orchestrator", "worker"))]
        try:
            serving = self._store.serving()
            self._seen.update(pid for pid, _ in {*self._consuming()} - self._left)
        except RedisError:
            return asked
        return [child for child in asked if not self._is_at_work(child, serving=serving)]

    def close(self) -> None:
        """Ask no more."""
        self._client.close()

    def _is_at_work(self, child: Child, *, serving: bool) -> bool:
        if child.name.startswith("orchestrator"):
            return serving and child.pid is not None
        return child.pid in self._seen

    def _consuming(self) -> Iterator[tuple[int, int]]:
        """Yield workers on this machine that consume: their process, and when they said so."""
        here = socket.gethostname()
        for one in self._store.workers():
            if one.get("registered") and one.get("host") == here:
                yield one["pid"], one["at_ms"]
