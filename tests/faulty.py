"""A line to the server on which a process dies, or loses a reply, at the Nth call.

Every process of a test (orchestrator, worker, caller) talks through a `Client`; all of them write
what they send on one `Tape`, in order, so the Nth call of a story is the same call in every run. A
call is one round trip: a command, or a pipeline. At the call that it was told to strike, the tape
does one of these:

    crash before   nothing is sent, and the process is dead
    crash midway   the first half of a pipeline is sent, and the process is dead
    crash after    all is sent, the reply is thrown away, and the process is dead
    reply lost     all is sent; the process is told that the connection broke, and lives on
    sent twice     all is sent, the reply is thrown away, and it is sent again; the process gets the
                   second reply. Whether it is that of the first, and whether the second has changed
                   anything, is evidence for the auditor (`Retry`)
    stood still    the process is stopped before the call, while others go on, and sends it then

The clock is held by the test: scripts read a key instead of the server's TIME, so a lease runs out
when a test says so, and two equal calls have equal answers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from redis import ConnectionPool, Redis
from redis.client import Pipeline
from redis.exceptions import ConnectionError as Cut

from envelopes.keys import Keys
from envelopes.scripts import Scripts, _sha
from orchestrator.sim.evidence import Retry

CLOCK = "the-clock"
"""Outside of every prefix, so that it belongs to no world."""
_ATTEMPTS = frozenset(
    (
        *(b"conflicts", b"refused_charges", b"late_charges", b"fenced_charges"),
        *(b"fenced_reports", b"replayed", b"revoked_dropped"),
    )
)
"""Counters of what was tried in vain; the others count what was done, once."""
Command = Sequence[Any]


class Crash(BaseException):
    """The process is dead. No `except Exception` may save it."""


class Fault(StrEnum):
    """What can happen to a call."""

    CRASH_BEFORE = "crash before"
    CRASH_MIDWAY = "crash midway"
    CRASH_AFTER = "crash after"
    REPLY_LOST = "reply lost"
    SENT_TWICE = "sent twice"
    STOOD_STILL = "stood still"


@dataclass(frozen=True, slots=True)
class Call:
    """One round trip."""

    number: int
    process: str
    name: str
    """The script, or the command."""
    many: bool
    """Whether it is a pipeline of several."""

    def __str__(self) -> str:
        return f"call {self.number}, {self.name} of {self.process}"


class Tape:
    """Everything that was sent, by all processes of one world."""

    def __init__(self, client: Redis, keys: Keys, strikes: dict[int, Fault] | None = None) -> None:
        self.calls: list[Call] = []
        self.retries: list[Retry] = []
        self.struck: list[tuple[Call, Fault]] = []
        self.saw: Callable[[str, Command, Command, Any], None] = lambda *_: None
        """Is told of every script with its keys, its arguments and its first reply."""
        self.meanwhile: Callable[[str], object] = lambda _: None
        """What others do while a process of this name stands still."""
        self._client: Any = client
        self._keys = keys
        self._strikes = strikes or {}
        self._named: tuple[str, Fault] | None = None
        self._names: dict[str, str] = {}

    def clocked(self, scripts: Scripts) -> None:
        """Let these scripts read our clock, and know them by name from now on."""
        for name, text in scripts._texts.items():
            ours = text.replace("redis.call('TIME')", f"{{0, redis.call('GET', '{CLOCK}') * 1000}}")
            scripts._texts[name], scripts._shas[name] = ours, _sha(ours)
            self._names[_sha(ours)] = name

    def send(self, client: "Client", commands: list[Command], transmit: Callable[..., Any]) -> Any:
        """Send, unless the process is dead, or dies of it."""
        if client.dead:
            raise Crash(client.process)
        many = len(commands) > 1
        call = Call(len(self.calls) + 1, client.process, self._name(commands[0]), many)
        self.calls.append(call)
        fault = self._fault_at(call)
        match fault:
            case Fault.STOOD_STILL:
                self.meanwhile(client.process)
            case Fault.CRASH_BEFORE:
                client.die()
            case Fault.CRASH_MIDWAY:
                half = commands[: len(commands) // 2]
                self._note(half, transmit(half))
                client.die()
        replies = transmit(commands)
        self._note(commands, replies)
        match fault:
            case Fault.CRASH_AFTER:
                client.die()
            case Fault.REPLY_LOST:
                raise Cut("the reply was lost")
            case Fault.SENT_TWICE:
                return self._again(call, commands, transmit, replies)
        return replies

    def strike_next(self, calls_ahead: int, fault: Fault) -> None:
        """Let a fault strike so many calls from now; 0 is the next one."""
        self._strikes = {len(self.calls) + 1 + calls_ahead: fault}

    def strike_the_next(self, name: str, fault: Fault) -> None:
        """Let a fault strike the next call of this name, once."""
        self._named = (name, fault)

    def spare(self) -> None:
        """Let no fault strike any more."""
        self._strikes, self._named = {}, None

    def _fault_at(self, call: Call) -> Fault | None:
        fault = self._strikes.get(call.number)
        if self._named is not None and self._named[0] == call.name:
            fault, self._named = self._named[1], None
        if fault is not None:
            self.struck.append((call, fault))
        return fault

    def snapshot(self) -> dict[bytes, Any]:
        """Take down all keys, but for bells (a stroke says only "look") and vain attempts.

        A letter is taken down by its fields: the server may put those of a long hash into another
        order at any time, and a dump shows that.
        """
        prefix = self._keys.prefix.encode()
        hashes = self._keys.stats.encode(), self._keys.letter("").encode()
        found = self._client.scan_iter(prefix + b"*", count=10_000)
        names = [key for key in found if not key.startswith(prefix + b"bell")]
        with self._client.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.hgetall(name) if name.startswith(hashes) else pipe.dump(name)
            found = dict(zip(names, pipe.execute(), strict=True))
        stats = found.pop(self._keys.stats.encode(), {})
        return found | {b"stats": {n: v for n, v in stats.items() if n not in _ATTEMPTS}}

    def _again(self, call: Call, commands: list[Command], transmit: Any, first: Any) -> Any:
        if call.name == "BLPOP":
            return transmit(commands)  # it takes a stroke each time, and is meant to
        before = self.snapshot()
        second = transmit(commands)
        same = list(map(_comparable, first)) == list(map(_comparable, second))
        as_it_was = before == self.snapshot()
        self.retries.append(Retry(str(call), same_answer=same, changed_nothing=as_it_was))
        return second

    def _note(self, commands: list[Command], replies: list[Any]) -> None:
        for command, reply in zip(commands, replies, strict=True):
            if command[0] == "EVALSHA" and not isinstance(reply, Exception):
                first = 3 + command[2]
                self.saw(self._name(command), command[3:first], command[first:], reply)

    def _name(self, command: Command) -> str:
        return self._names[command[1]] if command[0] == "EVALSHA" else str(command[0])


def _comparable(reply: Any) -> Any:
    """Make replies equal where they say the same: an exception is equal only to itself."""
    return repr(reply) if isinstance(reply, Exception) else reply


class Client(Redis):
    """One process's line to the server."""

    def __init__(self, pool: ConnectionPool, tape: Tape, process: str) -> None:
        super().__init__(connection_pool=pool)
        self.tape, self.process, self.dead = tape, process, False

    def die(self) -> None:
        """Be dead from now on: whatever else the process tries, nothing leaves it."""
        self.dead = True
        raise Crash(self.process)

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send one command."""

        def transmit(commands: list[Command]) -> list[Any]:
            return [super(Client, self).execute_command(*each, **options) for each in commands]

        return self.tape.send(self, [args], transmit)[0]

    def pipeline(self, *_: Any, **__: Any) -> "_Pipeline":
        """Open a pipeline that is one call."""
        return _Pipeline(self)


class _Pipeline(Pipeline):
    def __init__(self, client: Client) -> None:
        super().__init__(client.connection_pool, client.response_callbacks, False, None)
        self._owner = client

    def execute(self, raise_on_error: bool = True) -> Any:  # noqa: FBT001, FBT002 - as its base
        """Send what was put together."""
        stack = dict(enumerate(self.command_stack))

        def transmit(commands: list[Command]) -> list[Any]:
            self.command_stack = [stack[number] for number in range(len(commands))]
            return list(super(_Pipeline, self).execute(raise_on_error))

        return self._owner.tape.send(self._owner, [args for args, _ in stack.values()], transmit)
