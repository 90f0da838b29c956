"""A stage for whole stories on the real server: callers, orchestrators and workers in one process.

Everything is the real thing but for Celery and the clock: `Orchestrator.turn`, the workers' intake,
gate, runtime and meter, and every script. Who acts when is for the story to say; what was seen goes
to the auditor. A process that dies (faulty.py) is gone with all it knew, and the next call to its
part finds a new one.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from redis import ConnectionPool
from redis.exceptions import RedisError

from envelopes import Envelope, limits
from envelopes.decision import Cancellation, Decision, Verb
from envelopes.keys import Keys
from envelopes.scripts import Scripts, connect, new_op
from envelopes.seal import Signer, Verifier
from orchestrator import intake
from orchestrator.embedded import EmbeddedServer
from orchestrator.keyfile import public_of
from orchestrator.serve import Orchestrator
from orchestrator.sim.auditor import Verdict, audit
from orchestrator.sim.evidence import Effect, Evidence, Inputs
from orchestrator.store import MessageDecision, Store
from orchestrator.wanted import Wanted
from orchestrator.wire import Wire
from tests.collector import look_at
from tests.faulty import CLOCK, Client, Crash, Fault, Tape
from tests.until import PATIENCE_S
from tests.witness import Witness
from tests.worlds import on_desk
from workers.agent import Agent
from workers.beat import Beat
from workers.claims import LUA, Claims
from workers.context import Context, Grant
from workers.held import Held
from workers.intake import GRANT, Intake
from workers.line import Line
from workers.loop import Loop
from workers.runtime import Run, perform

BEGIN_MS = 1_800_000_000_000
PRIVATE_KEY = bytes(range(32))
KEYS = Keys("stage:")
TURNS_MAX = 100
WIRE = Wire(Signer(PRIVATE_KEY), KEYS)
VERIFIER = Verifier([public_of(PRIVATE_KEY)])
Script = Callable[["Play"], Envelope | None]
"""What an agent does, given its part in the play."""


@dataclass(frozen=True)
class Part:
    """One agent."""

    plays: Script
    handoffs: tuple[str, ...] = ()


@dataclass
class Play:
    """One subtask under way: what its agent may do."""

    stage: "Stage"
    worker: "Worker"
    grant: Grant
    context: Context
    inputs: dict[str, Any]

    def spend(self, real: int, most: int = 100, during: Callable[[], object] | None = None) -> None:
        """Make one paid call; the model's own invoice says what it cost."""
        with self.context.meter.call(input_tokens=10, max_tokens=most) as call:
            self.stage.invoices[self.grant.token, call._op] = self.grant.subtask, (10 + real, 0, 1)
            if during is not None:
                during()
            call.used(10, real)

    def done(self, confidence: float = 0.9) -> Envelope:
        """Say who made this result."""
        return Envelope.success({"by": self.grant.subtask}, confidence)


class StillBeat(Beat):
    """A sign of life that is given when the story says so."""

    def _start(self) -> None:
        pass

    def now(self) -> None:
        """Beat once, as the thread would: a broken line is nothing to die of."""
        try:
            self.once()
        except RedisError:
            _say("a beat did not get through")


@dataclass
class Order:
    """A subtask that was fetched and has passed the gate."""

    grant: Grant
    payload: str
    queue: str


