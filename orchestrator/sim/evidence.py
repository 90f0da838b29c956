"""What is known after a run, in plain values.

The auditor (auditor.py) reads nothing but this, so that one checker serves the simulation, a real
server after a chaos run, and `buckstop doctor` on a live one. Whoever ran the tasks collects it:
world.py does so here, from the simulated store.

Requests, journal lines and heads stand here as the JSON they are, not as the core's own types: the
auditor shares no line of code with what it audits. What a collector cannot see is None, and the
predicates that would need it say so.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.books import Spend
from orchestrator.news import News

Json = Mapping[str, Any]
Sum = tuple[int, int, int]
"""Tokens, micro-dollars, calls."""
Bound = tuple[int | None, int | None, int | None]
"""The same, None where there is no bound."""


@dataclass(frozen=True, slots=True)
class TaskEvidence:
    """One task: what was agreed, its history, and what is left of it."""

    id: str
    request: Json
    accepted_ms: int
    journal: tuple[Json, ...]
    head: Json | None
    """The core's own record; None while nobody has decided on the task."""
    outcome: str | None
    """The store's record that the task is over."""
    alarm: bool
    mail: int
    claims: int
    messages: int
    """Messages of this task that still lie on a queue."""


@dataclass(frozen=True, slots=True)
class Effect:
    """One paid call, by the model's own account."""

    subtask: str
    """task/n."""
    token: str
    op: str
    worst: Sum
    real: Sum | None
    """None where the call was booked and then never made."""
    at_ms: int | None
    """When it was booked, by the server's clock."""
    settled: bool
    """Whether the worker has told the real cost and was heard."""


@dataclass(frozen=True, slots=True)
class ClaimEvidence:
    """One time that a subtask was given to a worker."""

    subtask: str
    token: str
    since_ms: int
    started: bool
    handed_back: bool


@dataclass(frozen=True, slots=True)
class Inputs:
    """What an agent was given: which subtask had made the result of each need."""

    subtask: str
    made_by: Mapping[str, str | None]
    answers: tuple[str, ...] = ()
    """What people had answered to the step's questions."""
    shown: str | None = None
    """The result that it was to judge, as JSON text."""
    said: str | None = None
    """Its envelope as it handed it in; None where it never got so far."""


@dataclass(frozen=True, slots=True)
class LetterEvidence:
    """One dead letter."""

    id: str
    fields: Json
    listed: bool
    """Whether it is on the list of open letters."""


@dataclass(frozen=True, slots=True)
class Retry:
    """One call whose reply was lost and that was sent again."""

    call: str
    same_answer: bool
    changed_nothing: bool


@dataclass(frozen=True, slots=True)
class Wake:
    """One decision made without news: no mail, and before the alarm."""

    task: str
    changed: str
    """What it changed; empty where it changed nothing."""


@dataclass(frozen=True, slots=True)
class Move:
    """What one commit sent to agents, and what it said of those that it heard from."""

    task: str
    at_ms: int
    sent: tuple[tuple[int, str], ...]
    """(subtask, agent)."""
    settled: tuple[tuple[int, str, str], ...]
    """(subtask, agent, "ok", "fault" or nothing)."""
    waiting: bool
    """Whether the task was still waiting for one of its tenant's places."""


@dataclass(frozen=True, slots=True)
class Admission:
    """One time that a task got one of its tenant's places."""

    task: str
    tenant: str
    at_work: int
    """How many tasks of the tenant had a place then, this one among them."""
    most: int


@dataclass(frozen=True, slots=True)
class Bytes:
    """What happened to messages outside of the system: put on a queue by strangers, or stolen."""

    injected: int = 0
    stolen: int = 0
    queued: int = 0


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything the auditor may look at."""

    attempted: frozenset[str]
    acknowledged: frozenset[str]
    tasks: Mapping[str, TaskEvidence]
    claims: Sequence[ClaimEvidence]
    letters: Sequence[LetterEvidence]
    stats: Mapping[str, int]
    bytes: Bytes
    effects: Sequence[Effect] | None = None
    inputs: Sequence[Inputs] | None = None
    retries: Sequence[Retry] | None = None
    wakes: Sequence[Wake] | None = None
    endings: Sequence[tuple[str, str]] | None = None
    """(task, outcome) of every commit that was seen to end a task."""
    cancelled: Mapping[str, int] | None = None
    """When a caller's wish to stop had arrived, by task."""
    vanished: frozenset[str] = frozenset()
    """Subtasks whose claim record was destroyed on purpose."""
    moves: Sequence[Move] | None = None
    """Every commit, in order."""
    admissions: Sequence[Admission] | None = None
    agents: Mapping[str, Json] = field(default_factory=dict)
    """What their workers have said of them."""
    caps: Mapping[str, int] = field(default_factory=dict)
    """What agents may have in flight, as operators have set it."""
    spend: Mapping[tuple[str, str], Sum] | None = None
    """What the books of all days say together, by tenant and agent."""
    news: Sequence[tuple[str, str]] | None = None
    """(event, the letter or else the task it is about) of every line of news, but of refilings."""
    failures: Sequence[str] = ()
    """Decisions that could not be made because an exception came out of them."""
    neglected: Sequence[str] = ()
    """What was left lying while the run went on: tasks without an alarm, mail, claims."""


def task_evidence(
    task_id: str,
    record: Mapping[str, bytes],
    journal: Sequence[bytes],
    *,
    alarm: bool,
    mail: int,
    claims: int,
    messages: int,
) -> TaskEvidence:
    """Read a task's evidence from its hash and its journal as the store keeps them."""
    head, outcome = record.get("head"), record.get("outcome")
    return TaskEvidence(
        id=task_id,
        request=json.loads(record["request"]),
        accepted_ms=int(record["accepted_ms"]),
        journal=tuple(json.loads(line) for line in journal),
        head=None if head is None else json.loads(head),
        outcome=None if outcome is None else outcome.decode(),
        alarm=alarm,
        mail=mail,
        claims=claims,
        messages=messages,
    )


def spend_of(rows: Iterable[Spend]) -> dict[tuple[str, str], Sum]:
    """Add up the rows of the days' books by tenant and agent."""
    sums: dict[tuple[str, str], Sum] = {}
    for row in rows:
        tokens, usd, calls = sums.get((row.tenant, row.agent), (0, 0, 0))
        more = tokens + row.tokens, usd + row.usd_micros, calls + row.calls
        sums[row.tenant, row.agent] = more
    return sums


def told_of(news: Iterable[News]) -> list[tuple[str, str]]:
    """Read the news; that a letter was refiled says more of it, and is no event of its own."""
    lines = ((line.event, line.fields) for line in news if line.event != "letter.refiled")
    return [(event, fields.get("letter") or fields["task"]) for event, fields in lines]


def amounts(value: Json) -> Sum:
    """Read a sum as it stands in a journal or a head."""
    return value["tokens"], value["usd_micros"], value["calls"]


def bounds(value: Json) -> Bound:
    """Read a bound as it stands in a journal or a head."""
    return value["tokens"], value["usd_micros"], value["calls"]


def agent_caps(caps: Mapping[str, int]) -> dict[str, int]:
    """Pick, of the caps that operators have set, those of agents, by name."""
    return {
        name.removeprefix("agent:"): cap for name, cap in caps.items() if name.startswith("agent:")
    }
