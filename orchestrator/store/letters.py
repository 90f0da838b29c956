"""Dead letters: what is filed with a commit, what a person says of a message, what became of it.

A letter of a task is decided by mail to the task (tasks.py), and closed by the commit that absorbs
it; one of a message that was set aside is settled here. To find letters: indexes.py.
"""

from dataclasses import dataclass

from envelopes import limits
from envelopes.decision import Verb
from orchestrator.store.part import Part


@dataclass(frozen=True, slots=True)
class LetterFiled:
    """A request for a person's decision."""

    letter: str
    kind: str
    why: str
    due_ms: int
    story: bytes
    reason: str = ""
    """The rule that led to it."""
    agent: str = ""
    """Whom it is about, at which step and hop."""
    step: str = ""
    hop: int = 0


@dataclass(frozen=True, slots=True)
class LetterClosed:
    """A letter that is decided, by a person or by its declared default."""

    letter: str
    verb: str
    by: str
    why: str
    decided_as: str = ""
    """The decision's fingerprint (envelopes/decision.py); empty where nobody decided."""
    said: str = ""
    """What came with it, in short."""


@dataclass(frozen=True, slots=True)
class MessageDecision:
    """What a person says of a message that was set aside."""

    letter: str
    verb: Verb
    """Replay or discard; any other is refused."""
    by: str
    why: str


@dataclass(frozen=True, slots=True)
class MessageSettled:
    """What became of it, by whose word, and whether that was ours."""

    verb: str
    by: str
    why: str
    decided_ms: int
    ours: bool


class Letters(Part):
    """What waits for a person, or has waited."""

    def letter(self, letter_id: str) -> dict[str, bytes] | None:
        """Return a dead letter, open or decided."""
        return self._hash(self._keys.letter(letter_id))

    def settle_message(self, decision: MessageDecision, op: str) -> MessageSettled | None:
        """Put a message that was set aside back on its queue, or let it go; the first one wins.

        None where there is no such letter. Raise Refused where the letter is a task's, or the
        message was not kept to its last byte.
        """
        d, kept_ms = decision, limits.RETENTION_S * 1000
        reply = self._scripts.run(
            "settle_message", [], [d.letter, d.verb, d.by, d.why, op, kept_ms]
        )
        if not reply:
            return None
        verb, by, why, decided_ms, ours = reply
        said = verb.decode(), by.decode(), why.decode()
        return MessageSettled(*said, decided_ms=decided_ms, ours=bool(ours))

    def dead_letters(self) -> tuple[str, int]:
        """Return the name of the queue that tells of letters, and its depth."""
        return self._keys.dead_letters, int(self._client.llen(self._keys.dead_letters))

    def calibration(self) -> list[bytes]:
        """Return what people thought of results that agents were sure of, oldest first."""
        return list(self._client.lrange(self._keys.calibration, 0, -1))
