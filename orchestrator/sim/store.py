"""The store without a server: what the scripts do, said again in Python.

`SimStore` has the methods of `Store`, `SimClaims` those of `Claims`, and both pass the tests of the
real ones (tests/test_store_conformance.py). Time is whatever the injected clock says; nothing here
blocks, draws a random number or starts a thread, so a run of the simulation can be repeated.

`loses` is asked once for each call, by the script's name. Where it says yes the reply is lost: the
same call runs again, with the same operation id, and the caller gets the second reply.

State lies open for auditors to read: tasks, mail, due, claims, queues, letters, counters.
"""

import json
import re
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from heapq import heappop, heappush, nsmallest
from itertools import count as numbers_from
from itertools import islice
from typing import Any, Self, TypeVar

from envelopes import limits
from envelopes.claims import Arrival, Charged, Fetched, Reported
from envelopes.keys import TENANT_DEFAULT, Keys, base_of
from envelopes.ledger import Amounts, Limits
from envelopes.letter import Facet
from envelopes.strict import Refused
from orchestrator.books import OTHER, Spend
from orchestrator.caps import CLOSED, AgentSeen, CapKind
from orchestrator.core.commands import Note
from orchestrator.core.facts import Claim, ClaimState
from orchestrator.indexes import DEFAULT, TOO_LATE
from orchestrator.news import News
from orchestrator.sim.bulkheads import SimBulkheads
from orchestrator.sim.indexes import SimIndexes
from orchestrator.sim.lanes import SimLanes
from orchestrator.sim.news import ACCEPTED, DECIDED, ENDED, FILED, SimNews
from orchestrator.sim.spend import SimSpend, shares_of
from orchestrator.store import (
    OWN_FIELDS,
    Commit,
    Due,
    LetterClosed,
    LetterFiled,
    Loaded,
    Mark,
    MessageDecision,
    MessageSettled,
    Outgoing,
    Submission,
    Submitted,
)

Reply = TypeVar("Reply")
Ended = Sequence[tuple[str, Amounts]]

_CLAIM_HEADER = re.compile(rb'"buckstop_claim":\s*"([0-9a-zA-Z-]+/\d+):([0-9a-fA-F]+)"')
_ISSUED = re.compile(rb'issued_ms\\*":\s*(\d+)')
_ONE_WORD = re.compile(r"[\n|]")
_FIRST_WORD = re.compile(r"[a-z_]+")
_FIGURE = re.compile(rf"\d{{1,{limits.AMOUNT_DIGITS_MAX}}}", re.ASCII)
_OP = re.compile(rf"[\w.-]{{1,{limits.OP_CHARS_MAX}}}", re.ASCII)
_UNBOUNDED = Limits(limits.AMOUNT_CEILING, limits.AMOUNT_CEILING, limits.AMOUNT_CEILING)


@dataclass(slots=True)
class SimClaim:
    """One open subtask, as the hash claim:{task}/{n} holds it."""

    agent: str
    queue: str
    nonce: str
    allowance: Limits
    published_ms: int
    deadline_ms: int
    timeout_ms: int
    state: ClaimState = ClaimState.ISSUED
    token: str = ""
    worker: str = ""
    since_ms: int = 0
    beat_ms: int = 0
    until_ms: int = 0
    spent: Amounts = field(default_factory=Amounts)
    """All of it: booked and over, calls in flight at their worst."""
    flying: dict[str, Amounts] = field(default_factory=dict)
    models: dict[str, Amounts] = field(default_factory=dict)
    """By which model how much of it is charged; what named none is the rest."""
    model_of: dict[str, str] = field(default_factory=dict)
    """By which model a call in flight is booked, by its op."""
    handed: str = ""

    @property
    def charged(self) -> Amounts:
        """Return what counts as charged: everything, as far as the allowance holds."""
        return self.spent.clamped(self.allowance)

    def settle(self, settled: Ended) -> None:
        """Book the real figures of ended calls; one that is not in flight was settled before."""
        for op, real in settled:
            if (worst := self.flying.pop(op, None)) is not None:
                self.spent = self.spent - worst + real
                self._add_to(self.model_of.pop(op), real - worst)

    def name(self, op: str, worst: Amounts, model: str) -> None:
        """Say by which model a call is booked; those that come late have one name."""
        if model and model not in self.models and len(self.models) >= limits.CLAIM_MODELS_MAX:
            model = OTHER
        self.model_of[op] = model
        self._add_to(model, worst)

    def _add_to(self, model: str, more: Amounts) -> None:
        if model:
            self.models[model] = self.models.get(model, Amounts()) + more

    def holds(self, worst: Amounts) -> bool:
        """Say whether the allowance holds one more call, in every dimension."""
        after = self.spent + worst
        return after.within(self.allowance) and after.within(_UNBOUNDED)

    def held_by(self, token: str) -> bool:
        """Say whether this token is the right to act on the subtask."""
        return self.state is ClaimState.CLAIMED and self.token == token

    def give_back(self, token: str) -> tuple[bool, bool]:
        """Make the claim as if it had never been fetched; say whether it is, and is just now."""
        if token and self.handed == token:
            return True, False
        if not self.held_by(token):
            return False, False
        self.state, self.handed = ClaimState.ISSUED, token
        self.token, self.worker = "", ""
        self.since_ms = self.beat_ms = self.until_ms = 0
        return True, True


