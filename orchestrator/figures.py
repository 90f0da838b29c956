"""What is measured of a deployment: everything there is to count, as of one moment.

    figures = read(store)
    figures.agents["research"].oldest_s         how long the first message of its queue has waited

One script looks (lua/figures.lua), at what the scripts that do the work keep anyway, so that a
look costs the same however many tasks there are. Two more round trips bring what workers say of
themselves and the books of the day. Nothing here decides anything, and nothing is kept.

Not here: names and labels for Prometheus (http/figures.py), and what a person should do about a
figure (deploy/prometheus/rules.yml and docs/runbook.md).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from envelopes.letter import LetterKind
from envelopes.scripts import Scripts
from orchestrator.books import Spend
from orchestrator.news import place
from orchestrator.wanted import Stage


@dataclass(frozen=True, slots=True)
class LettersFigures:
    """Open letters of one kind."""

    open: int
    oldest_s: float


@dataclass(frozen=True, slots=True)
class AgentFigures:
    """One agent and its queue, in all lanes."""

    in_flight: int
    """Messages that are not settled, those that wait among them."""
    cap: int | None
    room: int
    """Tasks that wait for a place at it."""
    breaker_open: bool
    waiting: int
    oldest_s: float
    workers: int
    """Processes that run it and live."""


@dataclass(frozen=True, slots=True)
class CourierFigures:
    """What is to be told to the outside."""

    behind_s: float
    """How long the first line of news that no courier has read has been there; 0 where nobody is to
    be told."""
    waiting: int
    overdue_s: float
    subscriptions: int
    disabled: int
    failing: int


@dataclass(frozen=True, slots=True)
class Figures:
    """A deployment in figures; ages are by the server's clock."""

    counters: Mapping[str, int]
    """By the names in the store's catalogue; what has never happened is absent."""
    letters: Mapping[LetterKind, LettersFigures]
    letters_soon: int
    """Open letters whose default applies within LETTER_SOON_MS."""
    letters_overdue: int
    tasks: Mapping[Stage, int]
    at_work: int
    waiting_for_place: int
    alarms_rung: int
    """Tasks that should be looked at by now, and nobody has taken."""
    alarm_overdue_s: float
    serving: bool
    agents: Mapping[str, AgentFigures]
    queues: Mapping[str, int]
    """Messages on the queues that are no agent's."""
    courier: CourierFigures
    workers: int
    spend: Sequence[Spend]
    """The books of this day, by UTC; what only yesterday's have is there too, with nothing spent,
    so that what is spent on it next is seen to rise."""


def read(scripts: Scripts, workers: Sequence[Mapping[str, Any]], spend: Sequence[Spend]) -> Figures:
    """Look once; `workers` is what those that live say, `spend` the books of the last two days."""
    kinds, stages = list(LetterKind), list(Stage)
    reply = scripts.run("figures", [], [len(kinds), *kinds, *stages])
    now_ms, counters, letters, tasks, alarms, agents, queues, courier = reply
    running = Counter(name for one in workers for name in one.get("agents", ()))
    rung, first_ms, serving = alarms
    soon, overdue = letters[-1]
    return Figures(
        counters={name.decode(): int(n) for name, n in _pairs(counters)},
        letters={
            kind: LettersFigures(count, _age_s(now_ms, filed_ms))
            for kind, (count, filed_ms) in zip(kinds, letters[:-1], strict=True)
        },
        letters_soon=soon,
        letters_overdue=overdue,
        tasks=dict(zip(stages, tasks[:-2], strict=True)),
        at_work=tasks[-2],
        waiting_for_place=tasks[-1],
        alarms_rung=rung,
        alarm_overdue_s=_age_s(now_ms, first_ms),
        serving=bool(serving),
        agents=dict(sorted(_agent(now_ms, each, running) for each in agents)),
        queues={name.decode(): depth for name, depth in queues},
        courier=_courier(now_ms, courier),
        workers=len(workers),
        spend=_today(now_ms, spend),
    )


def _agent(now_ms: int, row: list[Any], running: Counter[str]) -> tuple[str, AgentFigures]:
    text, in_flight, cap, room, is_open, waiting, oldest_ms = row
    name = text.decode("utf-8", "backslashreplace")
    return name, AgentFigures(
        in_flight=in_flight,
        cap=None if cap == b"" else int(cap),
        room=room,
        breaker_open=bool(is_open),
        waiting=waiting,
        oldest_s=_age_s(now_ms, oldest_ms),
        workers=running[name],
    )


def _courier(now_ms: int, row: list[Any]) -> CourierFigures:
    unread, waiting, next_ms, subscriptions, disabled, failing = row
    unread_ms = place(unread.decode())[0] if unread and subscriptions else 0
    return CourierFigures(
        behind_s=_age_s(now_ms, unread_ms),
        waiting=waiting,
        overdue_s=_age_s(now_ms, next_ms),
        subscriptions=subscriptions,
        disabled=disabled,
        failing=failing,
    )


def _today(now_ms: int, spend: Sequence[Spend]) -> Sequence[Spend]:
    """Return the day's rows, and those of yesterday as nothing."""
    day = datetime.fromtimestamp(now_ms / 1000, UTC).date().isoformat()
    return [row if row.day == day else _nothing(row, day) for row in spend]


def _nothing(row: Spend, day: str) -> Spend:
    return replace(row, day=day, tokens=0, usd_micros=0, calls=0, ok=0, fault=0, other=0)


def _age_s(now_ms: int, since_ms: int) -> float:
    """Return how long ago a moment was; 0 where there is none, or it is still to come."""
    return max(0, now_ms - since_ms) / 1000 if since_ms else 0.0


def _pairs(flat: list[Any]) -> list[tuple[Any, Any]]:
    return list(zip(flat[::2], flat[1::2], strict=True))
