"""Many cells' answers as one. Pure.

A place in a list is a moment and an id, and is good in every cell, whoever gave it: each cell says
what stands behind it, and the newest of all that are the next page. So one cursor goes through all
lists; what stays where it is while somebody reads is shown once, as it is within one cell.
"""

import heapq
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from itertools import islice
from typing import TypeVar

from orchestrator.books import Spend
from orchestrator.caps import AgentSeen, BreakerSeen
from orchestrator.store import Overview
from orchestrator.wanted import Place, most_first

Key = TypeVar("Key", bound=Hashable)

_SPENT = ("tokens", "usd_micros", "calls", "ok", "fault", "other")


def newest(lists: Iterable[Sequence[Place]], count: int) -> list[Place]:
    """Return the first `count` of lists that each have the newest in front."""
    merged = heapq.merge(*lists, key=lambda at: (at.ms, at.id.encode()), reverse=True)
    return list(islice(merged, count))


def summed(counts: Iterable[Mapping[Key, int]]) -> dict[Key, int]:
    """Add up what is counted by the same names."""
    total: Counter[Key] = Counter()
    for each in counts:
        total.update(each)
    return dict(total)


def overview(seen: Iterable[Overview]) -> Overview:
    """Add up all figures."""
    all_of_them = list(seen)
    kinds = most_first(summed(one.letters_by_kind for one in all_of_them))
    figures = (each.name for each in fields(Overview) if each.name != "letters_by_kind")
    sums = {name: sum(getattr(one, name) for one in all_of_them) for name in figures}
    return Overview(**sums, letters_by_kind=kinds)


def agents(seen: Iterable[Mapping[str, AgentSeen]]) -> dict[str, AgentSeen]:
    """Join agents of the same name: each cell runs its own."""
    joined: dict[str, AgentSeen] = {}
    for cell in seen:
        for name, one in cell.items():
            joined[name] = _both(joined[name], one) if name in joined else one
    return joined


def _both(one: AgentSeen, other: AgentSeen) -> AgentSeen:
    """Join one agent of two cells: bounds are added, and a breaker that is open is shown."""
    caps = (one.cap, other.cap)
    return AgentSeen(
        facts=one.facts or other.facts,
        in_flight=one.in_flight + other.in_flight,
        cap=None if None in caps else sum(cap for cap in caps if cap is not None),
        breaker=max(one.breaker, other.breaker, key=_trouble),
    )


def _trouble(breaker: BreakerSeen) -> tuple[bool, int]:
    return breaker.open, breaker.opens_ms


def tenants(seen: Iterable[Mapping[str, Mapping[str, int]]]) -> dict[str, dict[str, int]]:
    """Join tenants; one whose tasks are in several cells may have as many in each."""
    joined: dict[str, dict[str, int]] = {}
    for cell in seen:
        for name, one in cell.items():
            joined[name] = summed([joined.get(name, {}), one])
    return joined


def spend(rows: Iterable[Spend]) -> list[Spend]:
    """Add up rows of the same day, tenant, agent and model, in that order."""
    joined: dict[tuple[str, ...], Spend] = {}
    for row in rows:
        key = (row.day, row.tenant, row.agent, row.model)
        joined[key] = _added(joined[key], row) if key in joined else row
    return [joined[key] for key in sorted(joined)]


def _added(one: Spend, other: Spend) -> Spend:
    sums = {name: getattr(one, name) + getattr(other, name) for name in _SPENT}
    return replace(one, **sums)