@dataclass(frozen=True, slots=True)
class Booking:
    """A call to book before it is made."""

    op: str
    worst: Amounts
    model: str


class SimStore(SimIndexes):
    """The orchestrator's side, and the state that both sides share."""

    def __init__(
        self,
        clock: Callable[[], int],
        keys: Keys | None = None,
        loses: Callable[[str], bool] = lambda _script: False,
    ) -> None:
        self.clock = clock
        self.keys = keys or Keys()
        self.loses = loses
        self.records: dict[str, dict[str, bytes]] = {}
        self.mail: dict[str, list[bytes]] = defaultdict(list)
        self.journals: dict[str, list[bytes]] = defaultdict(list)
        self.due: dict[str, int] = {}
        self.claims: dict[str, SimClaim] = {}
        self.queues: dict[str, deque[bytes]] = defaultdict(deque)
        self.desk: dict[str, dict[str, bytes]] = {}
        self.told: list[str] = []
        """Letters that the queue `dead-letters` tells of, oldest first."""
        self.said: dict[str, list[bytes]] = defaultdict(list)
        self.registered: dict[str, str] = {}
        self.beats: dict[str, tuple[int, str]] = {}
        self.counters: Counter[str] = Counter()
        self.bells: Counter[str] = Counter()
        self.lanes = SimLanes()
        self.bulkheads = SimBulkheads(self)
        self.judged: list[bytes] = []
        self.told_news = SimNews(clock)
        self.day_books = SimSpend(clock)
        self.recalled: set[str] = set()
        """Tasks for which something came free while they were held."""
        self._idempotency: dict[str, str] = {}
        self._expiry: list[tuple[int, str, str]] = []
        self._last: dict[str, tuple[str, Any, int]] = {}
        self._numbers = numbers_from(1)
        self._name = self.new_op()

    # --- what stands in for the server ----------------------------------------------------------

    def new_op(self) -> str:
        """Name one operation; the same run gives the same names."""
        return f"op{next(self._numbers)}"

    def send(self, script: str, body: Callable[[], Reply]) -> Reply:
        """Run a script's body, twice where the first reply is lost."""
        self._expire()
        if self.loses(script):
            body()
        return body()

    def ring(self, bell: str, strokes: int = 1) -> None:
        """Ring a bell; it keeps a bounded number of strokes."""
        self.bells[bell] = min(self.bells[bell] + strokes, limits.BELLS_MAX)

    def wake(self, task_id: str) -> None:
        """Wake a task because mail has come, unless an orchestrator holds it."""
        now_ms = self.clock()
        if int(self.records[task_id].get("held_until", b"0")) > now_ms:
            return
        self.due[task_id] = min(self.due.get(task_id, now_ms), now_ms)
        self.ring(self.keys.bell)

    def rouse(self, task_id: str) -> None:
        """Wake a task because something came free; whoever has claimed it is told at its COMMIT."""
        if "held_until" in self.records[task_id]:
            self.recalled.add(task_id)
        self.wake(task_id)

    def wake_by(self, task_id: str, at_ms: int) -> None:
        """Wake a task at this time, if nothing wakes it before."""
        self.due[task_id] = min(self.due.get(task_id, at_ms), at_ms)

    def is_open(self, task_id: str) -> bool:
        """Say whether there is such a task and it is not over."""
        return "outcome" not in self.records.get(task_id, {"outcome": b""})

    def file(self, letter_id: str, fields: Mapping[str, str | bytes | int]) -> None:
        """Put a dead letter on the desk, and tell of it, unless it is there already."""
        is_new = letter_id not in self.desk
        if is_new:
            self.told = [*self.told, letter_id][-limits.DEAD_LETTERS_MAX :]
        whose = self._addressee(str(fields["queue"])) if "queue" in fields else {}
        about = {**fields, **whose}
        about |= {facet: _ONE_WORD.sub(" ", str(about.get(facet, ""))) for facet in Facet}
        about.setdefault("filed_ms", self.clock())
        if whose:  # no task waits on a message, so no owner of one sees to its due time
            about["due_ms"] = int(about["filed_ms"]) + limits.MESSAGE_LETTER_MS
        self.desk[letter_id] = {
            name: value if isinstance(value, bytes) else str(value).encode()
            for name, value in {
                "state": "open",
                **about,
            }.items()
        }
        if about["reason"] != "unread":
            kind, reason = str(about["kind"]), str(about["reason"])
            self.counters[f"filed:{kind}:{reason}"] += 1
        told = {**self.desk[letter_id], "letter": letter_id.encode()}
        self.told_news.tell("letter.filed" if is_new else "letter.refiled", FILED, told)

    def _addressee(self, queue: str) -> dict[str, str]:
        """Say whose a message is by the queue it was found on."""
        ours, stem = queue.startswith(self.keys.queue("")), len(self.keys.queue(""))
        agent, _, tenant = queue[stem:].partition("@") if ours else ("", "", "")
        return {"agent": agent, "tenant": tenant or TENANT_DEFAULT}

    def last(self, caller: str, op: str) -> Any:
        """Return what was handed out to a caller under this op, or None."""
        known, reply, until_ms = self._last.get(caller, ("", None, 0))
        return reply if known == op and until_ms > self.clock() else None

    def keep_last(self, caller: str, op: str, reply: object) -> None:
        """Keep what is handed out, should the reply be lost."""
        self._last[caller] = (op, reply, self.clock() + limits.REPLY_KEPT_MS)

    def _expire(self) -> None:
        while self._expiry and self._expiry[0][0] <= self.clock():
            _, kind, name = heappop(self._expiry)
            if kind == "task":
                self.records.pop(name, None)
                self.journals.pop(name, None)
            elif kind == "letter":
                self.desk.pop(name, None)
            else:
                self._idempotency.pop(name, None)

    # --- accept, wake, load ---------------------------------------------------------------------

    def submit(self, submission: Submission) -> Submitted:
        """Accept a task, or say which one the idempotency key already stands for."""
        return self.send("submit", lambda: self._submit(submission))

    def _submit(self, s: Submission) -> Submitted:
        now_ms = self.clock()
        _figure("retention_ms", s.retention_ms)
        _figure("timeout_ms", s.timeout_ms)
        _only_the_cores(s.fields)
        idem = self.keys.idempotency(s.tenant, s.idempotency_key) if s.idempotency_key else ""
        holder = self._idempotency.get(idem, s.task_id)
        if holder != s.task_id:
            return Submitted(holder, created=False, now_ms=now_ms)
        if known := self.records.get(s.task_id):
            if known["request"] != s.request:
                raise Refused("task_id", "it stands for another request already")
            return Submitted(s.task_id, created=True, now_ms=now_ms)
        self._accept(s, idem, now_ms)
        return Submitted(s.task_id, created=True, now_ms=now_ms)

    def _accept(self, s: Submission, idem: str, now_ms: int) -> None:
        self.records[s.task_id] = {
            "version": b"1",
            "request": s.request,
            "tenant": s.tenant.encode(),
            "retention_ms": _text(s.retention_ms),
            "accepted_ms": _text(now_ms),
            "idem": idem.encode(),
            **s.fields,
        }
        if idem:
            self._idempotency[idem] = s.task_id
        self.counters["submitted"] += 1
        about = {"task": s.task_id.encode(), "tenant": s.tenant.encode()}
        self.told_news.tell("task.accepted", ACCEPTED, about)
        if self.bulkheads.has_place(s.tenant):
            self.records[s.task_id]["place"] = b"work"
            self.bulkheads.count_at_work(s.tenant, 1)
            self.due[s.task_id] = now_ms
            self.ring(self.keys.bell)
        else:
            self.records[s.task_id]["place"] = b"waiting"
            self.bulkheads.waiting[s.tenant].append(s.task_id)
            self.due[s.task_id] = now_ms + s.timeout_ms

    def claim(self, count: int, left: Collection[str] = ()) -> Due:
        """Take up to `count` tasks whose alarm has rung, except these."""
        op = self.new_op()
        return self.send("claim", lambda: self._claim(op, count, left))

    def _claim(self, op: str, count: int, left: Collection[str]) -> Due:
        _figure("count", count)
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
        self.records[task_id]["held_until"] = _text(self.due[task_id])
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
            fields={n: v for n, v in record.items() if n not in OWN_FIELDS} if news else None,
            mail=_bounded(self.mail.get(task_id, [])),
            now_ms=self.clock(),
            op=op,
            admitted=record.get("place") != b"waiting",
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

    # --- decide ---------------------------------------------------------------------------------

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
            int(record["version"]) == c.version
            and c.base.encode() in {b"", record.get("op")}
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

    def _write(self, c: Commit, record: dict[str, bytes]) -> None:
        recalled, freed = c.task_id in self.recalled, self._freed(c)
        self.recalled.discard(c.task_id)
        self._write_state(c, record)
        self._judge_agents(c, freed)
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
        record["op"], record["version"] = c.op.encode(), _text(c.version + int(c.raises))
        for name in (*c.dropped, "held_until"):
            record.pop(name, None)
        self._add_lines(c.task_id, c.journal)

    def _add_lines(self, task_id: str, lines: Sequence[bytes]) -> None:
        """Add to a task's journal; each line keeps its place, though the oldest are dropped."""
        if not lines:
            return
        record, journal = self.records[task_id], self.journals[task_id]
        record["noted"] = _text(int(record.get("noted", b"0")) + len(lines))
        self.journals[task_id] = [*journal, *lines][-limits.JOURNAL_MAX :]

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

    def _close(self, c: LetterClosed, expires_ms: int) -> None:
        self.desk.setdefault(c.letter, {}).update(
            {
                "state": b"decided",
                "verb": c.verb.encode(),
                "by": c.by.encode(),
                "decided_why": c.why.encode(),
                "decided_ms": _text(self.clock()),
            }
        )
        told = {**self.desk[c.letter], "letter": c.letter.encode()}
        self.told_news.tell("letter.decided", DECIDED, told)
        heappush(self._expiry, (expires_ms, "letter", c.letter))

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

    def post(self, task_id: str, letter: bytes, op: str) -> bool:
        """Put a letter into a task's mail and wake it; False where there is no such open task."""
        return self.send("post", lambda: self._post(task_id, letter, op))

    def _post(self, task_id: str, letter: bytes, op: str) -> bool:
        _named(op)
        record = self.records.get(task_id, {})
        posted = record.get("posted", b" ")
        if f" {op} ".encode() in posted:
            return True
        if not self.is_open(task_id):
            return False
        self.mail[task_id].append(letter)
        record["posted"] = (f" {op}".encode() + posted)[: limits.POSTED_REMEMBERED_CHARS]
        self.wake(task_id)
        return True

    def settle_message(self, decision: MessageDecision, op: str) -> MessageSettled | None:
        """Put a message that was set aside back on its queue, or let it go; the first one wins."""
        return self.send("settle_message", lambda: self._settle_message(decision, op))

    def _settle_message(self, d: MessageDecision, op: str) -> MessageSettled | None:
        if d.verb not in {"replay", "discard"}:
            raise Refused("verb", "of a message it is replay or discard")
        _named(op)
        letter = self.desk.get(d.letter)
        if letter is None:
            return None
        if "queue" not in letter:
            raise Refused("letter", "a task waits on it, and no message")
        if letter["state"] != b"open":
            verb, by, why = (letter[name].decode() for name in ("verb", "by", "decided_why"))
            ours, decided_ms = letter.get("decided_op") == op.encode(), int(letter["decided_ms"])
            return MessageSettled(verb, by, why, decided_ms, ours)
        if d.verb == "replay":
            self._put_back(letter)
        letter["decided_op"] = op.encode()
        self._close_message(LetterClosed(d.letter, d.verb, d.by, d.why))
        return MessageSettled(d.verb, d.by, d.why, self.clock(), ours=True)

    def _close_message(self, closed: LetterClosed) -> None:
        """Close the letter of a message, and tell of it in the journal of its task, if any."""
        self._close(closed, self.clock() + limits.RETENTION_S * 1000)
        self.counters[f"messages_{closed.verb}ed"] += 1
        task_id = self.desk[closed.letter].get("task", b"").decode()
        if task_id in self.records:
            self._add_lines(task_id, [self._noted(task_id, closed)])

    def _noted(self, task_id: str, closed: LetterClosed) -> bytes:
        """Write a line as the core does; the books are as the last line has them."""
        lines = self.journals.get(task_id, ())
        books = json.loads(lines[-1]) if lines else {}
        nothing = asdict(Amounts())
        text = f"{closed.verb} by {closed.by} of the message in letter {closed.letter}"
        said = {
            "at_ms": self.clock(),
            "why": f"message_{closed.verb}",
            "text": f"{text}: {closed.why}" if closed.why else text,
            "spent": books.get("spent", nothing),
            "reserved": books.get("reserved", nothing),
        }
        return json.dumps(dict.fromkeys(Note.__struct_fields__) | said).encode()

    def discard_due(self) -> int:
        """Let go of messages that nobody decided in time; DISCARD_MAX at most."""
        return self.send("discard_due", self._discard_due)

    def _discard_due(self) -> int:
        now_ms = self.clock()
        due = sorted(
            (int(fields["due_ms"]), name)
            for name, fields in self.desk.items()
            if "queue" in fields and fields["state"] == b"open" and int(fields["due_ms"]) <= now_ms
        )[: limits.DISCARD_MAX]
        for _, name in due:
            self._close_message(LetterClosed(name, "discard", DEFAULT, TOO_LATE))
        self.counters["messages_defaulted"] += len(due)
        return len(due)

    def prune_tasks(self) -> int:
        """Forget tasks whose record has expired: here no index outlives a record."""
        self._expire()
        return 0

    def _put_back(self, letter: Mapping[str, bytes]) -> None:
        raw, queue = letter["bytes"], letter["queue"].decode()
        if int(letter["size"]) != len(raw):
            kept = f"only the first {len(raw)} of {int(letter['size'])} bytes were kept"
            raise Refused("verb", kept)
        at_the_door = queue == self.keys.submissions
        if not (at_the_door or queue.startswith(self.keys.queue(""))):
            raise Refused("verb", "the message was found on a queue that is none of ours")
        self.queues[queue].appendleft(raw)
        if not at_the_door:
            self.lanes.open(queue)
            self.ring(self.keys.queue_bell(base_of(queue)))
        self.counters["messages_replayed_bytes"] += len(raw)

    def wait(self, timeout_ms: int) -> bool:  # noqa: ARG002 -- nothing here blocks
        """Say whether the bell has rung."""
        rang = self.bells[self.keys.bell] > 0
        self.bells[self.keys.bell] -= int(rang)
        return rang

    # --- bounds ---------------------------------------------------------------------------------

    def set_cap(self, kind: CapKind, name: str, cap: int | None) -> None:
        """Bound an agent or a tenant; None for what holds where nobody has set anything."""
        self.send("set_cap", lambda: self._set_cap(kind, name, cap))

    def _set_cap(self, kind: CapKind, name: str, cap: int | None) -> None:
        if kind not in {"agent", "tenant"}:
            raise Refused("kind", "neither agent nor tenant")
        if cap is None:
            self.bulkheads.caps.pop(f"{kind}:{name}", None)
        else:
            self.bulkheads.caps[f"{kind}:{name}"] = _figure("cap", cap)
        if kind == "tenant":
            self.bulkheads.admit(name)
        else:
            self.bulkheads.serve([name])

    def reset_breaker(self, agent: str) -> bool:
        """Close an agent's breaker and forget its faults; False where there was nothing known."""
        return self.send("reset_breaker", lambda: self._reset_breaker(agent))

    def _reset_breaker(self, agent: str) -> bool:
        if self.bulkheads.breakers.pop(agent, None) is None:
            return False
        self.counters["breaker_resets"] += 1
        self.bulkheads.serve([agent])
        return True

    # --- read -----------------------------------------------------------------------------------

    def agents(self) -> dict[str, AgentSeen]:
        """Return what is known of each agent."""
        heads = self.bulkheads
        return {
            name: AgentSeen(
                facts=json.loads(self.registered.get(name, "{}")),
                in_flight=heads.in_flight[name],
                cap=heads.cap_of(name),
                breaker=heads.breakers[name].seen() if name in heads.breakers else CLOSED,
            )
            for name in {**self.registered, **heads.in_flight, **heads.breakers}
        }

    def caps(self) -> dict[str, int]:
        """Return the caps that operators have set, by "agent:name" and "tenant:name"."""
        return dict(self.bulkheads.caps)

    def task(self, task_id: str) -> dict[str, bytes] | None:
        """Return a task's whole record."""
        self._expire()
        return dict(self.records[task_id]) if task_id in self.records else None

    def journal(self, task_id: str) -> list[bytes]:
        """Return a task's history, oldest first."""
        self._expire()
        return list(self.journals.get(task_id, ()))

    def journal_from(
        self, task_id: str, after: int | None, count: int
    ) -> tuple[list[tuple[int, bytes]], int | None]:
        """Return up to `count` lines of a task's history behind a place, each with its own."""
        _figure("count", count)
        wanted = _figure("after", 0 if after is None else after + 1)
        lines = self.journal(task_id)
        dropped = int(self.records.get(task_id, {}).get("noted", len(lines))) - len(lines)
        begin = max(wanted - dropped, 0)
        numbered = list(enumerate(lines, dropped))[begin : begin + count]
        more = bool(numbered) and begin + count < len(lines)
        return numbered, numbered[-1][0] if more else None

    def news(self, after: str, count: int, block_ms: int = 0) -> list[News]:  # noqa: ARG002 -- nothing here blocks
        """Return up to `count` lines of news behind this one."""
        return self.told_news.read(after, count)

    def last_news(self) -> str:
        """Return the id of the last line of news."""
        return self.told_news.last()

    def news_gap(self, after: str) -> bool:
        """Say whether lines of news behind this one may be gone."""
        return self.told_news.has_gap(after)

    def spend(self, days: int) -> list[Spend]:
        """Return what was spent today and on the days before it, this many together."""
        return self.day_books.read(days)

    def calibration(self) -> list[bytes]:
        """Return what people thought of results that agents were sure of, oldest first."""
        return list(self.judged)

    def letter(self, letter_id: str) -> dict[str, bytes] | None:
        """Return a dead letter, open or decided."""
        self._expire()
        return dict(self.desk[letter_id]) if letter_id in self.desk else None

    def stats(self) -> dict[str, int]:
        """Return all counters that have counted anything."""
        return {name: count for name, count in self.counters.items() if count}

    def queue_depth(self, agent: str) -> int:
        """Count the messages that wait for an agent, in all lanes."""
        queue = self.keys.queue(agent)
        return sum(
            len(messages) for lane, messages in self.queues.items() if base_of(lane) == queue
        )

    def events(self, task_id: str) -> "SimEvents":
        """Listen to a task's commits."""
        return SimEvents(self.said[task_id])


