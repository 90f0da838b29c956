"""What was seen of every script, for the auditor: facts that no key holds afterwards.

Reads the arguments as they stand on top of each script (orchestrator/lua, workers/lua).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from envelopes.claims import Fetched
from orchestrator.sim.evidence import ClaimEvidence, Sum, Wake

_FETCHED = len(fields(Fetched))
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
        self._alarms: dict[str, int] = {}
        self.booked: dict[Call, Booked] = {}
        self.heard: set[Call] = set()
        """Calls whose real cost has reached the server."""
        self.revoked: set[str] = set()
        """Subtasks that an owner has taken away."""
        self.endings: list[tuple[str, str]] = []
        self.wakes: list[Wake] = []
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
            self._hear(token, args[5:])

    def _report(self, _keys: Sequence[Any], args: Sequence[Any], reply: Any) -> None:
        if reply == b"ok":
            self._hear(args[2], args[4:])

    def _hear(self, token: str, settled: Sequence[Any]) -> None:
        self.heard.update((token, op) for op in settled[1::4])

    def _commit(self, _keys: Sequence[Any], args: Sequence[Any], reply: Any) -> None:
        task, raises, mail_read, alarm, outcome = (args[n] for n in (0, 3, 4, 5, 6))
        if not reply:
            return
        if not mail_read and self._clock() < self._alarms.get(task, 0):
            self.wakes.append(Wake(task, "its version" if raises else ""))
        self._alarms[task] = int(alarm or 0)
        if outcome:
            self.endings.append((task, outcome))

    def _look(self, _keys: Sequence[Any], args: Sequence[Any], reply: Any) -> None:
        for number, revoke, claim in zip(args[1::2], args[2::2], reply, strict=True):
            if revoke and claim[0] == b"revoked":
                self.revoked.add(f"{args[0]}/{number}")

    def _post(self, _keys: Sequence[Any], args: Sequence[Any], reply: Any) -> None:
        if reply and args[1].startswith(b"cancel"):
            self.cancelled.setdefault(args[0], self._clock())


def _subtask(claim_key: str) -> str:
    return claim_key.partition("claim:")[2]
