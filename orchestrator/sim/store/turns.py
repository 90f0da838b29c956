"""Claim, load, look and wait, as the scripts of those names do."""

import re
from collections.abc import Collection, Sequence
from heapq import nsmallest
from typing import Final

from envelopes import limits
from orchestrator.core.facts import Claim, ClaimState
from orchestrator.sim.store.checks import figure, named
from orchestrator.sim.store.claim import SimClaim
from orchestrator.sim.store.part import SimPart, digits
from orchestrator.store import Due, Loaded, Mark
from orchestrator.store.fields import of_the_core

_ISSUED: Final = re.compile(rb'"buckstop":.*?issued_ms\\*":\s*(\d+)', re.DOTALL)


class SimTurns(SimPart):
    """What the loop asks."""

    def claim(self, count: int, left: Collection[str] = ()) -> Due:
        """Take up to `count` tasks whose alarm has rung, except these."""
        op = self.new_op()
        return self.send("claim", lambda: self._claim(op, count, left))

    def _claim(self, op: str, count: int, left: Collection[str]) -> Due:
        figure("count", count)
        now_ms = self.clock()
        claimed = self.last(self._name, op)
        if claimed is None:
            ringing = self._ringing(now_ms, count, left)
            claimed = [each for each in ringing if self._hold(each, now_ms)]
            if claimed:
                self.keep_last(self._name, op, claimed)
        next_ms = min((ms for each, ms in self.due.items() if each not in left), default=None)
        if all(alarm_ms > now_ms for alarm_ms in self.due.values()):
            self.bells[self.keys.bell] = 0
        return Due(list(claimed), next_ms, now_ms)

    def _ringing(self, now_ms: int, count: int, left: Collection[str]) -> list[str]:
        due = ((at_ms, each) for each, at_ms in self.due.items() if each not in left)
        ringing = nsmallest(count, due)
        return [task_id for at_ms, task_id in ringing if at_ms <= now_ms]

    def _hold(self, task_id: str, now_ms: int) -> bool:
        if task_id not in self.records:
            del self.due[task_id]
            return False
        self.due[task_id] = now_ms + limits.WAKE_LEASE_MS
        self.records[task_id]["held_until"] = digits(self.due[task_id])
        return True

    def load(self, wanted: Sequence[tuple[str, Mark | None]]) -> list[Loaded | None]:
        """Read tasks (each with the state known, if any) and their mail."""
        self._expire()
        return [self._load(task_id, known) for task_id, known in wanted]

    def _load(self, task_id: str, known: Mark | None) -> Loaded | None:
        record = self.records.get(task_id)
        if record is None:
            return None
        version, op = int(record["version"]), record.get("op", b"").decode()
        news = (version, op) != known
        return Loaded(
            task_id=task_id,
            version=version,
            accepted_ms=int(record["accepted_ms"]),
            retention_ms=int(record["retention_ms"]),
            request=record["request"] if news else None,
            fields=of_the_core(record) if news else None,
            mail=_bounded(self.mail.get(task_id, [])),
            now_ms=self.clock(),
            op=op,
            admitted=record.get("place") != b"waiting",
            held="held_until" in record,
        )

    def look(self, task_id: str, claims: Sequence[int], revoke: Sequence[int]) -> dict[int, Claim]:
        """Show these claims; those in `revoke` are taken away first, unless reported."""
        return self.send(
            "look",
            lambda: {
                number: self._look(f"{task_id}/{number}", revoke=number in revoke)
                for number in sorted({*claims, *revoke})
            },
        )

    def _look(self, subtask: str, *, revoke: bool) -> Claim:
        claim = self.claims.get(subtask)
        if claim is None:
            return Claim(state=ClaimState.ABSENT)
        if revoke and claim.state in {ClaimState.ISSUED, ClaimState.CLAIMED}:
            if claim.state is ClaimState.CLAIMED:
                lost = self.clock() - claim.beat_ms > limits.LEASE_MS
                self.counters["claims_lost" if lost else "claims_stopped"] += 1
            claim.state = ClaimState.REVOKED
        return Claim(
            state=claim.state,
            charged=claim.charged,
            since_ms=claim.since_ms,
            beat_ms=claim.beat_ms,
            queued=claim.state is not ClaimState.ISSUED or self._may_be_queued(claim),
        )

    def _may_be_queued(self, claim: SimClaim) -> bool:
        if self.clock() - claim.published_ms <= limits.PATIENCE_MS:
            return True
        queue = self.queues[claim.queue]
        issued = _ISSUED.search(queue[-1]) if queue else None
        return bool(queue) and (issued is None or int(issued[1]) <= claim.published_ms)

    def fail(self, task_id: str, op: str) -> int:
        """Count one more decision that could not be made; return how many failed in a row."""
        return self.send("fail", lambda: self._fail(task_id, op))

    def _fail(self, task_id: str, op: str) -> int:
        named(op)
        if not self.is_open(task_id):
            return 0
        record = self.records[task_id]
        count, last = record.get("failed", b"0 ").decode().split(" ")
        if last != op:
            count = str(int(count) + 1)
            record["failed"] = f"{count} {op}".encode()
        return int(count)

    def rest(self, task_id: str, alarm_ms: int, op: str) -> bool:
        """Let a task sleep beside its mail; False where more has come: it is looked at again."""
        return self.send("rest", lambda: self._rest(task_id, alarm_ms, op))

    def _rest(self, task_id: str, alarm_ms: int, op: str) -> bool:
        figure("alarm", alarm_ms)
        named(op)
        if not self.is_open(task_id):
            return True
        record, there = self.records[task_id], len(self.mail.get(task_id, ()))
        known, answer, last = record.get("rested", b"- 0 ").decode().split(" ")
        if last == op:
            return answer == "1"
        is_seen = known == str(there)
        record["rested"] = f"{there} {int(is_seen)} {op}".encode()
        record.pop("held_until", None)
        self.recalled.discard(task_id)
        self.due[task_id] = alarm_ms if is_seen else self.clock()
        if not is_seen:
            self.ring(self.keys.bell)
        return is_seen

    def wait(self, timeout_ms: int) -> bool:  # noqa: ARG002 -- nothing here blocks
        """Say whether the bell has rung."""
        rang = self.bells[self.keys.bell] > 0
        self.bells[self.keys.bell] -= int(rang)
        return rang


def _bounded(mail: Sequence[bytes]) -> tuple[bytes, ...]:
    """Take as much mail as one decision may: letters and bytes, the last one in full."""
    taken, size = [], 0
    for letter in mail[: limits.MAIL_READ_MAX]:
        if size >= limits.MAIL_READ_BYTES_MAX:
            break
        taken.append(letter)
        size += len(letter)
    return tuple(taken)
