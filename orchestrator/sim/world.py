"""One simulated world: a server, orchestrators, workers, people, and what goes wrong.

The orchestrators are the real ones (serve.py) on the simulated store; workers and people are
scripts. Everything runs in one thread under one clock, in an order drawn from the seed, so a seed
replays its world to the last call. A script is a generator; each `yield` says how many milliseconds
pass before it goes on, and there the world may go on without it for ever. A negative pause is sleep
that a bell ends early.

Safety phase: faults. Liveness phase: no more faults, and within bounded time every task has ended.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Final, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from redis.exceptions import RedisError

from envelopes.seal import Signer, Verifier
from orchestrator.serve import Orchestrator
from orchestrator.sim.asks import moods
from orchestrator.sim.cast import about
from orchestrator.sim.collector import collect
from orchestrator.sim.dice import happens
from orchestrator.sim.evidence import Evidence, Inputs
from orchestrator.sim.faults import PER_MINUTE, Faults
from orchestrator.sim.gremlin import Gremlin
from orchestrator.sim.people import People
from orchestrator.sim.server import Crash
from orchestrator.sim.store import SimClaims
from orchestrator.sim.vigil import Vigil
from orchestrator.sim.watch import WatchedServer
from orchestrator.sim.worker import Booked, Worker
from orchestrator.store import Store
from orchestrator.wire import Wire

_BEGIN_MS: Final = 1_700_000_000_000
_STEP_MS: Final = 2_000
_ENOUGH: Final = 20
"""Things left lying, or decisions that failed, after which a world is given up."""
_RECOVERY_MS: Final = 30_000
"""By then every process that died has been replaced, and every lease has run out."""
_LIVENESS_MS_MAX: Final = 3 * 3600 * 1000
"""By then every task has ended: deadlines of ten minutes, a few letters of two, a few retries."""
_SLEEP_MS_MAX: Final = 24 * 3600 * 1000
_PAUSE_MS_MAX: Final = 12_000
"""Longer than every lease, so that a process can wake up as a zombie."""
_BLINKS: Final = 0.1
"""The share of calls between which others get a word in, as on any good day."""
_BLINK_MS_MAX: Final = 300
_NESTED_MAX: Final = 2
"""Orchestrators that stand still at the same time."""
_PRIVATE: Final = sha256(b"the simulation signs with this").digest()
_PUBLIC: Final = Ed25519PrivateKey.from_private_bytes(_PRIVATE).public_key().public_bytes_raw()


@dataclass(slots=True)
class Loop:
    """An orchestrator process."""

    name: str
    alive: bool = True


Process = Loop | Worker


@dataclass(slots=True, eq=False)
class Actor:
    """A script that goes on when its time comes."""

    script: Iterator[int]
    owner: Process | None
    ticket: int = 0
    """Only the agenda's entry with this ticket counts; the others were overtaken."""
    asleep: bool = False


