"""Everything the orchestrator keeps, and the only way to it.

The catalogue. All names come from envelopes/keys.py and stand under one prefix; all times are
milliseconds of the server's clock.

    key                 type    what it holds
    ------------------  ------  -----------------------------------------------------------------
    task:{id}           hash    the task, see below
    mail:{id}           list    facts the task has not absorbed, oldest first. A letter is one line
                                and a payload under it:
                                  report <n> <token> <tokens> <usd micros> <calls>   an Envelope
                                  cancel                                             a Cancellation
                                  decide                                             a Decision
    journal:{id}        list    JSON lines: what was decided and why; the last JOURNAL_MAX
    news                stream  what has happened to tasks and letters, see orchestrator/news.py;
                                the last NEWS_MAX
    submit              list    what other services ask for: Celery messages "buckstop.submit",
                                LPUSHed by any client; each stays until it is a task or a letter.
                                Those with a priority lie on lists of Celery's beside it
    submit:held         hash    SHA-1 of a message there -> until when which orchestrator is at it
    celery-task-meta-{} string  without our prefix: what a Celery client with a result backend here
                                is told of its message, by Celery's id; expires
    due                 zset    task id by alarm: when it must be looked at if nothing happens
    serving             string  an orchestrator has looked for work lately; expires
    speaks:{n}          string  somebody who lives speaks schema version n; expires
                                (envelopes/versions.py)
    bell                list    wakes an idle orchestrator; a stroke says only "look"
    claim:{id}/{n}      hash    one open subtask: who runs it, what it has spent, see below
    agent.{name}        list    the agent's Celery queue: LPUSH in, RPOP out. Tasks of the default
                                tenant, and whatever strangers push
    agent.{name}@{t}    list    the lane of another tenant beside it
    lanes:{queue}       zset    lane by whose turn it is, the one served longest ago in front; only
                                while there is another lane than the queue itself
    bell:{queue}        list    wakes a worker that waits for this queue, or any lane of it
    inflight            hash    agent -> messages published to it and not settled; no field for none
    caps                hash    agent:{name}, tenant:{name} -> the cap that an operator has set
    declared_caps       hash    agent -> the cap on what it has in flight, as its workers said
    breakers            hash    agent -> one line of figures, see lua/_breaker.lua; only of agents
                                that ever had a fault
    room:{agent}        zset    task that waits for the agent, by its turn
    turns:{agent}       hash    clock: the turn called in last; last:{tenant}: the tenant's last
                                turn; prober: the task whose alarm is set to the next probe. Gone
                                with the room's last task
    called:{agent}      zset    task that was called in from the room and has not committed since,
                                by when; at most CALL_KEPT_MS
    atwork              hash    tenant -> its tasks at work; no field for none
    waiting:{tenant}    zset    task that waits for a place at work, by arrival
    arrivals            string  the number of the last of them
    calibration         list    JSON lines: a result's claimed confidence, and what a person thought
                                of it; the last CALIBRATION_MAX
    letters             zset    open dead letter by the time it was filed
    letters:{facet}:{v} zset    the same, of those whose kind, reason, agent or tenant is v; and one
                                for each two facets, letters:{facet}:{v}|{facet}:{v}
    letters:due         zset    open letter of a task by its due time, when the default applies
    letter_values:{f}   set     each value that an open letter has for the facet
    letter_facets       hash    open letter -> its facets, one on each line
    letter:{id}         hash    one dead letter: kind (envelopes/letter.py), reason (a slug), why,
                                agent, tenant, task, filed_ms, state open | decided, and then
                                verb, by, decided_why, decided_ms. due_ms is when the default
                                applies. A task's has step, hop and story (JSON), and then
                                decided_as (the decision's fingerprint, empty where nobody decided)
                                and said (what came with it: an answer, another result); a message's
                                has subtask, queue, worker, bytes (the first LETTER_BYTES_MAX),
                                size, sha256, and then decided_op. What does not apply is absent
    discards            zset    open letter of a message by its due time, when it is let go
    dead-letters        list    one small Celery message for each letter filed, for whoever wants
                                to be told; the last DEAD_LETTERS_MAX
    agents              hash    agent -> JSON of what its workers last said of it
    workers             zset    worker by its last beat
    worker:{id}         string  JSON of what the worker last said of itself; expires
    tokens              hash    bearer token by id: the secret's hash, when it ends or nothing, its
                                calls a minute; and below, JSON of all there is
                                (orchestrator/tokens.py); gone when it is revoked
    rate:{token}        string  when the calls a token has made would be paid off, in ms; expires
    failed:{address}    string  wrong credentials from an address; expires with its window
    session:{hash}      string  the token that a console's login stands for; expires
    code:{hash}         string  the token that a login code stands for; used once, or expires
    spend:{day}         hash    tenant|agent|model -> what was spent on that day, counted from 1970,
                                see lua/_books.lua; expires
    wait:{hash}         hash    an address at which one question is answered: letter, task, by,
                                until_ms, and once it is answered the op of that; expires
    subscriptions       hash    who is told of the news: JSON by id, with its webhook secret or its
                                Apprise URL (orchestrator/courier/subscription.py)
    disabled            hash    subscription that nothing is sent to -> since when, and why
    failing             hash    subscription -> since when its receiver has taken nothing
    courier             hash    place: the last line of news that has become deliveries, by which
                                op; edition: raised by each change of a subscription; removed: the
                                op of the last removal
    deliveries          zset    subscription by when there is something to do for it
    outbox:{sub}        zset    delivery that waits for the receiver, by when it is due
    sending:{sub}       zset    delivery that a courier is at, by when its lease ends
    delivered:{sub}     list    deliveries that are over, the newest in front; the last
                                DELIVERIES_KEPT
    delivery:{id}       hash    one message to one receiver: subscription, event, about (letter or
                                task), named (the first letters it tells of), letters (how many),
                                more (others of its cause were told of), body, state waiting |
                                sending | done | given_up | moot, attempts, token of the claim,
                                status and why of the last attempt, created_ms, due_ms, ended_ms
    cause:{sub}/{hash}  hash    delivery: the last message of a cause; free_ms: until when no other
                                one is sent; expires
    idem:{tenant}:{h}   string  the task that an idempotency key (hashed) stands for
    idem:..:cell        string  the cell of a task that is not in this one, beside its key that is
                                reserved here (lua/reserve.lua); both expire
    tasks               zset    task id by the time it was accepted
    tasks:stage:{s}     zset    the same, of those that are open, on_desk, or ended as s says;
                                tasks:tenant:{t} of one tenant's; tasks:stage:{s}|tenant:{t} of both
    expiring            zset    "outcome tenant task" of each finished task by when its record is
                                gone; then the indexes forget it
    stats               hash    counters: submitted commits conflicts escalated concluded_<outcome>
                                pushed(_bytes) fetched(_bytes) handed_back(_bytes)
                                quarantined(_bytes) letters_not_kept messages_discarded (of which
                                messages_defaulted by nobody, at their due time)
                                messages_replayed(_bytes) replayed revoked_dropped claims
                                charges refused_charges fenced_charges late_charges reports
                                fenced_reports. pushed counts what COMMIT published, fetched every
                                message that was popped, whoever wrote it. And
                                bulkhead_conflicts breaker_conflicts (both are conflicts too)
                                breaker_opened breaker_closed breaker_probes breaker_resets
                                door_accepted door_known (a key stood for a task already)
                                door_refused
                                copies_awaited
                                deliveries(_done, _failed, _given_up, _moot, _not_kept)
                                subscriptions_disabled; claims_lost (its worker fell silent) and
                                claims_stopped (its owner took it away); ended:<outcome>:<first word
                                of why> and filed:<kind>:<reason>, each in words of a closed set
    last:{caller}       hash    op and reply of the caller's last CLAIM or FETCH that handed
                                something out, so that a retry gets the same again; expires
    events:{id}         channel one JSON line for each commit that says something

    task:{id}   version      raised by every commit but one that only moves the alarm
                op           the last commit, by which its retry is known
                held_until   an orchestrator is thinking about it; set by CLAIM, removed by COMMIT
                posted       ops of recent posts, by which a retry is known
                recall       something came free for it while it was held; its COMMIT wakes it again
                noted        how many lines its journal has had, so that each keeps its place
                place        work, waiting (for a place of its tenant) or desk; none once it is over
                rooms called agents in whose room it is, or was called in from: " agent agent "
                request tenant accepted_ms retention_ms idem        written by SUBMIT, once
                outcome      only when the task is over; then nothing is written any more, and the
                             record expires retention_ms later
                all other    the core's own: "head", and "s:<step>" for each step

    claim:{..}  state        issued | claimed | reported | revoked
                agent queue nonce published_ms deadline_ms timeout_ms   written by COMMIT
                allow_t allow_u allow_c      digits, or empty where unbounded
                token worker since_ms beat_ms until_ms              while it is claimed
                t u c        charged, calls in flight at their worst case; absent until a charge
                calls        calls in flight: "op:t:u:c:n;op:t:u:c:n;", n is a place in models
                models       by which model how much is charged: "t:u:c:name;", see _settle.lua
                over         "t:u:c" really used beyond the allowance, so never booked
                handed       the token with which it was handed back

Crash rules. State and messages are written by one script, so there is no moment between them. A
process that dies with a task loses nothing: the alarm that CLAIM set brings the task back. A claim
is deleted by the commit that settles it; from then on its message counts as revoked.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

from redis import Redis

from envelopes import limits
from envelopes.decision import Verb
from envelopes.keys import Keys
from envelopes.ledger import Amounts, Limits
from envelopes.scripts import Arg, Call, Scripts, new_op, raised
from envelopes.versions import SCHEMA_VERSION
from orchestrator.books import DayBooks, Spend
from orchestrator.caps import AgentSeen, CapKind, agents_seen
from orchestrator.core.facts import Claim, ClaimState
from orchestrator.figures import Figures
from orchestrator.figures import read as read_figures
from orchestrator.indexes import Indexes
from orchestrator.news import News, NewsStream

_LUA = Path(__file__).parent / "lua"
OWN_FIELDS = frozenset(
    (
        *("version", "op", "held_until", "posted", "outcome"),
        *("recall", "place", "rooms", "called", "noted"),
        *("request", "tenant", "accepted_ms", "retention_ms", "idem"),
    )
)
"""Fields of a task's hash that belong to the store; no field of the core may be called so."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A task to accept. The id is made by the caller, so that a retry is known by it."""

    task_id: str
    request: bytes
    fields: Mapping[str, bytes]
    tenant: str
    idempotency_key: str | None
    retention_ms: int
    timeout_ms: int
    """From now to its deadline: the alarm of a task that waits for a place at work."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """What became of a submission: this task, or the one that its key already stood for."""

    task_id: str
    created: bool
    now_ms: int
    copies: int = 0
    """How many replicas have it, where the store was told to wait for some."""


@dataclass(frozen=True, slots=True)
class Due:
    """Tasks to look at now, held for WAKE_LEASE_MS, and when the next alarm rings."""

    task_ids: list[str]
    next_ms: int | None
    now_ms: int
    spoken: int = SCHEMA_VERSION
    """The schema version that everybody who lives can read."""


class Mark(NamedTuple):
    """By which a task's state is known: its version, and the op of the commit that made it.

    The version alone does not do. After a fail-over or a restore the server may be a commit behind,
    and the next commit then makes a second state of the same version.
    """

    version: int
    op: str = ""
    """Empty while nobody has committed."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A task as of one moment. Request and fields are None where the known version is current."""

    task_id: str
    version: int
    accepted_ms: int
    retention_ms: int
    request: bytes | None
    fields: dict[str, bytes] | None
    mail: tuple[bytes, ...]
    """Oldest first, bounded; say in the commit how many of them were absorbed."""
    now_ms: int
    op: str = ""
    """The last commit's."""
    admitted: bool = True
    """False while it waits for one of its tenant's places at work: it may publish nothing."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to publish, and the claim that goes with it."""

    agent: str
    queue: str
    """The agent's, or its tenant's lane beside it."""
    subtask: int
    nonce: str
    allowance: Limits
    deadline_ms: int
    """The task's; the step's timeout runs from the fetch."""
    timeout_ms: int
    message: bytes


