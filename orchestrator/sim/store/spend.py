"""The books of the days without a server: what lua/_books.lua writes, written again in Python."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from envelopes import limits
from envelopes.ledger import Amounts, Limits
from orchestrator.books import OTHER, Spend, days_until, rows_of

_DAY_MS: Final = 24 * 3600 * 1000
_COUNTED: Final = {"ok": 3, "fault": 4, "": 5}
Row = tuple[str, str, str]
"""Tenant, agent and model."""


@dataclass(slots=True)
class SimSpend:
    """Rows of six figures by day, as the hashes spend:{day} hold them."""

    clock: Callable[[], int]
    days: dict[int, dict[Row, list[int]]] = field(default_factory=lambda: defaultdict(dict))

    def book(self, tenant: str, agent: str, verdict: str, spent: Mapping[str, Amounts]) -> None:
        """Book one settled subtask; it counts at the first model that it has called."""
        for number, (model, share) in enumerate(spent.items()):
            figures = [share.tokens, share.usd_micros, share.calls, 0, 0, 0]
            figures[_COUNTED[verdict]] += int(number == 0)
            self._add((tenant, agent, model), figures)

    def _add(self, row: Row, figures: list[int]) -> None:
        rows = self.days[self._today()]
        if row not in rows and len(rows) >= limits.SPEND_ROWS_MAX:
            row = (OTHER, OTHER, OTHER)
        pairs = zip(rows.get(row, [0] * len(figures)), figures, strict=True)
        rows[row] = [min(before + more, limits.SPEND_CEILING) for before, more in pairs]

    def read(self, count: int) -> list[Spend]:
        """Return the rows of today and the days before it, oldest first."""
        return [row for day in days_until(self._today(), count) for row in self._rows(day)]

    def _rows(self, day: int) -> list[Spend]:
        written = {
            "|".join(row).encode(): " ".join(map(str, figures)).encode()
            for row, figures in self.days.get(day, {}).items()
        }
        return rows_of(day, written)

    def _today(self) -> int:
        return self.clock() // _DAY_MS


def shares_of(charged: Amounts, models: Mapping[str, Amounts]) -> dict[str, Amounts]:
    """Share a claim's figures out among its models; the rest was booked without a name."""
    left, shares = charged, dict[str, Amounts]()
    for model, booked in models.items():
        shares[model] = booked.clamped(Limits(left.tokens, left.usd_micros, left.calls))
        left -= shares[model]
    if not shares or left != Amounts():
        shares[""] = left
    return shares
