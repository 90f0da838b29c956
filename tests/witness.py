"""What was seen of every script, for the auditor: facts that no key holds afterwards.

Reads the arguments as they stand on top of each script (orchestrator/lua, workers/lua).
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from envelopes.claims import Fetched
from orchestrator.sim.auditor import Verdict
from orchestrator.sim.evidence import ClaimEvidence, Move, Sum, Wake

_FETCHED = len(fields(Fetched))
_COMMIT_HEAD, _SETTLED, _PUBLISH, _ENTER, _LEAVE = 10, 3, 4, 7, 8
"""How long a commit's head is, and which sections follow it (commit.lua)."""
UNSEEN_FROM_OUTSIDE = {"22 a tenant has no more at work than it may"}
"""Who is let in when shows only inside the server; test_tenants.py looks there."""
NOT_IN_THE_STORY = ("17 ", "18 ", "19 ", "20 ", "21 an open breaker", "22 ")
"""Questions, managers, judges, owners, caps: the simulation and test_bulkheads.py have them."""
_SENT, _ENDED = 11, 6
"""Arguments of one message in it: the agent first, its number third; and of one settled claim:
number, agent, verdict, and what it cost."""
"""What FETCH says of one message; the first five are queue, raw, state, subtask, token."""
Call = tuple[str, str]
"""A claim's token, and a paid call's op."""


@dataclass(frozen=True, slots=True)
class Booked:
    """A paid call that the server has booked."""

    subtask: str
    worst: Sum
    at_ms: int


class Witness:
    """Is told of every script that ran, once, in order."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._given: list[tuple[str, str, int]] = []
        """(subtask, token, when) of every claim made."""
        self._fetches: set[str] = set()
        self._handed_back: set[str] = set()
        self._ops: set[str] = set()
        self._alarms: dict[str, int] = {}
        self._rooms: dict[str, frozenset[str]] = defaultdict(frozenset)
        """Agents that each task waits for."""
        self.booked: dict[Call, Booked] = {}
        self.heard: set[Call] = set()
        """Calls whose real cost has reached the server."""
        self.revoked: set[str] = set()
        """Subtasks that an owner has taken away."""
        self.endings: list[tuple[str, str]] = []
        self.wakes: list[Wake] = []
        self.moves: list[Move] = []
        self.cancelled: dict[str, int] = {}

    def saw(self, name: str, keys: Sequence[Any], args: Sequence[Any], reply: Any) -> None:
        """Take down what matters."""
        note = getattr(self, f"_{name}", None)
        if note is not None:
            note(keys, args, reply)

    def claims(self, started: set[str]) -> list[ClaimEvidence]:
        """Say who was given each subtask."""
        return [
            ClaimEvidence(subtask, token, at_ms, token in started, token in self._handed_back)
            for subtask, token, at_ms in self._given
        ]

    # --- one script each -------------------------------------------------------------------------

    def _fetch(self, _keys: Sequence[Any], args: Sequence[Any], reply: Any) -> None:
        if args[0] in self._fetches:
            return  # the same reply again, for a worker that did not get it
        self._fetches.add(args[0])
        for at in range(1, len(reply), _FETCHED):
            _, _, state, subtask, token = reply[at : at + 5]
            if state == b"claimed":
                self._given.append((subtask.decode(), token.decode(), reply[0]))

    def _hand_back(self, _keys: Sequence[Any], args: Sequence[Any], reply: Any) -> None:
        if reply:
            self._handed_back.add(args[0])

    def _quarantine(self, keys: Sequence[Any], args: Sequence[Any], _reply: Any) -> None:
        if keys:
            self._handed_back.add(args[11])

    def _charge(self, keys: Sequence[Any], args: Sequence[Any], reply: Any) -> None:
        token, op, tokens, usd, calls = args[:5]
        if reply == b"ok" and (token, op) not in self.booked:
            worst = int(tokens), int(usd), int(calls)
            self.booked[token, op] = Booked(_subtask(keys[0]), worst, self._clock())
        if reply != b"revoked":
            self._hear(token, args[6:])

    def _report(self, _keys: Sequence[Any], args: Sequence[Any], reply: Any) -> None:
        if reply == b"ok":
            self._hear(args[2], args[4:])

    def _hear(self, token: str, settled: Sequence[Any]) -> None:
        self.heard.update((token, op) for op in settled[1::4])

    def _commit(self, _keys: Sequence[Any], args: Sequence[Any], reply: Any) -> None:
        task, raises, mail_read, alarm, outcome = (args[n] for n in (0, 3, 4, 5, 6))
        if not reply:
            return
        had_news = self._moved(task, args) or mail_read
        if not had_news and self._clock() < self._alarms.get(task, 0):
            self.wakes.append(Wake(task, "its version" if raises else ""))
        self._alarms[task] = int(alarm or 0)
        self._note_move(task, args)
        if outcome:
            self.endings.append((task, outcome))

    def _moved(self, task: str, args: Sequence[Any]) -> bool:
        """Say whether an agent had a place: what one can take is news to a task in its room."""
        rooms, sent = self._rooms[task], _section(args, _PUBLISH)
        enter, leave = _section(args, _ENTER), _section(args, _LEAVE)
        was_let_in = not rooms.isdisjoint(sent[::_SENT])
        self._rooms[task] = rooms.union(enter).difference(leave)
        return was_let_in or bool(enter) or bool(leave)

    def _note_move(self, task: str, args: Sequence[Any]) -> None:
        if args[2] in self._ops:
            return  # the same commit once more
        self._ops.add(args[2])
        settled, sent = _section(args, _SETTLED), _section(args, _PUBLISH)
        move = Move(
            task=task,
            at_ms=self._clock(),
            sent=tuple((sent[at + 2], sent[at]) for at in range(0, len(sent), _SENT)),
            settled=tuple(
                (settled[at], settled[at + 1], settled[at + 2])
                for at in range(0, len(settled), _ENDED)
            ),
            waiting=False,
        )
        self.moves.append(move)

    def _look(self, _keys: Sequence[Any], args: Sequence[Any], reply: Any) -> None:
        for number, revoke, claim in zip(args[1::2], args[2::2], reply, strict=True):
            if revoke and claim[0] == b"revoked":
                self.revoked.add(f"{args[0]}/{number}")

    def _post(self, _keys: Sequence[Any], args: Sequence[Any], reply: Any) -> None:
        if reply and args[1].startswith(b"cancel"):
            self.cancelled.setdefault(args[0], self._clock())


def _section(args: Sequence[Any], number: int) -> Sequence[Any]:
    """Return one of the sections that follow the head of a commit, each after its length."""
    at = _COMMIT_HEAD
    for _ in range(number):
        at += 1 + args[at]
    return args[at + 1 : at + 1 + args[at]]


def _subtask(claim_key: str) -> str:
    return claim_key.partition("claim:")[2]


def void(verdict: Verdict) -> list[str]:
    """Return the promises that had nothing to be checked on, of those the story is about."""
    return [name for name in verdict.void if not name.startswith(NOT_IN_THE_STORY)]