Verdict = Literal["ok", "fault", ""]
"""What a settled subtask says of its agent. Empty says nothing: it was taken away, or stopped."""


@dataclass(frozen=True, slots=True)
class Settled:
    """A claim to forget, and what it says of its agent."""

    subtask: int
    agent: str
    """Whose claim it is; another one's is refused."""
    verdict: Verdict
    booked: Amounts = Amounts()  # noqa: RUF009 -- it is frozen
    """What the ledger takes for it; the day's books take the claim's own figures, and these only
    where its record is gone."""


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


@dataclass(frozen=True, slots=True)
class Commit:
    """One decision and everything that goes with it.

    All of it is written, or none where `version` is no longer the task's. A commit that says
    nothing but `alarm_ms` leaves the version as it is; see `raises`.
    """

    task_id: str
    version: int
    op: str
    """Names this commit; committing it twice is committing it once."""
    fields: Mapping[str, bytes]
    dropped: tuple[str, ...]
    mail_read: int
    alarm_ms: int | None
    journal: tuple[bytes, ...]
    settled: tuple[Settled, ...]
    """Claims to forget. One that is still issued or claimed is a conflict: look, and revoke it."""
    publish: tuple[Outgoing, ...]
    letter: LetterFiled | None
    letter_closed: LetterClosed | None
    event: bytes
    outcome: str | None
    """Set when the task ends: mail and alarm go, the record expires after `retention_ms`."""
    retention_ms: int
    enter: tuple[str, ...] = ()
    """Agents for which the task waits from now on: it is woken when they have a place, and again
    until it says `leave`, whether it got a place or not. Entering twice keeps the turn. If there is
    a place already, somebody is called in at once."""
    leave: tuple[str, ...] = ()
    """Agents for which it waits no more. One that ends leaves all rooms by itself."""
    judged: tuple[bytes, ...] = ()
    """JSON lines for the calibration: results that a person has judged with this letter."""
    stop_reason: str = ""
    """Why the task has ended, for the news of it."""
    base: str = ""
    """The op of the commit that was decided on, as LOAD said; empty for any."""

    @property
    def raises(self) -> bool:
        """Say whether the task's version is one higher after this commit.

        Reading mail does raise it, even mail that changed nothing: two orchestrators that read the
        same letters must not both trim, or the second would trim letters that nobody has read.
        """
        return any(
            (
                *(
                    self.fields,
                    self.dropped,
                    self.mail_read,
                    self.journal,
                    self.settled,
                    self.publish,
                ),
                *(self.enter, self.leave, self.judged),
                *(self.letter, self.letter_closed, self.outcome),
            )
        )


