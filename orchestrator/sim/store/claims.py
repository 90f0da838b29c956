"""A worker's side of the same state, as the scripts in workers/lua write it."""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from itertools import islice
from typing import TYPE_CHECKING, Any

from envelopes import limits
from envelopes.claims import Arrival, Charged, Fetched, Reported
from envelopes.keys import base_of
from envelopes.ledger import Amounts
from envelopes.strict import Refused
from orchestrator.core.facts import ClaimState
from orchestrator.sim.store.checks import Ended, figure, named, settlements, whole
from orchestrator.sim.store.claim import Booking, SimClaim
from orchestrator.sim.store.stale import claim_header

if TYPE_CHECKING:
    from orchestrator.sim.store import SimStore


class SimClaims:
    """A worker's side of the same state."""

    def __init__(self, store: "SimStore", worker: str) -> None:
        self._store = store
        self._worker = worker

    def fetch(self, queues: Sequence[str], count: int) -> tuple[int, list[Fetched]]:
        """Take up to `count` messages, and the claims they stand for."""
        op = self._store.new_op()
        return self._store.send("fetch", lambda: self._fetch(op, queues, count))

    def _fetch(self, op: str, queues: Sequence[str], count: int) -> tuple[int, list[Fetched]]:
        if figure("count", count) > limits.FETCH_MAX:
            raise Refused("count", f"not a whole number from 0 to {limits.FETCH_MAX}")
        kept = self._store.last(f"worker {self._worker}", op)
        if kept is not None:
            now_ms, fetched = kept
            return now_ms, list(fetched)
        taken = self._take(queues, count)
        fetched = [
            self._arrived(queue, raw, f"{op}.{self._store.clock()}.{number}")
            for number, (queue, raw) in enumerate(taken, 1)
        ]
        reply = self._store.clock(), [one for one in fetched if one is not None]
        if taken:
            self._store.keep_last(f"worker {self._worker}", op, reply)
        return reply[0], list(reply[1])

    def _take(self, queues: Sequence[str], count: int) -> list[tuple[str, bytes]]:
        """Pop a fair share from each queue, then fill up; stop at the bytes one fetch may carry."""
        store, taken = self._store, list[tuple[str, bytes]]()
        store.lanes.strike(store.queues)
        rounds = [store.lanes.round(queue, store.queues) for queue in queues]
        for most in (-(-count // max(len(queues), 1)), count):
            for lanes in rounds:
                for lane in islice(lanes, most):
                    if len(taken) >= count or _size(taken) >= limits.FETCH_BYTES_MAX:
                        break
                    taken.append((lane, store.queues[lane].pop()))
        for queue in queues if taken else ():
            self._note_served(queue, [lane for lane, _ in taken if base_of(lane) == queue])
        store.counters["fetched"] += len(taken)
        store.counters["fetched_bytes"] += _size(taken)
        return taken

    def _note_served(self, queue: str, served: list[str]) -> None:
        store = self._store
        store.lanes.served(queue, served, store.queues)
        if not any(store.queues[lane] for lane in store.lanes.in_turn(queue)):
            store.bells[store.keys.queue_bell(queue)] = 0

    def _arrived(self, queue: str, raw: bytes, token: str) -> Fetched | None:
        if len(raw) > limits.MESSAGE_BYTES_MAX:
            why = f"{len(raw)} bytes; at most {limits.MESSAGE_BYTES_MAX} are fetched"
            self._file(token, ("oversize", "oversize", why), queue, raw)
            return None
        header = claim_header(raw)
        if header is None:
            return self._unread(queue, raw, "foreign", "", token)
        subtask, nonce = header
        state = self._arrival(queue, subtask, nonce)
        if state == "claimed":
            self._take_claim(self._store.claims[subtask], token)
            return Fetched(queue, raw, state, subtask, token)
        if state == "revoked":
            return Fetched(queue, raw, state, subtask, "")
        return self._unread(queue, raw, state, subtask if state == "replayed" else "", token)

    def _unread(
        self, queue: str, raw: bytes, state: Arrival, subtask: str, letter_id: str
    ) -> Fetched:
        """Keep at once what cannot run: the worker may die before it has looked at it."""
        why = "its worker has not said yet what is wrong with it"
        letter = self._file(letter_id, ("undeliverable", "unread", why), queue, raw)
        return Fetched(queue, raw, state, subtask, "", letter)

    def _arrival(self, queue: str, subtask: str, nonce: str) -> Arrival:
        claim, counters = self._store.claims.get(subtask), self._store.counters
        if claim is not None and claim.nonce != nonce:
            return "foreign"
        if claim is None or claim.state is ClaimState.REVOKED:
            counters["revoked_dropped"] += 1
            self._store.stale[queue].pop(subtask, None)
            if claim is not None:
                claim.sha1 = ""
            return "revoked"
        if claim.state is not ClaimState.ISSUED:
            counters["replayed"] += 1
            return "replayed"
        counters["claims"] += 1
        return "claimed"

    def _take_claim(self, claim: SimClaim, token: str) -> None:
        now_ms = self._store.clock()
        claim.state, claim.token, claim.worker = ClaimState.CLAIMED, token, self._worker
        claim.since_ms = claim.beat_ms = now_ms
        claim.until_ms = min(claim.deadline_ms, now_ms + claim.timeout_ms)

    def _file(self, letter_id: str, what: tuple[str, str, str], queue: str, raw: bytes) -> str:
        about = dict(zip(("kind", "reason", "why"), what, strict=True)) | {"queue": queue}
        kept = raw[: limits.LETTER_BYTES_MAX]
        return self._set_aside(letter_id, {**about, "size": len(raw), "bytes": kept})

    def _set_aside(self, letter_id: str, fields: Mapping[str, str | bytes | int]) -> str:
        """Keep a message that must not run: as a letter, or with the desk full, as a number."""
        store = self._store
        store.counters["quarantined"] += 1
        store.counters["quarantined_bytes"] += int(fields["size"])
        if store.count_letters() >= limits.LETTERS_MAX:
            store.counters["letters_not_kept"] += 1
            return ""
        store.file(letter_id, fields)
        return letter_id

    def hand_back(self, subtask: str, token: str, queue: str, raw: bytes | None) -> bool:
        """Give a subtask back unstarted, with its message; False where it is no longer ours."""
        return self._store.send("hand_back", lambda: self._hand_back(subtask, token, queue, raw))

    def _hand_back(self, subtask: str, token: str, queue: str, raw: bytes | None) -> bool:
        store, claim = self._store, self._store.claims.get(subtask)
        ours, just_now = claim.give_back(token) if claim else (False, False)
        store.counters["handed_back"] += int(just_now)
        if just_now and raw is not None:
            store.queues[queue].append(raw)
            store.counters["handed_back_bytes"] += len(raw)
            store.lanes.open(queue)
            store.ring(store.keys.queue_bell(base_of(queue)))
        return ours

    def charge(  # noqa: PLR0917 -- a charge has this many parts
        self, subtask: str, token: str, op: str, worst: Amounts, settled: Ended, model: str = ""
    ) -> Charged:
        """Book a call at its worst case before it is made, after settling the calls that ended."""
        call = Booking(op, worst, model)
        return self._store.send("charge", lambda: self._charge(subtask, token, call, settled))

    def _charge(self, subtask: str, token: str, call: Booking, settled: Ended) -> Charged:
        op, worst = call.op, call.worst
        named(op)
        whole("worst", worst)
        settlements(settled)
        claim = self._store.claims.get(subtask)
        if claim is None or not claim.held_by(token):
            self._store.counters["fenced_charges"] += 1
            return "revoked"
        claim.settle(settled)
        if op in claim.flying:
            return "ok"
        return self._book(claim, call)

    def _book(self, claim: SimClaim, call: Booking) -> Charged:
        counters, op, worst = self._store.counters, call.op, call.worst
        if self._store.clock() > claim.until_ms:
            counters["late_charges"] += 1
            return "late"
        if not claim.holds(worst):
            counters["refused_charges"] += 1
            return "exhausted"
        claim.spent += worst
        claim.flying[op] = worst
        claim.name(op, worst, call.model)
        counters["charges"] += 1
        return "ok"

    def report(self, subtask: str, token: str, settled: Ended, envelope: bytes) -> Reported:
        """Hand the envelope to the owner; calls not settled by now count at their worst case."""
        return self._store.send("report", lambda: self._report(subtask, token, settled, envelope))

    def _report(self, subtask: str, token: str, settled: Ended, envelope: bytes) -> Reported:
        settlements(settled)
        if len(envelope) > limits.ENVELOPE_BYTES_MAX:
            most = limits.ENVELOPE_BYTES_MAX
            raise Refused("envelope", f"{len(envelope)} bytes, at most {most} are taken")
        store, claim = self._store, self._store.claims.get(subtask)
        if claim and claim.state is ClaimState.REPORTED and claim.token == token:
            return "ok"
        task_id, number = subtask.split("/")
        if claim is None or not claim.held_by(token) or not store.is_open(task_id):
            store.counters["fenced_reports"] += 1
            return "revoked"
        claim.settle(settled)
        claim.state = ClaimState.REPORTED
        c = claim.charged
        head = f"report {number} {token} {c.tokens} {c.usd_micros} {c.calls}\n"
        store.mail[task_id].append(head.encode() + envelope)
        store.wake(task_id)
        store.counters["reports"] += 1
        return "ok"

    def beat(self, claims: Sequence[tuple[str, str]], worker_json: str) -> list[str]:
        """Say that this process lives; return the subtasks (of task/n, token) it has lost."""
        return self._store.send("beat", lambda: self._beat(claims, worker_json))

    def _beat(self, claims: Sequence[tuple[str, str]], worker_json: str) -> list[str]:
        now_ms, lost = self._store.clock(), []
        self._store.beats[self._worker] = (now_ms, worker_json)
        for subtask, token in claims:
            claim = self._store.claims.get(subtask)
            if claim is not None and claim.held_by(token):
                claim.beat_ms = now_ms
            else:
                lost.append(subtask)
        return lost

    def register(self, agents: Mapping[str, Mapping[str, Any]]) -> None:
        """Say which agents this process runs."""
        for about in agents.values():
            if (cap := about.get("in_flight_max")) is not None:
                figure("in_flight_max", cap)
        for name, about in agents.items():
            self._store.registered[name] = json.dumps(about)
            self._store.bulkheads.declare(name, about.get("in_flight_max"))

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
        """Keep a message that must not run as a letter, and give back the claim that it took."""
        letter_id, (subtask, token) = letter or self._store.new_op(), claim or ("", "")
        fields: dict[str, str | bytes | int] = {
            "kind": kind,
            "reason": reason,
            "why": why[: limits.REASON_CHARS_MAX],
            "queue": queue,
            "size": len(raw),
            "sha256": sha256(raw).hexdigest(),
            "bytes": raw[: limits.LETTER_BYTES_MAX],
            "worker": self._worker,
            "task": subtask.partition("/")[0],
            "subtask": subtask,
        }
        return self._store.send(
            "quarantine", lambda: self._quarantine(letter_id, fields, subtask, token)
        )

    def _quarantine(
        self, letter_id: str, fields: Mapping[str, str | bytes | int], subtask: str, token: str
    ) -> str:
        known, claim = self._store.desk.get(letter_id), self._store.claims.get(subtask)
        if known is None:
            letter_id = self._set_aside(letter_id, fields)
        elif (known["reason"], known["state"]) == (b"unread", b"open"):
            self._store.file(letter_id, {**fields, "filed_ms": known["filed_ms"]})
        if claim is not None:
            claim.give_back(token)
        return letter_id


def _size(taken: Sequence[tuple[str, bytes]]) -> int:
    return sum(len(raw) for _, raw in taken)