class World:
    """Everything in one seed."""

    def __init__(self, seed: int, tasks: int) -> None:
        self.tasks = tasks
        self.random = Random(seed)  # noqa: S311 -- it has to be repeatable
        self.faults = Faults.drawn(self.random)
        self.moods = moods(self.random)
        self.arrivals_ms = self.random.choice((100, 20_000, 120_000))
        self.now_ms = _BEGIN_MS
        self.sleeps_ms = 0
        self._agenda: list[tuple[int, int, Actor]] = []
        self._tickets = count(1)
        self._current: Actor | None = None
        self._nested = 0
        self._sleepers: list[Actor] = []
        self._frozen: dict[str, int] = {}
        self._names = count(1)
        # What workers leave behind for the auditor:
        self.booked: dict[str, list[Booked]] = {}
        self.started: list[str] = []
        self.handed_back: set[str] = set()
        self.inputs: list[Inputs] = []
        self.failures: list[str] = []
        """Decisions that could not be made: our bugs, always."""
        self.server = WatchedServer(self)
        self.people = People(self)
        self.gremlin = Gremlin(self)
        self.vigil = Vigil(self)
        self.workers: list[Worker] = []
        self.verifier = Verifier([_PUBLIC])
        self._wire = Wire(Signer(_PRIVATE), self.server.keys, self._nonce)

    def _nonce(self) -> str:
        return f"{self.random.getrandbits(128):032x}"

    # --- the two phases --------------------------------------------------------------------------

    def run(self) -> Evidence:
        """Let it all happen, and say what was seen."""
        handler = _Failures(self.failures)
        log = logging.getLogger("buckstop.serve")
        before = log.level, log.propagate
        log.setLevel(logging.ERROR)
        log.propagate = False
        log.addHandler(handler)
        try:
            self._populate()
            self._run_until(self.now_ms + self.random.choice((60_000, 150_000, 300_000)))
            self.faults = Faults()
            self._drain()
        finally:
            log.removeHandler(handler)
            log.level, log.propagate = before
        return collect(self)

    def _populate(self) -> None:
        SimClaims(self.server, "first").register(about())
        if "bounds" in self.moods:
            self.server.set_cap("tenant", "small", self.random.randint(1, 3))
            self.server.set_cap("agent", "steady", self.random.randint(2, 9))
        for _ in range(self.random.randint(1, 3)):
            self._new_loop()
        for _ in range(self.random.randint(2, 5)):
            self._new_worker()
        for number in range(self.tasks):
            self.begin(self.people.submits(number))
        for fault in PER_MINUTE:
            self.begin(self.gremlin.strikes(fault))

    def _drain(self) -> None:
        self._run_until(self.now_ms + _RECOVERY_MS)
        until_ms = self.now_ms + _LIVENESS_MS_MAX
        while not self._quiet() and self.now_ms < until_ms:
            if len(self.failures) + len(self.vigil.neglected) > _ENOUGH:
                return
            self._run_until(self.now_ms + _STEP_MS)
            self.vigil.look()

    def _quiet(self) -> bool:
        server = self.server
        return (
            len(server.records) >= len(self.people.acknowledged) >= self._told()
            and all("outcome" in record for record in server.records.values())
            and not any(server.queues.values())
            and not any(worker.holds for worker in self.workers)
        )

    def _told(self) -> int:
        """Count the tasks whose callers have begun and live."""
        return self.tasks - self.people.silent

    # --- the agenda ------------------------------------------------------------------------------

    def begin(self, script: Iterator[int], owner: Process | None = None) -> None:
        """Start a script now."""
        self._schedule(Actor(script, owner), 0)

    def _schedule(self, actor: Actor, pause_ms: int) -> None:
        actor.ticket = next(self._tickets)
        actor.asleep = pause_ms < 0
        if actor.asleep:
            self._sleepers.append(actor)
        heappush(self._agenda, (self.now_ms + abs(pause_ms), actor.ticket, actor))

    def _run_until(self, end_ms: int) -> None:
        while self._agenda and self._agenda[0][0] <= max(end_ms, self.now_ms):
            if self.now_ms > end_ms:
                return
            at_ms, ticket, actor = heappop(self._agenda)
            if ticket != actor.ticket:
                continue
            self.now_ms = max(self.now_ms, at_ms)
            if self._may_go_on(actor):
                self._step(actor)
        self.now_ms = max(self.now_ms, end_ms)

    def _may_go_on(self, actor: Actor) -> bool:
        owner = actor.owner
        if owner is None:
            return True
        frozen_ms = self._frozen.get(owner.name, 0) - self.now_ms
        if owner.alive and frozen_ms > 0:
            self._schedule(actor, frozen_ms)
            return False
        return owner.alive

    def _step(self, actor: Actor) -> None:
        before, self._current = self._current, actor
        actor.asleep = False
        try:
            pause_ms = next(actor.script)
        except StopIteration:
            return
        except Crash:
            self._die(actor.owner)
            return
        finally:
            self._current = before
        self._schedule(actor, pause_ms)

    def rang(self, bell: str) -> None:
        """Wake who sleeps on a bell: orchestrators on theirs, workers on any queue's."""
        orchestrators = bell == self.server.keys.bell
        awake = [a for a in self._sleepers if not a.asleep]
        hear = [
            a for a in self._sleepers if a.asleep and isinstance(a.owner, Loop) == orchestrators
        ]
        self._sleepers = [a for a in self._sleepers if a not in awake and a not in hear]
        for actor in hear:
            self._schedule(actor, self.random.randint(0, 3))

    # --- processes -------------------------------------------------------------------------------

    def _new_loop(self) -> None:
        loop = Loop(f"orchestrator{next(self._names)}")
        self.begin(self._decides(), loop)

    def _decides(self) -> Iterator[int]:
        orchestrator = Orchestrator(cast("Store", self.server), self._wire)
        while True:
            try:
                decided = orchestrator.turn(_SLEEP_MS_MAX)
            except RedisError:
                yield self.random.randint(50, 1_000)
            else:
                yield self.random.randint(0, 5) if decided else -max(1, self.sleeps_ms)

    def _new_worker(self) -> None:
        worker = Worker(self, f"worker{next(self._names)}")
        self.workers.append(worker)
        self.begin(worker.fetches(), worker)
        self.begin(worker.beats(), worker)

    def _die(self, owner: Process | None) -> None:
        """End a process, and start another one in its place after a while."""
        assert owner is not None
        owner.alive = False
        if isinstance(owner, Worker):
            self.workers.remove(owner)
        self.begin(self._replaces(owner))

    def _replaces(self, owner: Process) -> Iterator[int]:
        yield self.random.randint(100, 15_000)
        if isinstance(owner, Worker):
            self._new_worker()
        else:
            self._new_loop()

    def freeze(self, worker: Worker, for_ms: int) -> None:
        """Stop every thread of a process for a while."""
        self._frozen[worker.name] = self.now_ms + for_ms

    # --- what can go wrong at a call -------------------------------------------------------------

    def rolls(self, fault: str, times: int = 1) -> bool:
        """Draw whether a fault strikes here."""
        chance: float = getattr(self.faults, fault) * times
        return chance > 0 and happens(self.random, chance)

    def mishap(self, dwell: int = 1) -> None:
        """Let the process whose turn it is die, lose its connection, or stand still."""
        owner = None if self._current is None else self._current.owner
        if owner is not None and self.rolls(_DIES[type(owner)]):
            raise Crash
        if self._current is not None and self.rolls("cut_off"):
            self.server.break_line()
        if isinstance(owner, Loop) and self._nested < _NESTED_MAX:
            if self.rolls("stands_still", dwell):
                self._stand_still(_PAUSE_MS_MAX)
            elif happens(self.random, _BLINKS):
                self._stand_still(_BLINK_MS_MAX)

    def _stand_still(self, at_most_ms: int) -> None:
        """Let everybody else go on for a while, in the middle of this process's call."""
        current, self._nested = self._current, self._nested + 1
        try:
            self._run_until(self.now_ms + self.random.randint(1, at_most_ms))
        finally:
            self._current, self._nested = current, self._nested - 1

    @property
    def somebody_stands_still(self) -> bool:
        """Say whether a process is in the middle of a decision."""
        return self._nested > 0


_DIES: Final = {Loop: "orchestrator_dies", Worker: "worker_dies"}


class _Failures(logging.Handler):
    """Hears of decisions that failed; the loop itself goes on without them."""

    def __init__(self, failures: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._failures = failures

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self._failures.append(f"{record.getMessage()}: {type(error).__name__}: {error}")
