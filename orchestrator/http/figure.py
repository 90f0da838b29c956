"""What a figure on /metrics is: a name, a sentence, labels, and where its rows are found.

    Figure("workers", "Worker processes that live.", one(lambda f: f.workers))

The functions here make the rows of the usual kinds: one figure, a counter of the store, several
counters under one name, a row for each agent, the books of the day added up. All figures there are
stand in figures.py, and those of the Redis server in figures_redis.py.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from envelopes import limits
from orchestrator.books import Spend
from orchestrator.figures import AgentFigures, Figures

PREFIX: Final = "buckstop_"
OTHER: Final = "other"

Row = tuple[tuple[str, ...], float]
"""The values of the labels, and the figure."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one scrape has looked at."""

    figures: Figures
    info: Mapping[str, Any]
    """INFO of the server."""
    checks: Mapping[str, bool]
    """Whether each check is passed, by its name."""
    queue_of: Callable[[str], str]
    """Names the queue of an agent."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One name on /metrics, without the prefix."""

    name: str
    about: str
    rows: Callable[[Seen], Iterable[Row]]
    labels: tuple[str, ...] = ()
    kind: Literal["gauge", "counter"] = "gauge"
    fold: Callable[[Iterable[float]], float] = sum
    """How the rows beyond SERIES_MAX become one."""

    @property
    def shown(self) -> str:
        """Return the name as it stands on /metrics."""
        return f"{PREFIX}{self.name}{'_total' if self.kind == 'counter' else ''}"

    def family(self, seen: Seen) -> Metric:
        """Return the figure with its rows, as many as there may be."""
        made = CounterMetricFamily if self.kind == "counter" else GaugeMetricFamily
        family = made(PREFIX + self.name, self.about, labels=self.labels)
        for values, figure in self._bounded(list(self.rows(seen))):
            family.add_metric(values, figure)
        return family

    def _bounded(self, rows: Sequence[Row]) -> Sequence[Row]:
        kept, rest = rows[: limits.SERIES_MAX], rows[limits.SERIES_MAX :]
        if not rest:
            return kept
        return [*kept, ((OTHER,) * len(self.labels), self.fold(figure for _, figure in rest))]


# --- how rows are found --------------------------------------------------------------------------


def one(look: Callable[[Figures], float]) -> Callable[[Seen], Iterable[Row]]:
    """Make one row, without labels."""
    return lambda seen: [((), look(seen.figures))]


def event(name: str, about: str, counter: str) -> Figure:
    """Show a counter of the store."""
    return Figure(name, about, one(lambda f: f.counters.get(counter, 0)), kind="counter")


def events(name: str, about: str, label: str, counters: Mapping[str, str]) -> Figure:
    """Show several counters under one name, by what the label says of each."""
    return Figure(
        name,
        about,
        lambda seen: [
            ((value,), seen.figures.counters.get(counter, 0)) for value, counter in counters.items()
        ],
        (label,),
        "counter",
    )


def split(name: str, about: str, prefix: str, labels: tuple[str, str]) -> Figure:
    """Show the counters that are called prefix:one:other by these two labels."""

    def rows(seen: Seen) -> Iterable[Row]:
        for counter, count in sorted(seen.figures.counters.items()):
            first, _, rest = counter.partition(":")
            if first == prefix:
                first, _, other = rest.partition(":")
                yield (first, other), count

    return Figure(name, about, rows, labels, "counter")


def of_agents(
    name: str,
    about: str,
    look: Callable[[AgentFigures], float | None],
    fold: Callable[[Iterable[float]], float] = sum,
) -> Figure:
    """Show a row for each agent that has the figure."""

    def rows(seen: Seen) -> Iterable[Row]:
        for agent, figures in seen.figures.agents.items():
            if (figure := look(figures)) is not None:
                yield (agent,), figure

    return Figure(name, about, rows, ("agent",), fold=fold)


def queues(seen: Seen) -> Iterable[Row]:
    """Make a row for each queue; those that are no agent's are few, and never left out."""
    for queue, depth in seen.figures.queues.items():
        yield (queue, ""), depth
    for agent, figures in seen.figures.agents.items():
        yield (seen.queue_of(agent), agent), figures.waiting


def _added_up(
    key: Callable[[Spend], tuple[str, ...]], look: Callable[[Spend], float]
) -> Callable[[Seen], Iterable[Row]]:
    """Add the books' rows up, so that tenants are no label."""

    def rows(seen: Seen) -> Iterable[Row]:
        sums: dict[tuple[str, ...], float] = {}
        for row in seen.figures.spend:
            sums[key(row)] = sums.get(key(row), 0) + look(row)
        return sorted(sums.items())

    return rows


def spent(name: str, about: str, look: Callable[[Spend], float]) -> Figure:
    """Show what the day's books say, by agent and model."""
    rows = _added_up(lambda row: (row.agent, row.model), look)
    return Figure(name, about, rows, ("agent", "model"), "counter")


def settled(seen: Seen) -> Iterable[Row]:
    """Make a row for each agent and verdict."""
    for verdict, look in _VERDICTS.items():
        for (agent,), count in _added_up(lambda row: (row.agent,), look)(seen):
            yield (agent, verdict), count


_VERDICTS: Final[Mapping[str, Callable[[Spend], float]]] = {
    "ok": lambda row: row.ok,
    "fault": lambda row: row.fault,
    "stopped": lambda row: row.other,
}
