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
    due                 zset    task id by alarm: when it must be looked at if nothing happens
    bell                list    wakes an idle orchestrator; a stroke says only "look"
    claim:{id}/{n}      hash    one open subtask: who runs it, what it has spent, see below
    agent.{name}        list    the agent's Celery queue: LPUSH in, RPOP out
    bell:{queue}        list    wakes a worker that waits for this queue
    letters             zset    open dead letter by the time it was filed
    letter:{id}         hash    one dead letter: kind, reason, why, task, subtask, queue, worker,
                                filed_ms, due_ms, story (JSON), bytes (the first
                                LETTER_BYTES_MAX), size, sha256, state open | decided, and then
                                verb, by, decided_why, decided_ms. What does not apply is absent
    agents              hash    agent -> JSON of what its workers last said of it
    workers             zset    worker by its last beat
    worker:{id}         string  JSON of what the worker last said of itself; expires
    idem:{tenant}:{h}   string  the task that an idempotency key (hashed) stands for
    tasks               zset    task id by the time it was accepted
    stats               hash    counters: submitted commits conflicts escalated concluded_<outcome>
                                pushed(_bytes) fetched(_bytes) handed_back(_bytes)
                                quarantined(_bytes) letters_not_kept replayed revoked_dropped claims
                                charges refused_charges fenced_charges late_charges reports
                                fenced_reports. pushed counts what COMMIT published, fetched every
                                message that was popped, whoever wrote it
    last:{caller}       hash    op and reply of the caller's last CLAIM or FETCH that handed
                                something out, so that a retry gets the same again; expires
    events:{id}         channel one JSON line for each commit that says something

    task:{id}   version      raised by every commit but one that only moves the alarm
                op           the last commit, by which its retry is known
                held_until   an orchestrator is thinking about it; set by CLAIM, removed by COMMIT
                posted       ops of recent posts, by which a retry is known
                request tenant accepted_ms retention_ms idem        written by SUBMIT, once
                outcome      only when the task is over; then nothing is written any more, and the
                             record expires retention_ms later
                all other    the core's own: "head", and "s:<step>" for each step

    claim:{..}  state        issued | claimed | reported | revoked
                nonce queue published_ms deadline_ms timeout_ms     written by COMMIT
                allow_t allow_u allow_c      digits, or empty where unbounded
                token worker since_ms beat_ms until_ms              while it is claimed
                t u c        charged, calls in flight at their worst case; absent until a charge
                calls        calls in flight: "op:t:u:c;op:t:u:c;"
                over         "t:u:c" really used beyond the allowance, so never booked
                handed       the token with which it was handed back

Crash rules. State and messages are written by one script, so there is no moment between them. A
process that dies with a task loses nothing: the alarm that CLAIM set brings the task back. A claim
is deleted by the commit that settles it; from then on its message counts as revoked.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from redis import Redis

from envelopes import limits
from envelopes.keys import Keys
from envelopes.ledger import Amounts, Limits
from envelopes.scripts import Arg, Call, Scripts, new_op, raised
from orchestrator.core.facts import Claim, ClaimState

_LUA = Path(__file__).parent / "lua"
OWN_FIELDS = frozenset(
    (
        *("version", "op", "held_until", "posted", "outcome"),
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


@dataclass(frozen=True, slots=True)
class Submitted:
    """What became of a submission: this task, or the one that its key already stood for."""

    task_id: str
    created: bool
    now_ms: int


@dataclass(frozen=True, slots=True)
class Due:
    """Tasks to look at now, held for WAKE_LEASE_MS, and when the next alarm rings."""

    task_ids: list[str]
    next_ms: int | None
    now_ms: int


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


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to publish, and the claim that goes with it."""

    queue: str
    subtask: int
    nonce: str
    allowance: Limits
    deadline_ms: int
    """The task's; the step's timeout runs from the fetch."""
    timeout_ms: int
    message: bytes


@dataclass(frozen=True, slots=True)
class LetterFiled:
    """A request for a person's decision."""

    letter: str
    kind: str
    why: str
    due_ms: int
    story: bytes


@dataclass(frozen=True, slots=True)
class LetterClosed:
    """A letter that is decided, by a person or by its declared default."""

    letter: str
    verb: str
    by: str
    why: str


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
    settled: tuple[int, ...]
    """Claims to forget. One that is still issued or claimed is a conflict: look, and revoke it."""
    publish: tuple[Outgoing, ...]
    letter: LetterFiled | None
    letter_closed: LetterClosed | None
    event: bytes
    outcome: str | None
    """Set when the task ends: mail and alarm go, the record expires after `retention_ms`."""
    retention_ms: int

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
                *(self.letter, self.letter_closed, self.outcome),
            )
        )


