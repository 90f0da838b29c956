"""The names of what Prometheus reads, and where each figure comes from. All of it is data.

    for figure in ALL:
        yield figure.family(seen)

Names follow Prometheus's conventions: one prefix, the unit in the name, `_total` for what only
rises. Labels have closed sets of values, or few: agents and models are bounded at SERIES_MAX, and
tenants are no label at all. The reference page and the check of alert rules and dashboards read
this table too.

Figures of the deployment are the same from every process: take the `max` over instances. Spend and
settled subtasks come from the day's books, so these counters begin anew at midnight by UTC, as if
the process had been started again; `rate` and `increase` know what to do with that.
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
_MICROS: Final = limits.MICROS_PER_USD

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


def _one(look: Callable[[Figures], float]) -> Callable[[Seen], Iterable[Row]]:
    return lambda seen: [((), look(seen.figures))]


def _event(name: str, about: str, counter: str) -> Figure:
    return Figure(name, about, _one(lambda f: f.counters.get(counter, 0)), kind="counter")


def _events(name: str, about: str, label: str, counters: Mapping[str, str]) -> Figure:
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


def _split(name: str, about: str, prefix: str, labels: tuple[str, str]) -> Figure:
    """Show the counters that are called prefix:one:other by these two labels."""

    def rows(seen: Seen) -> Iterable[Row]:
        for counter, count in sorted(seen.figures.counters.items()):
            first, _, rest = counter.partition(":")
            if first == prefix:
                one, _, other = rest.partition(":")
                yield (one, other), count

    return Figure(name, about, rows, labels, "counter")


def _of_agents(
    name: str,
    about: str,
    look: Callable[[AgentFigures], float | None],
    fold: Callable[[Iterable[float]], float] = sum,
) -> Figure:
    def rows(seen: Seen) -> Iterable[Row]:
        for agent, figures in seen.figures.agents.items():
            if (figure := look(figures)) is not None:
                yield (agent,), figure

    return Figure(name, about, rows, ("agent",), fold=fold)


def _queues(seen: Seen) -> Iterable[Row]:
    for agent, figures in seen.figures.agents.items():
        yield (seen.queue_of(agent), agent), figures.waiting
    for queue, depth in seen.figures.queues.items():
        yield (queue, ""), depth


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


def _spent(name: str, about: str, look: Callable[[Spend], float]) -> Figure:
    rows = _added_up(lambda row: (row.agent, row.model), look)
    return Figure(name, about, rows, ("agent", "model"), "counter")


def _settled(seen: Seen) -> Iterable[Row]:
    for verdict, look in _VERDICTS.items():
        for (agent,), count in _added_up(lambda row: (row.agent,), look)(seen):
            yield (agent, verdict), count


_VERDICTS: Final[Mapping[str, Callable[[Spend], float]]] = {
    "ok": lambda row: row.ok,
    "fault": lambda row: row.fault,
    "stopped": lambda row: row.other,
}

# --- the table -----------------------------------------------------------------------------------

TASKS: Final = (
    _event("tasks_submitted", "Tasks that were accepted.", "submitted"),
    _split("tasks_ended", "Tasks that have ended, by why.", "ended", ("outcome", "reason")),
    Figure(
        "tasks",
        "Tasks that are kept, by how far they are.",
        lambda seen: [((stage,), count) for stage, count in seen.figures.tasks.items()],
        ("stage",),
    ),
    _events(
        "submissions",
        "Requests from the submit queue: accepted, accepted before, or made a letter.",
        "what",
        {"accepted": "door_accepted", "known": "door_known", "refused": "door_refused"},
    ),
    Figure("tasks_at_work", "Tasks with a place at work.", _one(lambda f: f.at_work)),
    Figure(
        "tasks_waiting_for_place",
        "Tasks that wait until their tenant has a place at work.",
        _one(lambda f: f.waiting_for_place),
    ),
)

ORCHESTRATORS: Final = (
    Figure("orchestrator_serving", "Whether one looks for work.", _one(lambda f: int(f.serving))),
    Figure("wakes_due", "Tasks to look at that nobody has taken.", _one(lambda f: f.alarms_rung)),
    Figure(
        "wake_overdue_seconds",
        "How long the first of them has been waiting for an orchestrator.",
        _one(lambda f: f.alarm_overdue_s),
    ),
    _event("commits", "Decisions that were written.", "commits"),
    _events(
        "commit_conflicts",
        "Decisions that were made anew: of all, and where a cap or a breaker stood against them.",
        "why",
        {"any": "conflicts", "cap": "bulkhead_conflicts", "breaker": "breaker_conflicts"},
    ),
)

DESK: Final = (
    Figure(
        "letters_open",
        "Letters that wait for a person.",
        lambda seen: [((kind,), each.open) for kind, each in seen.figures.letters.items()],
        ("kind",),
    ),
    Figure(
        "letters_oldest_seconds",
        "How long the oldest of them has been waiting.",
        lambda seen: [((kind,), each.oldest_s) for kind, each in seen.figures.letters.items()],
        ("kind",),
    ),
    Figure("letters_max", "Letters that the desk holds.", _one(lambda _: limits.LETTERS_MAX)),
    Figure(
        "letters_due_soon",
        "Open letters whose default applies within the hour, or does already.",
        _one(lambda f: f.letters_soon),
    ),
    Figure(
        "letters_overdue",
        "Open letters whose default applies, and no orchestrator has seen to it.",
        _one(lambda f: f.letters_overdue),
    ),
    _split("letters_filed", "Letters by why they were filed.", "filed", ("kind", "reason")),
    _event("letters_not_kept", "Messages only counted: the desk was full.", "letters_not_kept"),
    _events(
        "messages_decided",
        "Messages set aside that were let go, or put back on their queue.",
        "how",
        {"discarded": "messages_discarded", "replayed": "messages_replayed"},
    ),
)

AGENTS: Final = (
    Figure("workers", "Worker processes that live.", _one(lambda f: f.workers)),
    Figure("queue_depth", "Messages that nobody has fetched.", _queues, ("queue", "agent")),
    _of_agents(
        "queue_oldest_seconds",
        "How long the first message of an agent's queue has been waiting.",
        lambda a: a.oldest_s,
        max,
    ),
    _of_agents("agent_in_flight", "Messages that are not settled.", lambda a: a.in_flight),
    _of_agents("agent_in_flight_max", "The agent's cap, where it has one.", lambda a: a.cap),
    _of_agents("agent_room", "Tasks that wait for a place at the agent.", lambda a: a.room),
    _of_agents("agent_workers", "Processes that run it and live.", lambda a: a.workers, max),
    _of_agents(
        "agent_breaker_open",
        "Whether the agent is sent nothing but a probe.",
        lambda a: int(a.breaker_open),
        max,
    ),
    _events(
        "breaker_changes",
        "What became of breakers.",
        "what",
        {
            "opened": "breaker_opened",
            "closed": "breaker_closed",
            "probed": "breaker_probes",
            "reset": "breaker_resets",
        },
    ),
    Figure(
        "subtasks_settled",
        "Subtasks by what they said of their agent; begins anew each day.",
        _settled,
        ("agent", "verdict"),
        "counter",
    ),
)

MESSAGES: Final = (
    _events(
        "messages",
        "Messages on their way, by what became of them.",
        "what",
        {
            "published": "pushed",
            "fetched": "fetched",
            "handed_back": "handed_back",
            "quarantined": "quarantined",
            "dropped": "revoked_dropped",
            "copied": "replayed",
        },
    ),
    _events(
        "messages_bytes",
        "How large they were together.",
        "what",
        {
            "published": "pushed_bytes",
            "fetched": "fetched_bytes",
            "handed_back": "handed_back_bytes",
            "quarantined": "quarantined_bytes",
        },
    ),
    _events(
        "claims",
        "Subtasks that were begun, and taken away: lost with a worker, or stopped by their owner.",
        "what",
        {"begun": "claims", "lost": "claims_lost", "stopped": "claims_stopped"},
    ),
    _events(
        "charges",
        "Calls to models, by whether they were let through.",
        "what",
        {
            "made": "charges",
            "refused": "refused_charges",
            "fenced": "fenced_charges",
            "late": "late_charges",
        },
    ),
    _events(
        "reports",
        "Envelopes, by whether they were taken.",
        "what",
        {"taken": "reports", "fenced": "fenced_reports"},
    ),
)

SPEND: Final = (
    _spent("spent_tokens", "Tokens booked; begins anew each day.", lambda row: row.tokens),
    _spent(
        "spent_usd", "Dollars booked; begins anew each day.", lambda row: row.usd_micros / _MICROS
    ),
    _spent("spent_calls", "Calls booked; begins anew each day.", lambda row: row.calls),
)

COURIER: Final = (
    Figure(
        "courier_behind_seconds",
        "From the last news that became deliveries to the last there is.",
        _one(lambda f: f.courier.behind_s),
    ),
    Figure(
        "deliveries_waiting",
        "Deliveries to be made, or tried again.",
        _one(lambda f: f.courier.waiting),
    ),
    Figure(
        "deliveries_overdue_seconds",
        "How long a courier should have been at the first of them.",
        _one(lambda f: f.courier.overdue_s),
    ),
    Figure(
        "subscriptions",
        "Receivers: all, those that have taken nothing lately, and those given up.",
        lambda seen: [
            (("known",), seen.figures.courier.subscriptions),
            (("failing",), seen.figures.courier.failing),
            (("disabled",), seen.figures.courier.disabled),
        ],
        ("state",),
    ),
    _events(
        "deliveries",
        "Deliveries and attempts, by what became of them.",
        "what",
        {
            "made": "deliveries",
            "done": "deliveries_done",
            "failed": "deliveries_failed",
            "given_up": "deliveries_given_up",
            "moot": "deliveries_moot",
            "not_kept": "deliveries_not_kept",
        },
    ),
)

DEPLOYMENT: Final = (*TASKS, *ORCHESTRATORS, *DESK, *AGENTS, *MESSAGES, *SPEND, *COURIER)