class SimEvents:
    """What a task's commits say, from the moment the `with` block is entered."""

    def __init__(self, said: list[bytes]) -> None:
        self._said = said
        self._heard = len(said)

    def __enter__(self) -> Self:
        self._heard = len(self._said)
        return self

    def __exit__(self, *_: object) -> None:
        self._heard = len(self._said)

    def get(self, timeout_s: float) -> bytes | None:  # noqa: ARG002 -- nothing here blocks
        """Return the next line, or None where there is none."""
        if self._heard == len(self._said):
            return None
        self._heard += 1
        return self._said[self._heard - 1]

    def __iter__(self) -> Iterator[bytes]:
        while (line := self.get(0)) is not None:
            yield line


class SimClaims:
    """A worker's side of the same state."""

    def __init__(self, store: SimStore, worker: str) -> None:
        self._store = store
        self._worker = worker

    def fetch(self, queues: Sequence[str], count: int) -> tuple[int, list[Fetched]]:
        """Take up to `count` messages, and the claims they stand for."""
        op = self._store.new_op()
        return self._store.send("fetch", lambda: self._fetch(op, queues, count))

    def _fetch(self, op: str, queues: Sequence[str], count: int) -> tuple[int, list[Fetched]]:
        if _figure("count", count) > limits.FETCH_MAX:
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
        header = _CLAIM_HEADER.match(raw, raw.find(b'"buckstop_claim"'))
        if header is None:
            return self._unread(queue, raw, "foreign", "", token)
        subtask, nonce = header[1].decode(), header[2].decode()
        state = self._arrival(subtask, nonce)
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

    def _arrival(self, subtask: str, nonce: str) -> Arrival:
        claim, counters = self._store.claims.get(subtask), self._store.counters
        if claim is not None and claim.nonce != nonce:
            return "foreign"
        if claim is None or claim.state is ClaimState.REVOKED:
            counters["revoked_dropped"] += 1
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
        _named(op)
        _whole("worst", worst)
        _settlements(settled)
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
        _settlements(settled)
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
                _figure("in_flight_max", cap)
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


