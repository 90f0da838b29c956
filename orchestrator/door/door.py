"""The messages at the door, on the server: shown to one orchestrator at a time, settled once.

A message stays on its list, where anybody can count it, until the script that makes a task or a
letter of it takes it away. What a killed orchestrator was at is shown to the next one after a few
seconds; what it had settled is not there any more.
"""

import time
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from redis import Redis

from envelopes import limits
from envelopes.keys import Keys
from envelopes.scripts import Arg, Call, Scripts, new_op, raised
from orchestrator.door import answer
from orchestrator.door.judge import Admitted
from orchestrator.door.message import Refusal
from orchestrator.lua import LUA


@dataclass(frozen=True, slots=True)
class Lying:
    """A message at the door."""

    list: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class Taken:
    """Messages that are ours to judge for WAKE_LEASE_MS, oldest first."""

    now_ms: int
    next_ms: int | None
    """When one that another orchestrator is at may be had, where there is any."""
    messages: tuple[Lying, ...]


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a message. Neither task nor letter: it was gone, or the desk is full."""

    task: str = ""
    created: bool = False
    """False where its idempotency key stood for a task already."""
    letter: str = ""


class Door:
    """The door as one orchestrator sees it."""

    def __init__(self, client: Redis, keys: Keys) -> None:
        self._client: Any = client
        self._keys = keys
        self._scripts = Scripts(client, LUA, keys)
        self._name = new_op()

    def wait(self, timeout_ms: int) -> bool:
        """Wait until a message lies there, WAIT_MS_MAX at most; say whether one does.

        The oldest is moved onto its own place: that is all a list can be waited for without taking
        anything. Those that a sender has given a priority lie on lists of their own, and nobody can
        wait for those too; they are seen at the end of a wait.
        """
        queue, *others = self._keys.submission_lists
        seconds = max(1, min(timeout_ms, limits.WAIT_MS_MAX)) / 1000  # zero would be for ever
        if self._client.blmove(queue, queue, seconds, "RIGHT", "RIGHT") is not None:
            return True
        return bool(self._client.exists(*others))

    def take(self, count: int = limits.DOOR_BATCH) -> Taken:
        """Be shown messages that nobody else is at; those too large to be shown become letters."""
        lists = self._keys.submission_lists
        told = answer.too_large(time.time_ns() // 1_000_000)
        args: list[Arg] = [new_op(), self._name, count, self._keys.celery_result(""), told]
        now_ms, next_ms, *flat = self._scripts.run("take_submissions", lists, args)
        pairs = zip(flat[::2], flat[1::2], strict=True)
        return Taken(now_ms, next_ms, tuple(Lying(lists[n - 1], raw) for n, raw in pairs))

    def settle(self, judged: list[tuple[Lying, Admitted | Refusal]], now_ms: int) -> list[Settled]:
        """Make tasks and letters of messages, in one round trip."""
        calls = [
            self._accept(lying, verdict, now_ms)
            if isinstance(verdict, Admitted)
            else self._refuse(lying, verdict, now_ms)
            for lying, verdict in judged
        ]
        return [_settled(reply) for reply in raised(self._scripts.run_many(calls))]

    def letters(self) -> int:
        """Count the letters on the desk."""
        return int(self._client.zcard(self._keys.letters))

    def _accept(self, lying: Lying, admitted: Admitted, now_ms: int) -> Call:
        s = admitted.submission
        assert s.idempotency_key is not None, "the judge gives one to each"
        idem = self._keys.idempotency(s.tenant, s.idempotency_key)
        keys = [lying.list, self._keys.task(s.task_id), idem]
        keys += self._asked(admitted.id, answers=admitted.answers)
        asked: list[Arg] = [s.task_id, s.request, s.tenant, s.retention_ms, s.timeout_ms]
        told = answer.accepted(admitted.id, now_ms)
        return "accept_submission", keys, [lying.raw, *asked, *told]

    def _refuse(self, lying: Lying, refusal: Refusal, now_ms: int) -> Call:
        letter, message = new_op(), refusal.id or ""
        keys = [lying.list, *self._asked(message, answers=refusal.answers)]
        told = answer.refused(message, now_ms, refusal, letter)
        why = f"{refusal.why} (Celery's id {message})" if message else refusal.why
        args: list[Arg] = [lying.raw, letter, refusal.kind, refusal.reason, why]
        return "refuse_submission", keys, [*args, sha256(lying.raw).hexdigest(), told]

    def _asked(self, message: str, *, answers: bool) -> list[str]:
        return [self._keys.celery_result(message)] if answers else []


def _settled(reply: Any) -> Settled:
    if isinstance(reply, bytes):
        return Settled(letter=reply.decode())
    task, created, _ = reply
    return Settled(task=task.decode(), created=bool(created))
