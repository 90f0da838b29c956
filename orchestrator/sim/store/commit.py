"""One decision and everything that goes with it, as lua/commit.lua writes it."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from heapq import heappush
from typing import Final

from envelopes import limits
from envelopes.keys import base_of
from envelopes.strict import Refused
from orchestrator.core.facts import ClaimState
from orchestrator.sim.store.checks import figure, named
from orchestrator.sim.store.claim import SimClaim
from orchestrator.sim.store.letters import SimLetters
from orchestrator.sim.store.news import ENDED
from orchestrator.sim.store.part import digits
from orchestrator.sim.store.spend import shares_of
from orchestrator.sim.store.stale import SimStale
from orchestrator.store import Commit, LetterFiled, Outgoing
from orchestrator.store.fields import only_the_cores

_FIRST_WORD: Final = re.compile(r"[a-z_]+")


class SimCommits(SimLetters, SimStale):
    """Where decisions are written."""

    def commit(self, commits: Sequence[Commit]) -> list[bool]:
        """Write decisions, each by itself; False where somebody else has decided meanwhile."""
        return [self.send("commit", lambda c=c: self._commit(c)) for c in commits]  # type: ignore[misc]

    def _commit(self, c: Commit) -> bool:
        _check_figures(c)
        record = self.records.get(c.task_id)
        if record is not None and record.get("op") == c.op.encode():
            return True
        against = "" if record is None else self._held_by(c, record)
        if record is None or against is not None:
            self.counters["conflicts"] += 1
            self.counters[against or ""] += int(bool(against))
            return False
        self._write(c, record)
        self.counters["commits"] += 1
        if c.event:
            self.said[c.task_id].append(c.event)
        return True

    def _held_by(self, c: Commit, record: Mapping[str, bytes]) -> str | None:
        """Return what stands against a commit: None, or a counter, which may have no name."""
        if not self._may_commit(c, record):
            return ""
        freed = self._freed(c)
        for agent, sent in Counter(o.agent for o in c.publish).items():
            cap = self.bulkheads.cap_of(agent)
            if cap is not None and self.bulkheads.in_flight[agent] - freed[agent] + sent > cap:
                return "bulkhead_conflicts"
            if sent > self.bulkheads.breaker(agent).lets_out(self.clock()):
                return "breaker_conflicts"
        return None

    def _may_commit(self, c: Commit, record: Mapping[str, bytes]) -> bool:
        running = {ClaimState.ISSUED, ClaimState.CLAIMED}
        claims = (self.claims.get(f"{c.task_id}/{each.subtask}") for each in c.settled)
        return (
            _is_the_base(c, record)
            and "outcome" not in record
            and len(self.mail.get(c.task_id, ())) >= c.mail_read
            and not any(claim and claim.state in running for claim in claims)
        )

    def _freed(self, c: Commit) -> Counter[str]:
        """Count what a commit settles of each agent, even where a claim was lost."""
        for each in c.settled:
            claim = self.claims.get(f"{c.task_id}/{each.subtask}")
            if claim is not None and claim.agent != each.agent:
                raise Refused("settled", "a claim is of another agent")
        return Counter({each.subtask: each.agent for each in c.settled}.values())

    def _queues_of(self, c: Commit) -> list[str]:
        """Name the queues of what a commit settles."""
        claims = (self.claims.get(f"{c.task_id}/{each.subtask}") for each in c.settled)
        return list(dict.fromkeys(claim.queue for claim in claims if claim is not None))

    def _write(self, c: Commit, record: dict[str, bytes]) -> None:
        recalled, freed = c.task_id in self.recalled, self._freed(c)
        settled_on = self._queues_of(c)
        self.recalled.discard(c.task_id)
        self._write_state(c, record)
        self._judge_agents(c, freed)
        self._withdraw([queue for queue in settled_on if queue in self.stale])
        self._publish_all(c)
        self._move_letters(c)
        if c.outcome is None:
            self._set_alarm(c, recalled=recalled)
        else:
            self._conclude(c, record)
        self._move_rooms(c, record, freed)
        self._move_place(c, record)

    def _write_state(self, c: Commit, record: dict[str, bytes]) -> None:
        record.update(c.fields)
        record["op"], record["version"] = c.op.encode(), digits(c.version + int(c.raises))
        for name in (*c.dropped, "held_until", "failed", "rested"):
            record.pop(name, None)
        self._add_lines(c.task_id, c.journal)

    def _judge_agents(self, c: Commit, freed: Counter[str]) -> None:
        """Forget claims, and let each say what it says of its agent."""
        heads, seen = self.bulkheads, set[int]()
        for each in c.settled:
            if each.subtask in seen:
                continue
            seen.add(each.subtask)
            subtask = f"{c.task_id}/{each.subtask}"
            claim, tenant = self.claims.pop(subtask, None), self.records[c.task_id]["tenant"]
            spent = (each.booked, {}) if claim is None else (claim.charged, claim.models)
            if claim is not None:
                self._note_stale(subtask, claim)
            self.day_books.book(tenant.decode(), each.agent, each.verdict, shares_of(*spent))
            breaker = heads.breaker(each.agent)
            breaker.judge(subtask, each.verdict, self.clock(), self.counters)
            if each.verdict == "fault":
                heads.breakers[each.agent] = breaker
        for agent, ended in freed.items():
            heads.count(agent, -ended)

    def _publish_all(self, c: Commit) -> None:
        for agent, sent in Counter(o.agent for o in c.publish).items():
            if sent == 1:
                [probe] = [o.subtask for o in c.publish if o.agent == agent]
                self.bulkheads.note_probe(agent, f"{c.task_id}/{probe}")
            self.bulkheads.count(agent, sent)
        for outgoing in c.publish:
            self._publish(c.task_id, outgoing)

    def _publish(self, task_id: str, o: Outgoing) -> None:
        self.claims[f"{task_id}/{o.subtask}"] = SimClaim(
            agent=o.agent,
            queue=o.queue,
            nonce=o.nonce,
            allowance=o.allowance,
            published_ms=self.clock(),
            deadline_ms=o.deadline_ms,
            timeout_ms=o.timeout_ms,
            sha1=o.sha1,
        )
        self.queues[o.queue].appendleft(o.message)
        self.lanes.open(o.queue)
        self.ring(self.keys.queue_bell(base_of(o.queue)))
        self.counters["pushed"] += 1
        self.counters["pushed_bytes"] += len(o.message)

    def _move_rooms(self, c: Commit, record: Mapping[str, bytes], freed: Counter[str]) -> None:
        """Enter and leave rooms, and call in whoever can use what came free."""
        heads, over = self.bulkheads, c.outcome is not None
        rooms, called = heads.rooms_of(c.task_id), heads.answer_calls(c.task_id)
        for agent in rooms if over else ():
            heads.leave(agent, c.task_id)
        for agent in called if not over else ():
            if agent not in c.leave:
                heads.return_to(agent, c.task_id)
        for agent in c.enter:
            heads.enter(agent, c.task_id, record["tenant"].decode())
        for agent in c.leave:
            heads.leave(agent, c.task_id)
        heads.serve(dict.fromkeys([*rooms, *called, *c.enter, *c.leave, *freed]))

    def _move_place(self, c: Commit, record: dict[str, bytes]) -> None:
        heads, tenant = self.bulkheads, record["tenant"].decode()
        before, after = record.get("place", b""), _place_after(c, record)
        if before == after:
            return
        record["place"] = after
        if not after:
            del record["place"]
        if after == b"work":
            heads.count_at_work(tenant, 1)
        elif before == b"waiting":
            heads.waiting[tenant].remove(c.task_id)
        elif before == b"work":
            heads.count_at_work(tenant, -1)
            heads.admit(tenant)

    def _move_letters(self, c: Commit) -> None:
        if c.letter is not None:
            self._file_request(c.letter, c.task_id)
        if (closed := c.letter_closed) is not None:
            self._close(closed, self.clock() + c.retention_ms)
            said = {"decided_as": closed.decided_as, "said": closed.said}
            self.desk[closed.letter] |= {name: text.encode() for name, text in said.items()}
        self.judged = [*self.judged, *c.judged][-limits.CALIBRATION_MAX :]

    def _file_request(self, f: LetterFiled, task_id: str) -> None:
        about = {"kind": f.kind, "reason": f.reason, "why": f.why, "agent": f.agent, "step": f.step}
        about |= {"task": task_id, "tenant": self.records[task_id]["tenant"].decode()}
        self.file(f.letter, {**about, "hop": f.hop, "due_ms": f.due_ms, "story": f.story})
        self.counters["escalated"] += 1

    def _set_alarm(self, c: Commit, *, recalled: bool) -> None:
        mail = self.mail[c.task_id]
        del mail[: c.mail_read]
        if not mail:
            del self.mail[c.task_id]
        if mail or recalled:
            self.due[c.task_id] = self.clock()
            self.ring(self.keys.bell)
        elif c.alarm_ms is None:
            self.due.pop(c.task_id, None)
        else:
            self.due[c.task_id] = c.alarm_ms

    def _conclude(self, c: Commit, record: dict[str, bytes]) -> None:
        record["outcome"] = (c.outcome or "").encode()
        self.counters[f"concluded_{c.outcome}"] += 1
        first_word = _FIRST_WORD.match(c.stop_reason)
        self.counters[f"ended:{c.outcome}:{first_word[0] if first_word else 'other'}"] += 1
        self.mail.pop(c.task_id, None)
        self.due.pop(c.task_id, None)
        expires_ms = self.clock() + c.retention_ms
        heappush(self._expiry, (expires_ms, "task", c.task_id))
        if idem := record["idem"].decode():
            heappush(self._expiry, (expires_ms, "idem", idem))
        about = {"outcome": record["outcome"], "stop_reason": c.stop_reason.encode()}
        about |= {"task": c.task_id.encode(), "tenant": record["tenant"]}
        self.told_news.tell("task.ended", ENDED, about)


def _check_figures(c: Commit) -> None:
    figures: list[object] = [c.version, c.mail_read, c.retention_ms]
    figures += [] if c.alarm_ms is None else [c.alarm_ms]
    figures += [] if c.letter is None else [c.letter.due_ms, c.letter.hop]
    for o in c.publish:
        a = o.allowance
        figures += [f for f in (a.tokens, a.usd_micros, a.calls) if f is not None]
        figures += [o.subtask, o.deadline_ms, o.timeout_ms]
    for settled in c.settled:
        b = settled.booked
        figures += [b.tokens, b.usd_micros, b.calls]
    for each in figures:
        figure("figures", each)
    if any(each.verdict not in {"ok", "fault", ""} for each in c.settled):
        raise Refused("settled", "a verdict is ok, fault or empty")
    named(c.op)
    only_the_cores(c.fields)


def _is_the_base(c: Commit, record: Mapping[str, bytes]) -> bool:
    """Say whether a task is as it was when this was decided; of one version there may be two."""
    base = int(record["version"]), record.get("op", b"").decode()
    return base == (c.version, base[1] if c.base is None else c.base)


def _place_after(c: Commit, record: Mapping[str, bytes]) -> bytes:
    """Say where a task is after a commit: at work, waiting for a place, on the desk, or over."""
    before = record.get("place", b"")
    if c.outcome is not None:
        return b""
    if c.letter is not None:
        return b"desk"
    return b"work" if c.letter_closed is not None and before == b"desk" else before