class Store:
    """The server as the orchestrator sees it. Threads may share it, but one only may claim."""

    def __init__(self, client: Redis, keys: Keys) -> None:
        self._client: Any = client  # its types leave open whether replies are decoded; ours are not
        self._keys = keys
        self._scripts = Scripts(client, _LUA, keys)
        self._name = new_op()
        self._claim_op = new_op()

    # --- accept, wake, load ---------------------------------------------------------------------

    def submit(self, submission: Submission) -> Submitted:
        """Accept a task, or say which one the idempotency key already stands for."""
        s, keys = submission, [self._keys.task(submission.task_id)]
        if s.idempotency_key is not None:
            keys.append(self._keys.idempotency(s.tenant, s.idempotency_key))
        args: list[Arg] = [s.task_id, s.request, s.tenant, s.retention_ms, *_pairs(s.fields)]
        task_id, created, now_ms = self._scripts.run("submit", keys, args)
        return Submitted(task_id.decode(), bool(created), now_ms)

    def claim(self, count: int) -> Due:
        """Take up to `count` tasks whose alarm has rung; one loop for each Store."""
        args: list[Arg] = [self._claim_op, count]
        reply = self._scripts.run("claim", [self._keys.last(self._name)], args)
        self._claim_op = new_op()
        now_ms, next_ms, task_ids = reply
        return Due([task_id.decode() for task_id in task_ids], next_ms, now_ms)

    def load(self, wanted: Sequence[tuple[str, int | None]]) -> list[Loaded | None]:
        """Read tasks (each with the version known, if any) and their mail in one round trip."""
        calls: list[Call] = [
            ("load", [self._keys.task(task_id), self._keys.mail(task_id)], [_or_empty(known)])
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

    # --- read -----------------------------------------------------------------------------------

    def agents(self) -> dict[str, dict[str, Any]]:
        """Return what workers last said of their agents."""
        known = self._hash(self._keys.agents) or {}
        return {name: json.loads(about) for name, about in known.items()}

    def task(self, task_id: str) -> dict[str, bytes] | None:
        """Return a task's whole record."""
        return self._hash(self._keys.task(task_id))

    def journal(self, task_id: str) -> list[bytes]:
        """Return a task's history, oldest first."""
        return list(self._client.lrange(self._keys.journal(task_id), 0, -1))

    def tasks(self, offset: int, count: int) -> list[str]:
        """List ids of tasks, newest first; the record of an old one may have expired."""
        return self._newest(self._keys.tasks, offset, count)

    def letters(self, offset: int, count: int) -> list[str]:
        """List ids of open dead letters, newest first."""
        return self._newest(self._keys.letters, offset, count)

    def letter(self, letter_id: str) -> dict[str, bytes] | None:
        """Return a dead letter, open or decided."""
        return self._hash(self._keys.letter(letter_id))

    def stats(self) -> dict[str, int]:
        """Return all counters that have counted anything."""
        counters = self._hash(self._keys.stats) or {}
        return {name: int(count) for name, count in counters.items()}

    def queue_depth(self, agent: str) -> int:
        """Count the messages that wait for an agent."""
        return int(self._client.llen(self._keys.queue(agent)))

    def events(self, task_id: str) -> "Events":
        """Listen to a task's commits: `with store.events(id) as events: events.get(1.0)`."""
        return Events(self._client, self._keys.events(task_id))

    def _hash(self, key: str) -> dict[str, bytes] | None:
        found = self._client.hgetall(key)
        return {name.decode(): value for name, value in found.items()} or None

    def _newest(self, key: str, offset: int, count: int) -> list[str]:
        if count <= 0:
            return []
        return [i.decode() for i in self._client.zrevrange(key, offset, offset + count - 1)]


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
    args: list[Arg] = [c.task_id, c.version, c.op, int(c.raises), c.mail_read]
    args += [_or_empty(c.alarm_ms), c.outcome or "", c.retention_ms, c.event]
    for section in (
        _pairs(c.fields),
        c.dropped,
        c.journal,
        c.settled,
        [arg for outgoing in c.publish for arg in _outgoing(outgoing)],
        () if c.letter is None else _filed(c.letter),
        () if c.letter_closed is None else _closed(c.letter_closed),
    ):
        args.append(len(section))
        args += section
    return args


def _outgoing(o: Outgoing) -> tuple[Arg, ...]:
    a = o.allowance
    bounds = _or_empty(a.tokens), _or_empty(a.usd_micros), _or_empty(a.calls)
    return (o.queue, o.subtask, o.nonce, *bounds, o.deadline_ms, o.timeout_ms, o.message)


def _filed(f: LetterFiled) -> tuple[Arg, ...]:
    return f.letter, f.kind, f.why, f.due_ms, f.story


def _closed(c: LetterClosed) -> tuple[Arg, ...]:
    return c.letter, c.verb, c.by, c.why


def _or_empty(figure: int | None) -> str:
    return "" if figure is None else str(figure)


def _pairs(fields: Mapping[str, bytes]) -> list[Arg]:
    if not OWN_FIELDS.isdisjoint(fields):
        raise AssertionError(f"the store's own: {sorted(OWN_FIELDS & fields.keys())}")
    return [part for pair in fields.items() for part in pair]


def _loaded(task_id: str, reply: list[Any]) -> Loaded:
    version, accepted_ms, retention_ms, now_ms, mail, flat = reply
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