class Worker:
    """One worker process, without Celery and without threads."""

    def __init__(self, stage: "Stage", name: str, slots: int = 2) -> None:
        client = stage.line(name)
        scripts = Scripts(client, LUA, stage.keys)
        stage.tape.clocked(scripts)
        self.name, self.stage = name, stage
        self.direct = Claims(scripts, stage.keys, name)
        self.claims = Claims(Line(scripts, pause=lambda _: None), stage.keys, name)
        self.held = Held(lambda: slots, now=lambda: stage.now_ms / 1000)
        self.beat = StillBeat(self.direct, lambda: "{}")
        tasks = {f"agent.{agent}" for agent in stage.cast}
        self.intake = Intake(self.direct, self.held, self.beat, VERIFIER, tasks)
        self.loop = Loop()
        self.queues = [stage.keys.queue(agent) for agent in stage.cast]
        parts = stage.cast.items()
        self.direct.register({name: {"handoffs": list(part.handoffs)} for name, part in parts})

    def take(self) -> list[Order]:
        """Fetch what there is room for; what has come is here, though the line may break then."""
        orders = []
        try:
            for queue, message in self.intake.take(self.queues):
                grant, payload = message["headers"][GRANT], message["body"][1]["payload"]
                orders.append(Order(grant, payload, queue))
        except RedisError as error:
            _say(f"{self.name} was cut off: {error}")
        return orders

    def hand_back(self, order: Order) -> None:
        """Give one back unstarted."""
        for hold in self.held.drop_unbegun(order.grant.subtask):
            self.intake.hand_back(hold)

    def run(self, order: Order) -> Envelope | None:
        """Run one, from its agent to its report."""
        grant, name = order.grant, order.grant.headers.agent
        self.held.begin(grant.subtask)

        def act(context: Context, inputs: dict[str, Any]) -> Envelope | None:
            self.stage.given.append(Inputs(grant.subtask, _makers(inputs)))
            self.stage.started.add(grant.token)
            return self.stage.cast[name].plays(Play(self.stage, self, grant, context, inputs))

        agent = Agent(name, act, takes=("inputs",), is_async=False)
        run = Run.of(agent, grant, order.payload, self.claims, self.loop)
        self.beat.add(grant.subtask, grant.token, run.context.cancel)
        try:
            return perform(run)
        finally:
            self.beat.remove(grant.subtask, grant.token)
            self.held.end(grant.subtask)


class Caller:
    """Somebody who submits tasks and answers letters."""

    def __init__(self, stage: "Stage", name: str) -> None:
        self.stage, self.store = stage, stage.store(name)
        self._answered: set[str] = set()

    def submit(self, name: str, fields: dict[str, Any]) -> str:
        """Submit a task under a key of its own, so that nobody need know whether it was before."""
        task_id = f"{name}-{len(self.stage.attempted)}"  # no chance in it: alarms are sorted by id
        wish = replace(intake.submission(fields | {"idempotency_key": name}), task_id=task_id)
        self.stage.attempted.add(task_id)
        made = self.store.submit(wish).task_id
        self.stage.tasks[name] = made
        return made

    def cancel(self, task_id: str) -> bool:
        """Wish a task to stop; say that it has been told."""
        letter = Cancellation(by="caller", why="enough").model_dump_json()
        self.store.post(task_id, f"cancel\n{letter}".encode(), new_op())
        return True

    def operate(self, agent: str, cap: int) -> bool:
        """Bound an agent and forget what was known against it; say that it is done."""
        self.store.set_cap("agent", agent, cap)
        self.store.reset_breaker(agent)
        return True

    def clear_desk(self) -> bool:
        """Let forged messages go; say whether there was one."""
        found = on_desk(self.store, Wanted(kind="forged"))
        for letter in found:
            said = MessageDecision(letter, Verb.DISCARD, "caller", "none of ours")
            self.store.settle_message(said, f"discard-{letter}")
        return bool(found)

    def answer(self, decision: Decision) -> bool:
        """Answer a letter, once; another caller may have done so too."""
        if decision.letter in self._answered:
            return False
        letter = f"decide\n{decision.model_dump_json()}".encode()
        self.store.post(decision.letter.split(".")[0], letter, new_op())
        self._answered.add(decision.letter)
        return True


class Owner:
    """One orchestrator process."""

    def __init__(self, stage: "Stage", name: str) -> None:
        self.store = stage.store(name)
        self.loop = Orchestrator(self.store, WIRE)

    def turn(self) -> None:
        """Decide what is due, as `run` does: a broken line is nothing to die of."""
        try:
            self.loop.turn(idle_ms_max=1)
        except RedisError as error:
            _say(f"the server is away: {error}")