class Store(Indexes):
    """The server as the orchestrator sees it. Threads may share it, but one only may claim."""

    def __init__(self, client: Redis, keys: Keys, replicas: int = 0) -> None:
        """Use a server; a submission returns once this many replicas have it, or time is up."""
        self._replicas = replicas
        self._client: Any = client  # its types leave open whether replies are decoded; ours are not
        self._keys = keys
        self._scripts = Scripts(client, _LUA, keys)
        self._news = NewsStream(client, keys.news)
        self._books = DayBooks(client, keys, self._scripts)
        self._name = new_op()
        self._claim_op = new_op()

    # --- accept, wake, load ---------------------------------------------------------------------

    def submit(self, submission: Submission) -> Submitted:
        """Accept a task, or say which one the idempotency key already stands for."""
        s, keys = submission, [self._keys.task(submission.task_id)]
        if s.idempotency_key is not None:
            keys.append(self._keys.idempotency(s.tenant, s.idempotency_key))
        args: list[Arg] = [s.task_id, s.request, s.tenant, s.retention_ms, s.timeout_ms]
        args += _pairs(s.fields)
        task_id, created, now_ms = self._scripts.run("submit", keys, args)
        copies = self._copies() if self._replicas else 0
        return Submitted(task_id.decode(), bool(created), now_ms, copies)

    def _copies(self) -> int:
        """Return how many replicas have all that was written so far; wait until they are enough.

        What a replica confirms is how far it has read the one stream of writes, so a write of our
        own behind all others is asked about, whoever made those, and whatever happened to replies.
        """
        with self._client.pipeline(transaction=False) as pipe:
            pipe.hincrby(self._keys.stats, "copies_awaited", 1)
            pipe.execute_command("WAIT", self._replicas, limits.COPIES_WAIT_MS)
            return int(pipe.execute()[1])

    def claim(self, count: int, left: Collection[str] = ()) -> Due:
        """Take up to `count` tasks whose alarm has rung, except these; one loop for each Store."""
        args: list[Arg] = [self._claim_op, count, SCHEMA_VERSION, *left]
        reply = self._scripts.run("claim", [self._keys.last(self._name)], args)
        self._claim_op = new_op()
        now_ms, next_ms, task_ids, spoken = reply
        return Due([task_id.decode() for task_id in task_ids], next_ms, now_ms, spoken)

    def load(self, wanted: Sequence[tuple[str, Mark | None]]) -> list[Loaded | None]:
        """Read tasks (each with the state known, if any) and their mail in one round trip."""
        calls: list[Call] = [
            (
                "load",
                [self._keys.task(task_id), self._keys.mail(task_id)],
                [f"{known.version} {known.op}" if known else ""],
            )
            for task_id, known in wanted
        ]
        replies = raised(self._scripts.run_many(calls))
        return [
            None if reply is None else _loaded(task_id, reply)
            for (task_id, _), reply in zip(wanted, replies, strict=True)
        ]

    def look(self, task_id: str, claims: Sequence[int], revoke: Sequence[int]) -> dict[int, Claim]:
        """Show these claims; those in `revoke` are taken away first, unless reported."""
        numbers = sorted({*claims, *revoke})
        taken = set(revoke)
        args: list[Arg] = [task_id]
        for number in numbers:
            args += [number, int(number in taken)]
        replies = self._scripts.run("look", [], args)
        return dict(zip(numbers, map(_seen, replies), strict=True))

    # --- decide ---------------------------------------------------------------------------------

    def commit(self, commits: Sequence[Commit]) -> list[bool]:
        """Write decisions, each by itself; False where somebody else has decided meanwhile."""
        calls: list[Call] = []
        for c in commits:
            keys = [self._keys.task(c.task_id), self._keys.mail(c.task_id)]
            calls.append(("commit", [*keys, self._keys.journal(c.task_id)], _commit_args(c)))
        return [bool(reply) for reply in raised(self._scripts.run_many(calls))]

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

    def post(self, task_id: str, letter: bytes, op: str) -> bool:
        """Put a letter into a task's mail and wake it; False where there is no such open task."""
        keys = [self._keys.task(task_id), self._keys.mail(task_id)]
        return bool(self._scripts.run("post", keys, [task_id, letter, op]))

    def wait(self, timeout_ms: int) -> bool:
        """Wait for the bell, WAIT_MS_MAX at most; say whether it rang."""
        if timeout_ms <= 0:  # to BLPOP zero means for ever
            return self._client.lpop(self._keys.bell) is not None
        seconds = min(timeout_ms, limits.WAIT_MS_MAX) / 1000
        return self._client.blpop([self._keys.bell], timeout=seconds) is not None

    def ring(self) -> None:
        """Wake one idle orchestrator."""
        self._client.rpush(self._keys.bell, "1")

    # --- bounds ---------------------------------------------------------------------------------

    def set_cap(self, kind: CapKind, name: str, cap: int | None) -> None:
        """Bound an agent or a tenant; None for what holds where nobody has set anything.

        What already is in flight or at work stays; whoever the new cap has room for is woken.
        """
        admitted = limits.ADMIT_MAX
        while admitted == limits.ADMIT_MAX:
            admitted = self._scripts.run("set_cap", [], [kind, name, _or_empty(cap)])

    def reset_breaker(self, agent: str) -> bool:
        """Close an agent's breaker and forget its faults; False where there was nothing known."""
        return bool(self._scripts.run("reset_breaker", [], [agent]))

    # --- read -----------------------------------------------------------------------------------

    def agents(self) -> dict[str, AgentSeen]:
        """Return what is known of each agent, as of one moment."""
        k = self._keys
        with self._client.pipeline(transaction=True) as pipe:
            for key in (k.agents, k.inflight, k.caps, k.declared_caps, k.breakers):
                pipe.hgetall(key)
            return agents_seen(*pipe.execute())

    def workers(self) -> list[dict[str, Any]]:
        """Return what every worker that lives last said of itself."""
        known = self._client.zrange(self._keys.workers, 0, -1)
        said = self._client.mget([self._keys.worker(i.decode()) for i in known]) if known else []
        return [json.loads(about) for about in said if about is not None]

    def caps(self) -> dict[str, int]:
        """Return the caps that operators have set, by "agent:name" and "tenant:name"."""
        return {name: int(cap) for name, cap in (self._hash(self._keys.caps) or {}).items()}

    def tenants(self) -> dict[str, dict[str, int]]:
        """Return how many tasks each tenant has at work, may have there, and has waiting."""
        at_work, caps = self._hash(self._keys.atwork) or {}, self.caps()
        return {
            name: {
                "at_work": int(count),
                "cap": caps.get(f"tenant:{name}", limits.TENANT_TASKS_MAX),
                "waiting": int(self._client.zcard(self._keys.waiting(name))),
            }
            for name, count in at_work.items()
        }

    def task(self, task_id: str) -> dict[str, bytes] | None:
        """Return a task's whole record."""
        return self._hash(self._keys.task(task_id))

    def journal(self, task_id: str) -> list[bytes]:
        """Return a task's history, oldest first."""
        return list(self._client.lrange(self._keys.journal(task_id), 0, -1))

    def journal_from(
        self, task_id: str, after: int | None, count: int
    ) -> tuple[list[tuple[int, bytes]], int | None]:
        """Return up to `count` lines of a task's history behind a place, each with its own.

        Places are counted from 0 and stay for ever, though the oldest lines may be gone. With them
        comes what to say as `after` for more, or None where there is no more by now.
        """
        keys = [self._keys.task(task_id), self._keys.journal(task_id)]
        first, lines, more = self._scripts.run(
            "journal", keys, [0 if after is None else after + 1, count]
        )
        numbered = list(enumerate(lines, first))
        return numbered, numbered[-1][0] if numbered and more else None

    def news(self, after: str, count: int, block_ms: int = 0) -> list[News]:
        """Return up to `count` lines of news behind this one, waiting for the first if need be."""
        return self._news.read(after, count, block_ms)

    def follow_news(self, after: str) -> Iterator[News]:
        """Yield news behind this line, for ever."""
        return self._news.follow(after)

    def last_news(self) -> str:
        """Return the id of the last line of news; behind it comes what is still to happen."""
        return self._news.last()

    def news_gap(self, after: str) -> bool:
        """Say whether lines of news behind this one may be gone."""
        return self._news.has_gap(after)

    def spend(self, days: int) -> list[Spend]:
        """Return what was spent today and on the days before it, this many together."""
        return self._books.read(days)

    def figures(self) -> Figures:
        """Count everything that is measured."""
        return read_figures(self._scripts, self.workers(), self.spend(2))

    def calibration(self) -> list[bytes]:
        """Return what people thought of results that agents were sure of, oldest first."""
        return list(self._client.lrange(self._keys.calibration, 0, -1))

    def letter(self, letter_id: str) -> dict[str, bytes] | None:
        """Return a dead letter, open or decided."""
        return self._hash(self._keys.letter(letter_id))

    def stats(self) -> dict[str, int]:
        """Return all counters that have counted anything."""
        counters = self._hash(self._keys.stats) or {}
        return {name: int(count) for name, count in counters.items()}

    def queue_depth(self, agent: str) -> int:
        """Count the messages that wait for an agent, in all lanes."""
        queue = self._keys.queue(agent)
        lanes = {queue.encode(), *self._client.zrange(self._keys.lanes(queue), 0, -1)}
        with self._client.pipeline(transaction=False) as pipe:
            for lane in lanes:
                pipe.llen(lane)
            return sum(pipe.execute())

    def queues(self) -> list[tuple[str, str, int]]:
        """Return each agent's queue, and its lanes that have messages: agent, name, depth."""
        agents = sorted(name.decode() for name in self._client.hkeys(self._keys.agents))
        queues = [self._keys.queue(agent) for agent in agents]
        with self._client.pipeline(transaction=False) as pipe:
            for queue in queues:
                pipe.zrange(self._keys.lanes(queue), 0, -1)
            lanes = [sorted({each.decode() for each in found}) for found in pipe.execute()]
        named = [
            (agent, name)
            for agent, queue, beside in zip(agents, queues, lanes, strict=True)
            for name in dict.fromkeys((queue, *beside))
        ]
        with self._client.pipeline(transaction=False) as pipe:
            for _, name in named:
                pipe.llen(name)
            depths = pipe.execute()
        return [(*each, int(depth)) for each, depth in zip(named, depths, strict=True)]

    def dead_letters(self) -> tuple[str, int]:
        """Return the name of the queue that tells of letters, and its depth."""
        return self._keys.dead_letters, int(self._client.llen(self._keys.dead_letters))

    def submissions(self) -> tuple[str, int]:
        """Return the name of the queue on which others put requests, and its depth."""
        with self._client.pipeline(transaction=False) as pipe:
            for name in self._keys.submission_lists:
                pipe.llen(name)
            return self._keys.submissions, sum(pipe.execute())

    def serving(self) -> bool:
        """Say whether an orchestrator has looked for work lately."""
        return bool(self._client.exists(self._keys.serving))

    def events(self, task_id: str) -> "Events":
        """Listen to a task's commits: `with store.events(id) as events: events.get(1.0)`."""
        return Events(self._client, self._keys.events(task_id))

    def _hash(self, key: str) -> dict[str, bytes] | None:
        found = self._client.hgetall(key)
        return {name.decode(): value for name, value in found.items()} or None


