"""What was spent on each day, by tenant, agent and model.

The books are written by the commit that settles a subtask (lua/_books.lua), from the same figures
that the task's ledger takes. So all days together are all ledgers together: also what a worker had
spent that was killed, what a zombie could not spend any more, and what was refused.

A day is one by UTC and the server's clock, and a subtask's cost is booked on the day on which it
was settled.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from redis import Redis

from envelopes import limits
from envelopes.keys import Keys
from envelopes.scripts import Scripts
from envelopes.strict import Refused

OTHER: Final = "(other)"
"""Whose row it is that a day had no room for, and whose call that a subtask had none for."""
_1970: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Spend:
    """One row: what a tenant's subtasks at one agent have cost on a day, by one model."""

    day: str
    """As 2026-07-19."""
    tenant: str
    agent: str
    model: str
    """By whose name calls were booked; empty where the agent has named none."""
    tokens: int
    usd_micros: int
    calls: int
    ok: int
    """Subtasks of which the agent has made something. Each counts at its first model."""
    fault: int
    """Subtasks that failed by the agent's own fault."""
    other: int
    """Subtasks that were taken away from it, or stopped by their budget."""


class DayBooks:
    """The books on the server."""

    def __init__(self, client: Redis, keys: Keys, scripts: Scripts) -> None:
        self._client: Any = client  # its types leave open whether replies are decoded; ours are not
        self._keys = keys
        self._scripts = scripts

    def read(self, count: int) -> list[Spend]:
        """Return the rows of today and the days before it, oldest first."""
        days = days_until(self._scripts.run("today", [], []), count)
        with self._client.pipeline(transaction=False) as pipe:
            for day in days:
                pipe.hgetall(self._keys.spend(day))
            found: Sequence[Mapping[bytes, bytes]] = pipe.execute()
        return [row for day, rows in zip(days, found, strict=True) for row in rows_of(day, rows)]


def days_until(today: int, count: int) -> range:
    """Return this many days up to this one, each counted from 1970."""
    if not 0 < count <= limits.SPEND_DAYS_MAX:
        raise Refused("days", f"a whole number from 1 to {limits.SPEND_DAYS_MAX}, not {count}")
    return range(today - count + 1, today + 1)


def rows_of(day: int, rows: Mapping[bytes, bytes]) -> list[Spend]:
    """Read a day's hash, in the order of tenant, agent and model."""
    date = (_1970 + timedelta(days=day)).date().isoformat()
    read = (_row(date, field, figures) for field, figures in rows.items())
    return sorted(read, key=lambda row: (row.tenant, row.agent, row.model))


def _row(date: str, field: bytes, figures: bytes) -> Spend:
    tenant, agent, model = field.decode("utf-8", "backslashreplace").split("|")
    return Spend(date, tenant, agent, model, *map(int, figures.split()))