@dataclass
class Stage:
    """One world on the emptied server."""

    client: Any
    pool: ConnectionPool
    cast: dict[str, Part]
    strikes: dict[int, Fault] = field(default_factory=dict)
    keys: Keys = KEYS
    tasks: dict[str, str] = field(default_factory=dict)
    """Acknowledged: name and id."""
    attempted: set[str] = field(default_factory=set)
    invoices: dict[tuple[str, str], tuple[str, tuple[int, int, int]]] = field(default_factory=dict)
    """The model's own account: subtask and real cost by token and call."""
    started: set[str] = field(default_factory=set)
    given: list[Inputs] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    neglected: list[str] = field(default_factory=list)
    """What a story has seen of sleepers on its way."""
    injected: int = 0
    stolen: int = 0

    def __post_init__(self) -> None:
        self.client.flushdb()
        self.now_ms = BEGIN_MS
        self.pass_time(0)
        self.tape = Tape(self.client, self.keys, self.strikes)
        self.witness = Witness(lambda: self.now_ms)
        self.tape.saw = self.witness.saw
        self._processes: dict[str, Any] = {}

    # --- time and processes ----------------------------------------------------------------------

    def pass_time(self, ms: int) -> None:
        """Let time go on, for everybody."""
        self.now_ms += ms
        self.client.set(CLOCK, self.now_ms)

    def line(self, process: str) -> Client:
        """Give a process its line to the server."""
        return Client(self.pool, self.tape, process)

    def store(self, process: str) -> Store:
        """Give a process the orchestrator's side of the server."""
        store = Store(self.line(process), self.keys)
        self.tape.clocked(store._scripts)
        return store

    def owner(self, deed: Callable[[Owner], Any], name: str = "orchestrator") -> Any:
        """Let an orchestrator do something."""
        return self._let(name, Owner, deed)

    def worker(self, deed: Callable[[Worker], Any], name: str = "worker") -> Any:
        """Let a worker do something."""
        return self._let(name, Worker, deed)

    def gone(self, name: str) -> None:
        """End a process at once, with all it knew."""
        self._processes.pop(name, None)

    def caller(self, deed: Callable[[Caller], Any], name: str = "caller") -> Any:
        """Let a caller do something."""
        return self._let(name, Caller, deed)

    def is_there(self, name: str) -> bool:
        """Say whether a process of this name lives."""
        return name in self._processes

    def _let(self, name: str, kind: Any, deed: Callable[[Any], Any]) -> Any:
        """Return what comes of it; None where the process dies of it, or of being started."""
        try:
            if name not in self._processes:
                self._processes[name] = kind(self, f"{name}")
            return deed(self._processes[name])
        except Crash as crash:
            if crash.args[0] != name:
                raise
            self._processes.pop(name, None)
        except RedisError as error:  # what it wanted, it will want again
            _say(f"{name} was cut off: {error}")
        return None

    # --- what there is ---------------------------------------------------------------------------

    def due(self) -> bool:
        """Say whether some task's alarm has rung."""
        return bool(self.client.zcount(self.keys.due, "-inf", self.now_ms))

    def settle(self, name: str = "orchestrator") -> bool:
        """Let an orchestrator decide until nothing is due; say whether anything was."""
        for turns in range(TURNS_MAX):
            if not self.due():
                return turns > 0
            self.owner(Owner.turn, name)
        raise AssertionError("something is always due")

    def sleepers(self) -> list[str]:
        """Name open tasks that nothing would wake, and those with mail that wakes nobody."""
        with self.client.pipeline(transaction=False) as pipe:
            for task_id in self.tasks.values():
                pipe.hmget(self.keys.task(task_id), "outcome", "held_until")
                pipe.zscore(self.keys.due, task_id)
                pipe.llen(self.keys.mail(task_id))
            replies = iter(pipe.execute())
        return [
            f"{task_id}: alarm {alarm_ms}, {mail} letters in its mail, held until {held_ms}"
            for task_id, (outcome, held_ms), alarm_ms, mail in zip(
                self.tasks.values(), *[replies] * 3, strict=False
            )
            if outcome is None and not self._will_wake(alarm_ms, mail, int(held_ms or 0))
        ]

    def _will_wake(self, alarm_ms: float | None, mail: int, held_ms: int) -> bool:
        """Say whether an alarm is right: mail is read now, or when whoever holds it is gone."""
        if alarm_ms is None:
            return False
        return not mail or alarm_ms <= max(self.now_ms, held_ms)

    def next_alarm_ms(self) -> int:
        """Return when the next alarm rings."""
        first = self.client.zrange(self.keys.due, 0, 0, withscores=True)
        return int(first[0][1]) if first else self.now_ms + limits.LEASE_MS

    def queued(self) -> list[tuple[str, bytes]]:
        """List what lies on queues."""
        queues = [self.keys.queue(agent) for agent in self.cast]
        with self.client.pipeline(transaction=False) as pipe:
            for queue in queues:
                pipe.lrange(queue, 0, -1)
            found = pipe.execute()
        return [(queue, raw) for queue, raws in zip(queues, found, strict=True) for raw in raws]

    def letters(self) -> list[str]:
        """List open letters that wait for a decision."""
        ids = [each.decode() for each in self.client.zrange(self.keys.letters, 0, -1)]
        kinds = [self.client.hget(self.keys.letter(each), "kind") for each in ids]
        return [i for i, kind in zip(ids, kinds, strict=True) if kind in (b"escalation", b"poison")]

    def outcome(self, name: str) -> str | None:
        """Return how a task has ended."""
        found = self.client.hget(self.keys.task(self.tasks[name]), "outcome")
        return found and found.decode()

    def over(self, count: int) -> bool:
        """Say whether so many tasks are all that there are, have ended, and left no message."""
        known = len(self.tasks) == count
        return known and all(map(self.outcome, self.tasks)) and not self.queued()

    def inject(self, queue: str, raw: bytes) -> None:
        """Put bytes where the next message is popped, as a stranger would."""
        self.client.rpush(queue, raw)
        self.injected += len(raw)

    def stat(self, name: str) -> int:
        """Return one counter."""
        return int(self.client.hget(self.keys.stats, name) or 0)

    # --- evidence --------------------------------------------------------------------------------

    def evidence(self) -> Evidence:
        """Collect what the auditor may look at."""
        seen = self.witness
        return look_at(
            self.client,
            self.keys,
            acknowledged=self.tasks.values(),
            attempted=self.attempted,
            claims=seen.claims(self.started),
            effects=list(self.effects()),
            strange=(self.injected, self.stolen),
            inputs=self.given,
            retries=self.tape.retries,
            wakes=seen.wakes,
            moves=seen.moves,
            endings=seen.endings,
            cancelled=seen.cancelled,
            failures=self.failures,
            neglected=self.neglected,
        )

    def effects(self) -> Iterator[Effect]:
        """Join what was booked with what the model says it cost."""
        for (token, op), booked in self.witness.booked.items():
            _, real = self.invoices.get((token, op), ("", None))
            settled = (token, op) in self.witness.heard
            yield Effect(booked.subtask, token, op, booked.worst, real, booked.at_ms, settled)
        for (token, op), (subtask, real) in self.invoices.items():
            if (token, op) not in self.witness.booked:
                yield Effect(subtask, token, op, real, real, self.now_ms, settled=False)

    def verdict(self) -> Verdict:
        """Hear the auditor."""
        return audit(self.evidence())