class Events:
    """What a task's commits say, from the moment the `with` block is entered.

    What was said before is in the task's record: read it after entering, and nothing is missed.
    """

    def __init__(self, client: Any, channel: str) -> None:
        self._pubsub: Any = client.pubsub()
        self._channel = channel

    def __enter__(self) -> Self:
        self._pubsub.subscribe(self._channel)
        self._pubsub.get_message(timeout=limits.SOCKET_TIMEOUT_S)  # the server's word: subscribed
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pubsub.close()

    def get(self, timeout_s: float) -> bytes | None:
        """Return the next line, or None where none came in time."""
        message = self._pubsub.get_message(ignore_subscribe_messages=True, timeout=timeout_s)
        return None if message is None else bytes(message["data"])

    def __iter__(self) -> Iterator[bytes]:
        while True:
            if (line := self.get(limits.SOCKET_TIMEOUT_S)) is not None:
                yield line


def _commit_args(c: Commit) -> list[Arg]:
    """Lay a commit out as commit.lua reads it: the head, then counted sections."""
    args: list[Arg] = [c.task_id, f"{c.version} {c.base}", c.op, int(c.raises), c.mail_read]
    args += [_or_empty(c.alarm_ms), c.outcome or "", c.stop_reason, c.retention_ms, c.event]
    for section in (
        _pairs(c.fields),
        c.dropped,
        c.journal,
        [arg for settled in c.settled for arg in _settled(settled)],
        [arg for outgoing in c.publish for arg in _outgoing(outgoing)],
        () if c.letter is None else _filed(c.letter),
        () if c.letter_closed is None else _closed(c.letter_closed),
        c.enter,
        c.leave,
        c.judged,
    ):
        args.append(len(section))
        args += section
    return args


