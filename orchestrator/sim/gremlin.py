"""What strikes by the clock: messages doubled, stolen, shuffled and forged, frozen workers, leaps.

Nothing here reaches into a decision that is under way: a list on a server can grow at any moment,
but not change its order under a reader, so mail is only shuffled while nobody reads.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from envelopes import limits
from orchestrator.core.facts import ClaimState

if TYPE_CHECKING:
    from orchestrator.sim.world import World

_MINUTE_MS: Final = 60_000
_NONCE: Final = re.compile(rb':[0-9a-f]{32}"')
_LEAP_MS_MAX: Final = 40_000
_FREEZE_MS_MAX: Final = 30_000


class Gremlin:
    """Everything that goes wrong between calls."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._random = world.random
        self._stash: list[tuple[str, bytes]] = []
        self.injected = 0
        self.stolen = 0
        self.vanished: set[str] = set()

    def strikes(self, fault: str) -> Iterator[int]:
        """Strike with one fault at its rate, as long as there are faults."""
        strike = getattr(self, f"_{fault}")
        while rate := getattr(self._world.faults, fault):
            yield 1 + int(self._random.expovariate(rate / _MINUTE_MS))
            if getattr(self._world.faults, fault):
                strike()

    # --- processes and time ----------------------------------------------------------------------

    def _worker_freezes(self) -> None:
        if self._world.workers:
            worker = self._random.choice(self._world.workers)
            self._world.freeze(worker, self._random.randint(500, _FREEZE_MS_MAX))

    def _worker_told_to_go(self) -> None:
        staying = [worker for worker in self._world.workers if not worker.leaving]
        if staying:
            worker = self._random.choice(staying)
            self._world.begin(worker.goes(), worker)

    def _clock_leaps(self) -> None:
        self._world.now_ms += self._random.randint(500, _LEAP_MS_MAX)

    def _wakes_for_nothing(self) -> None:
        server = self._world.server
        if server.due:
            server.due[self._random.choice(list(server.due))] = self._world.now_ms
            server.ring(server.keys.bell)

    # --- messages --------------------------------------------------------------------------------

    def _messages_doubled(self) -> None:
        if queue := self._some_queue():
            raw = self._random.choice(self._world.server.queues[queue])
            for _ in range(self._random.choice((1, 1, 7))):
                self._inject(queue, raw)

    def _messages_stolen(self) -> None:
        if queue := self._some_queue():
            messages = self._world.server.queues[queue]
            place = self._random.randrange(len(messages))
            self.stolen += len(messages[place])
            del messages[place]

    def _queues_shuffled(self) -> None:
        if queue := self._some_queue():
            self._random.shuffle(self._world.server.queues[queue])

    def _messages_forged(self) -> None:
        """Edit a copy of a message, keeping its nonce or not; or send what is no message at all."""
        queue = self._some_queue()
        if queue is None:
            return
        raw = self._random.choice(self._world.server.queues[queue])
        forged = self._random.choice(
            (
                b"not a message",
                raw.replace(b'hops_max\\":', b'hops_max\\":9'),
                raw.replace(b'"buckstop_claim": "', b'"buckstop_claim": "x'),
                _NONCE.sub(b":" + b"0" * 32 + b'"', raw),
                raw[:-60] + b"}",
                b"x" * (limits.MESSAGE_BYTES_MAX + 1),
            )
        )
        self._inject(queue, forged)

    def _inject(self, queue: str, raw: bytes) -> None:
        self.injected += len(raw)
        server = self._world.server
        server.queues[queue].insert(self._random.randint(0, len(server.queues[queue])), raw)
        server.ring(server.keys.queue_bell(queue))

    def _some_queue(self) -> str | None:
        queues = [name for name, messages in self._world.server.queues.items() if messages]
        return self._random.choice(queues) if queues else None

    # --- mail and claims -------------------------------------------------------------------------

    def _mail_doubled(self) -> None:
        """Deliver a letter once more, now or much later."""
        server = self._world.server
        self._stash += [(i, letters[-1]) for i, letters in server.mail.items() if letters]
        if self._stash:
            task_id, letter = self._stash.pop(self._random.randrange(len(self._stash)))
            if server.is_open(task_id):
                server.mail[task_id].append(letter)
                server.wake(task_id)

    def _mail_shuffled(self) -> None:
        if not self._world.somebody_stands_still:
            for letters in self._world.server.mail.values():
                self._random.shuffle(letters)

    def _claims_destroyed(self) -> None:
        claims = self._world.server.claims
        running = [
            n for n, c in claims.items() if c.state in {ClaimState.ISSUED, ClaimState.CLAIMED}
        ]
        if running:
            subtask = self._random.choice(running)
            del claims[subtask]
            self.vanished.add(subtask)