def _say(what: str) -> None:
    logging.getLogger("tests.stage").info(what)


def _makers(inputs: dict[str, Any]) -> dict[str, str | None]:
    return {need: None if made is None else made["by"] for need, made in inputs.items()}


@contextmanager
def failures_of(stage: Stage) -> Iterator[None]:
    """Hear of decisions that could not be made; silence what faults make the processes say."""
    heard = _Heard(stage.failures)
    ours = [logging.getLogger(name) for name in ("buckstop", "buckstop.serve")]
    before = [(log, log.level, log.propagate) for log in ours]
    ours[0].setLevel(logging.ERROR)
    ours[1].setLevel(logging.ERROR)
    ours[1].propagate = False
    ours[1].addHandler(heard)
    try:
        yield
    finally:
        ours[1].removeHandler(heard)
        for log, level, propagate in before:
            log.level, log.propagate = level, propagate


class _Heard(logging.Handler):
    def __init__(self, failures: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._failures = failures

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self._failures.append(f"{record.getMessage()}: {type(error).__name__}: {error}")


def edited(raw: bytes) -> bytes:
    """Edit a message as a thief would who wants more hops: its seal no longer fits."""
    other = raw.replace(rb"hops_max\":", rb"hops_max\":9", 1)
    assert other != raw
    return other


@contextmanager
def open_stages(server: EmbeddedServer) -> Iterator[Callable[..., Stage]]:
    """Make stages on a server that has nothing else to do; quick, for nothing here must last."""
    if not server.alive:
        server.restart()  # another test has killed it
    client = connect(server.url, socket_timeout=PATIENCE_S)  # a lost reply is for a story to say
    before = client.config_get("appendfsync", "hz")
    client.config_set("appendfsync", "no")
    client.config_set("hz", 500)  # the precision with which a wait of one millisecond ends

    def made(cast: dict[str, Part], strikes: dict[int, Fault] | None = None) -> Stage:
        return Stage(client, client.connection_pool, cast, strikes or {})

    try:
        yield made
    finally:
        for name, value in before.items():
            client.config_set(name, value)
        client.close()