def _settled(s: Settled) -> tuple[Arg, ...]:
    b = s.booked
    return s.subtask, s.agent, s.verdict, str(b.tokens), str(b.usd_micros), str(b.calls)


def _outgoing(o: Outgoing) -> tuple[Arg, ...]:
    a = o.allowance
    bounds = _or_empty(a.tokens), _or_empty(a.usd_micros), _or_empty(a.calls)
    head = o.agent, o.queue, o.subtask, o.nonce
    return (*head, *bounds, o.deadline_ms, o.timeout_ms, o.message)


def _filed(f: LetterFiled) -> tuple[Arg, ...]:
    return f.letter, f.kind, f.why, f.due_ms, f.story, f.reason, f.agent, f.step, f.hop


def _closed(c: LetterClosed) -> tuple[Arg, ...]:
    return c.letter, c.verb, c.by, c.why, c.decided_as, c.said


def _or_empty(figure: int | None) -> str:
    return "" if figure is None else str(figure)


def _pairs(fields: Mapping[str, bytes]) -> list[Arg]:
    if not OWN_FIELDS.isdisjoint(fields):
        raise AssertionError(f"the store's own: {sorted(OWN_FIELDS & fields.keys())}")
    return [part for pair in fields.items() for part in pair]


def _loaded(task_id: str, reply: list[Any]) -> Loaded:
    version, op, accepted_ms, retention_ms, now_ms, admitted, mail, flat = reply
    found = dict(zip(map(bytes.decode, flat[::2]), flat[1::2], strict=True)) if flat else {}
    return Loaded(
        task_id=task_id,
        version=int(version),
        accepted_ms=int(accepted_ms),
        retention_ms=int(retention_ms),
        request=found.get("request"),
        fields={n: v for n, v in found.items() if n not in OWN_FIELDS} if flat else None,
        mail=tuple(mail),
        now_ms=now_ms,
        op=op.decode(),
        admitted=bool(admitted),
    )


def _seen(reply: list[Any]) -> Claim:
    state, tokens, usd_micros, calls, since_ms, beat_ms, queued = reply
    return Claim(
        state=ClaimState(state.decode()),
        charged=Amounts(int(tokens), int(usd_micros), int(calls)),
        since_ms=int(since_ms),
        beat_ms=int(beat_ms),
        queued=bool(queued),
    )