def _check_figures(c: Commit) -> None:
    figures: list[object] = [c.version, c.mail_read, c.retention_ms]
    figures += [] if c.alarm_ms is None else [c.alarm_ms]
    figures += [] if c.letter is None else [c.letter.due_ms, c.letter.hop]
    for o in c.publish:
        a = o.allowance
        figures += [f for f in (a.tokens, a.usd_micros, a.calls) if f is not None]
        figures += [o.subtask, o.deadline_ms, o.timeout_ms]
    for each in c.settled:
        figures += [each.booked.tokens, each.booked.usd_micros, each.booked.calls]
    for figure in figures:
        _figure("figures", figure)
    if any(each.verdict not in {"ok", "fault", ""} for each in c.settled):
        raise Refused("settled", "a verdict is ok, fault or empty")
    _named(c.op)
    _only_the_cores(c.fields)


def _place_after(c: Commit, record: Mapping[str, bytes]) -> bytes:
    """Say where a task is after a commit: at work, waiting for a place, on the desk, or over."""
    before = record.get("place", b"")
    if c.outcome is not None:
        return b""
    if c.letter is not None:
        return b"desk"
    return b"work" if c.letter_closed is not None and before == b"desk" else before


def _only_the_cores(fields: Mapping[str, bytes]) -> None:
    if not OWN_FIELDS.isdisjoint(fields):
        raise AssertionError(f"the store's own: {sorted(OWN_FIELDS & fields.keys())}")


def _figure(what: str, figure: object) -> int:
    """Take a figure as a script does: by its digits."""
    text = str(figure)
    if not _FIGURE.fullmatch(text):
        raise Refused(what, "not a whole number from 0 up")
    return int(text)


def _whole(what: str, amounts: Amounts) -> None:
    for figure in (amounts.tokens, amounts.usd_micros, amounts.calls):
        _figure(what, figure)


def _settlements(settled: Ended) -> None:
    for op, real in settled:
        _named(op)
        _whole("settled", real)


def _named(op: str) -> None:
    if not _OP.fullmatch(op):
        raise Refused("op", "not a short name of letters, digits and _.-")


def _size(taken: Sequence[tuple[str, bytes]]) -> int:
    return sum(len(raw) for _, raw in taken)


def _bounded(mail: Sequence[bytes]) -> tuple[bytes, ...]:
    """Take as much mail as one decision may: letters and bytes, the last one in full."""
    taken, size = [], 0
    for letter in mail[: limits.MAIL_READ_MAX]:
        if size >= limits.MAIL_READ_BYTES_MAX:
            break
        taken.append(letter)
        size += len(letter)
    return tuple(taken)


def _text(figure: int) -> bytes:
    return str(figure).encode()
