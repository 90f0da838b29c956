"""A worker's side of the store: fetch, charge, report, beat.

Every call is one script (workers/lua) and writes claims, mail, alarms, letters and counters only;
no worker ever writes `task:*`. What each key holds stands in orchestrator/store/catalogue.py.

A claim's token is the right to act on a subtask. Once the owner has revoked the claim, every call
with the old token is refused and counted, however late it comes and from whichever zombie.
"""

import json
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from envelopes import limits
from envelopes.claims import Charged, Fetched, Reported
from envelopes.keys import Keys, base_of
from envelopes.ledger import Amounts
from envelopes.scripts import Arg, new_op
from envelopes.versions import SCHEMA_VERSION

__all__ = ["LUA", "Charged", "Claims", "Ended", "Fetched", "Reported"]

LUA = Path(__file__).parent / "lua"
"""The folder to make the `Scripts` from."""

_SEPARATES = re.compile(r"[\x00-\x1f\x7f;|]")
Ended = Sequence[tuple[str, Amounts]]
"""Calls that have ended: the op each was charged under, and what it really used."""


class Runs(Protocol):
    """What runs a script: Scripts itself, or a line that many threads share."""

    def run(self, name: str, keys: Sequence[str], args: Sequence[Arg]) -> Any:
        """Run one script and return its reply."""
        ...


class Claims:
    """The claims of one worker process. Threads may share it, but one thread only may fetch."""

    def __init__(self, scripts: Runs, keys: Keys, worker: str) -> None:
        self._scripts = scripts
        self._keys = keys
        self._worker = worker
        self._fetch_op = new_op()

    def fetch(self, queues: Sequence[str], count: int) -> tuple[int, list[Fetched]]:
        """Take up to `count` messages, and the claims they stand for; return the server's time too.

        What lies in a queue's lanes comes with it, in turn; a message names the lane it was in.
        A fetch that failed is repeated under the same op by the next one, so no message is lost
        with a reply. Run only what is `claimed`. Of the rest, check the signature even of what is
        `revoked`: a forgery that names an unknown claim looks the same.
        """
        keys = [self._keys.last(self._worker), *queues, *map(self._keys.lanes, queues)]
        reply = self._scripts.run("fetch", keys, [self._fetch_op, self._worker, count])
        self._fetch_op = new_op()
        six = [iter(reply[1:])] * 6
        return reply[0], [
            Fetched(queue.decode(), raw, *(part.decode() for part in about))
            for queue, raw, *about in zip(*six, strict=True)
        ]

    def hand_back(self, subtask: str, token: str, queue: str, raw: bytes | None) -> bool:
        """Give a subtask back unstarted, with its message; False where it is no longer ours.

        Hand back the youngest first: each goes to the end where the next message is popped.
        """
        keys = [self._keys.claim(subtask), queue, base_of(queue)]
        args: list[Arg] = [token, int(raw is not None), raw or b""]
        return bool(self._scripts.run("hand_back", keys, args))

    def charge(  # noqa: PLR0917 -- a charge has this many parts
        self, subtask: str, token: str, op: str, worst: Amounts, settled: Ended, model: str = ""
    ) -> Charged:
        """Book a call at its worst case before it is made, after settling the calls that ended.

        `model` is by whose name it stands in the books of the day; empty where nobody knows.
        """
        args = [token, op, *_digits(worst), _in_books(model), *_settlements(settled)]
        answer: Charged = self._scripts.run("charge", [self._keys.claim(subtask)], args).decode()
        return answer

    def report(self, subtask: str, token: str, settled: Ended, envelope: bytes) -> Reported:
        """Hand the envelope to the owner; calls not settled by now count at their worst case."""
        task, number = subtask.split("/")
        keys = [self._keys.claim(subtask), self._keys.mail(task)]
        args = [task, number, token, envelope, *_settlements(settled)]
        answer: Reported = self._scripts.run("report", keys, args).decode()
        return answer

    def beat(self, claims: Sequence[tuple[str, str]], worker_json: str) -> list[str]:
        """Say that this process lives; return the subtasks (of task/n, token) it has lost."""
        held = (part for claim in claims for part in claim)
        args: list[Arg] = [self._worker, worker_json, SCHEMA_VERSION, *held]
        return [subtask.decode() for subtask in self._scripts.run("beat", [], args)]

    def register(self, agents: Mapping[str, Mapping[str, Any]]) -> None:
        """Say which agents this process runs."""
        args: list[Arg] = []
        for name, about in agents.items():
            cap = about.get("in_flight_max")
            args += [name, json.dumps(about), "" if cap is None else str(cap)]
        self._scripts.run("register", [], args)

    def quarantine(  # noqa: PLR0917 -- a letter has this many parts
        self,
        reason: str,
        kind: str,
        queue: str,
        raw: bytes,
        why: str,
        claim: tuple[str, str] | None,
        letter: str = "",
    ) -> str:
        """Keep a message that must not run as a letter, and give back the claim that it took.

        `claim` is the subtask that the message stands for, and the token; a copy has an empty one.
        `letter` is the one that FETCH has filed already, which now gets its reason.

        Return the letter's id; it is empty where the desk is full and the message only counted.
        """
        subtask, token = claim or ("", "")
        task = subtask.partition("/")[0]
        args: list[Arg] = [letter or new_op(), kind, reason, why[: limits.REASON_CHARS_MAX], queue]
        args += [len(raw), sha256(raw).hexdigest(), raw[: limits.LETTER_BYTES_MAX]]
        args += [self._worker, task, subtask, token]
        keys = [self._keys.claim(subtask)] if claim else []
        filed: bytes = self._scripts.run("quarantine", keys, args)
        return filed.decode()


def _in_books(model: str) -> str:
    """Write a model's name as a script takes it: what separates names there is replaced."""
    plain = _SEPARATES.sub("_", model).encode(errors="replace")[: limits.MODEL_BYTES_MAX]
    return plain.decode(errors="ignore")


def _settlements(settled: Ended) -> list[Arg]:
    flat: list[Arg] = [len(settled)]
    for op, real in settled:
        flat += [op, *_digits(real)]
    return flat


def _digits(amounts: Amounts) -> tuple[str, str, str]:
    """Write a sum as a script reads it; what is no whole number is refused there."""
    return str(amounts.tokens), str(amounts.usd_micros), str(amounts.calls)
