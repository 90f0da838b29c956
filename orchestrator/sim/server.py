"""The simulated server, and the line to it on which every process can die.

Before and after every call to a script, a process can die, its connection can break, or it stands
still while all others go on; and a reply can be lost, so that the same call is sent again.
Everything is drawn from the world's dice, so a world with the same seed dies at the same calls.

It also writes down what the auditor wants to know and no key holds: who was given what, which
commits ended a task, which calls were repeated, and what was decided without news.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from redis.exceptions import ConnectionError as RedisGone

from envelopes.claims import Fetched
from orchestrator.sim.evidence import Retry, Wake
from orchestrator.sim.store import SimStore
from orchestrator.store import Commit, LetterFiled, Loaded, Mark

if TYPE_CHECKING:
    from orchestrator.sim.world import World

Reply = TypeVar("Reply")
_COMMITS_MAX: Final = 200
"""Commits for each task, on average; far above that, somebody decides without end."""
_DWELL: Final = 10
"""How much likelier a process stands still after it has taken claims away: until it has settled
them, a zombie that wakes up finds its claim there, revoked."""
_SELDOM: Final = {"submit": 5, "post": 10, "hand_back": 10, "quarantine": 5}
"""How much likelier the reply of a call is lost that is seldom made."""
_COUNTED: Final = (
    *("submitted", "commits", "escalated", "pushed", "fetched", "handed_back", "quarantined"),
    *("claims", "charges", "reports"),
)
"""Counters of what was done; the others count what was tried, and may count a retry."""


class Crash(BaseException):
    """The process is dead. No `except Exception` may save it."""


class Server(SimStore):
    """One server, shared by all processes of a world."""

    def __init__(self, world: "World") -> None:
        super().__init__(clock=lambda: world.now_ms)
        self._world = world
        self.given: list[tuple[str, str, int]] = []
        """(subtask, token, when) of every claim made, in order."""
        self.endings: list[tuple[str, str]] = []
        self.retries: list[Retry] = []
        self.wakes: list[Wake] = []
        self.asleep: list[str] = []
        self._alarms: dict[str, int] = {}

    # --- the line --------------------------------------------------------------------------------

    def send(self, script: str, body: Callable[[], Reply]) -> Reply:
        """Run a script for the process whose turn it is, if both live to see it."""
        self._expire()
        self._world.mishap()
        reply = body()
        if self._world.rolls("reply_lost", _SELDOM.get(script, 1)):
            self._again(script, body, reply)
        if script == "fetch":
            self._note_claims(reply)
        if script in {"claim", "commit"}:
            self._note_sleepers()
        self._world.mishap(dwell=_DWELL if script == "look" else 1)
        return reply

    def load(self, wanted: Sequence[tuple[str, Mark | None]]) -> list[Loaded | None]:
        """Read tasks; nothing is written, and still the process can die here."""
        self._world.mishap()
        return super().load(wanted)

    def wait(self, timeout_ms: int) -> bool:
        """Tell the world how long the process sleeps, instead of sleeping."""
        rang = super().wait(timeout_ms)
        self._world.sleeps_ms = 0 if rang else timeout_ms
        return rang

    def ring(self, bell: str, strokes: int = 1) -> None:
        """Ring a bell, and wake who sleeps on it."""
        super().ring(bell, strokes)
        self._world.rang(bell)

    def break_line(self) -> None:
        """Cut the connection of the process whose turn it is."""
        raise RedisGone("the connection broke")

    def _again(self, script: str, body: Callable[[], Reply], first: Reply) -> None:
        before = self._state()
        second = body()
        once = before == self._state()
        self.retries.append(Retry(script, same_answer=first == second, changed_nothing=once))

    def _state(self) -> tuple[Any, ...]:
        """Take down everything that a call may change, except attempts that were counted."""
        heads = self.bulkheads
        return (
            {
                i: (r["version"], r.get("outcome"), r.get("posted"), r.get("place"))
                for i, r in self.records.items()
            },
            (dict(heads.in_flight), dict(heads.at_work), dict(heads.caps)),
            {agent: breaker.seen() for agent, breaker in heads.breakers.items()},
            {agent: room.in_turn() for agent, room in heads.rooms.items()},
            {tenant: list(tasks) for tenant, tasks in heads.waiting.items() if tasks},
            {i: list(letters) for i, letters in self.mail.items() if letters},
            {i: len(lines) for i, lines in self.journals.items()},
            {i: (c.state, c.token, c.spent, dict(c.flying)) for i, c in self.claims.items()},
            {queue: list(messages) for queue, messages in self.queues.items() if messages},
            {i: letter["state"] for i, letter in self.desk.items()},
            self.last_news(),
            repr(self.day_books.days),
            dict(self.due),
            [self.counters[name] for name in _COUNTED],
        )

    def rouse(self, task_id: str) -> None:
        """Wake a task because something came free: that is news."""
        self._alarms[task_id] = 0
        super().rouse(task_id)

    def wake_by(self, task_id: str, at_ms: int) -> None:
        """Wake a task at this time: it is its own alarm."""
        self._alarms[task_id] = min(self._alarms.get(task_id, at_ms), at_ms)
        super().wake_by(task_id, at_ms)

    # --- what the auditor wants to know ----------------------------------------------------------

    def _note_claims(self, reply: Any) -> None:
        now_ms: int = reply[0]
        fetched: list[Fetched] = reply[1]
        self.given += [(f.subtask, f.token, now_ms) for f in fetched if f.state == "claimed"]

    def _note_sleepers(self) -> None:
        for task_id in self.records:
            if self.is_open(task_id) and task_id not in self.due:
                self.asleep.append(f"{task_id} was seen without an alarm")
        for task_id in self.mail:
            held = "held_until" in self.records[task_id]
            if not held and self.is_open(task_id) and self.due[task_id] > self.clock():
                self.asleep.append(f"{task_id} has mail, and sleeps on")

    def _commit(self, c: Commit) -> bool:
        record = self.records.get(c.task_id)
        if record is not None and record.get("op") == c.op.encode():
            return super()._commit(c)
        if self.counters["commits"] > _COMMITS_MAX * self._world.tasks:
            raise RuntimeError("orchestrators decide and decide, and nothing comes to an end")
        quiet = not c.mail_read and self.clock() < self._alarms.get(c.task_id, 0)
        before = self._alarms.get(c.task_id, 0)
        recalled = c.task_id in self.recalled
        self._alarms[c.task_id] = 0 if recalled else c.alarm_ms or 0  # rooms may make it earlier
        done = super()._commit(c)
        if not done:
            self._alarms[c.task_id] = before
        if done:
            if quiet:
                self.wakes.append(Wake(c.task_id, _changed(c)))
            if c.outcome is not None:
                self.endings.append((c.task_id, c.outcome))
        return done

    def file(self, letter_id: str, fields: Mapping[str, str | bytes | int]) -> None:
        """Put a letter on the desk; somebody may look at a message that was set aside."""
        is_new = letter_id not in self.desk
        super().file(letter_id, fields)
        if is_new and "queue" in fields:
            self._world.people.message_set_aside(letter_id)

    def _file_request(self, f: LetterFiled, task_id: str) -> None:
        super()._file_request(f, task_id)
        self._world.people.letter_filed(f.letter, task_id)


def _changed(c: Commit) -> str:
    parts = {
        "state": c.fields,
        "the journal": c.journal,
        "claims": c.settled,
        "queues": c.publish,
        "the desk": c.letter or c.letter_closed,
        "the outcome": c.outcome,
        "rooms": c.enter or c.leave,
    }
    return ", ".join(name for name, there in parts.items() if there)
