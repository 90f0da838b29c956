# ruff: noqa: INP001 -- no package: dashboards.py beside it writes files of this
"""What Grafana's dashboards show: three pages, in the order in which somebody looks.

Is all well (overview), who is slow or fails (agents), what waits for people and what it costs
(desk). A panel is one entry here: what it shows, its unit, its queries with their legends.

Every process of `buckstop http` tells the same figures of the deployment, so they are taken as the
`max` over instances; only requests are summed.
"""

from dataclasses import dataclass
from typing import Any, Final

SOURCE: Final = {"type": "prometheus", "uid": "prometheus"}
MAX: Final = "max without (instance)"
RATE: Final = "[$__rate_interval]"
SLOWEST: Final = f"sum without (instance) (rate(buckstop_http_request_seconds_bucket{RATE}))"

Query = tuple[str, str]
"""What is asked, and the legend of each line."""


@dataclass(frozen=True)
class Panel:
    """One chart, or one figure where it is `stat`."""

    title: str
    about: str
    queries: tuple[Query, ...]
    unit: str = "short"
    width: int = 8
    kind: str = "timeseries"
    warn: float | None = None
    """From here on a figure is red."""
    stacked: bool = False

    @property
    def height(self) -> int:
        """Return how many rows of the grid it takes."""
        return 4 if self.kind == "stat" else 8


def stat(title: str, about: str, ask: str, unit: str = "short", warn: float | None = None) -> Panel:
    """Show one figure."""
    return Panel(title, about, ((ask, ""),), unit, 4, "stat", warn)


def chart(title: str, about: str, *queries: Query, unit: str = "short", **more: Any) -> Panel:
    """Show lines over time."""
    return Panel(title, about, queries, unit, **more)


OVERVIEW: Final = (
    stat(
        "Orchestrator",
        "1 where one looks for work.",
        f"min({MAX} (buckstop_orchestrator_serving))",
    ),
    stat(
        "Wake lag",
        "How long the first task has been waiting for an orchestrator.",
        f"max({MAX} (buckstop_wake_overdue_seconds))",
        "s",
        10,
    ),
    stat("Tasks at work", "They have a place.", f"sum({MAX} (buckstop_tasks_at_work))"),
    stat(
        "Letters",
        "Open requests for a person.",
        f"sum({MAX} (buckstop_letters_open))",
        warn=100_000,
    ),
    stat(
        "Redis memory",
        "Of its bound; from 90 % on no task is accepted.",
        f"max({MAX} (buckstop_redis_memory_bytes) / ({MAX} (buckstop_redis_memory_max_bytes) > 0))",
        "percentunit",
        0.8,
    ),
    stat(
        "Alerts",
        "Those that fire now; docs/runbook.md says what to do.",
        'count(ALERTS{alertname=~"Buckstop.*", alertstate="firing"}) or vector(0)',
        warn=1,
    ),
    chart(
        "Tasks submitted and ended",
        "Each second. What ends in completed, partial or aborted, by the first word of why.",
        ("buckstop:tasks_submitted:rate5m", "submitted"),
        ("buckstop:tasks_ended:rate5m", "{{outcome}}: {{reason}}"),
        unit="ops",
        width=12,
    ),
    chart(
        "Tasks by stage",
        "Ended ones are kept for a week.",
        (f"{MAX} (buckstop_tasks)", "{{stage}}"),
        (f"{MAX} (buckstop_tasks_waiting_for_place)", "waiting for a place"),
        width=12,
    ),
    chart(
        "Messages",
        "Each second, by what became of them.",
        (f"{MAX} (rate(buckstop_messages_total{RATE}))", "{{what}}"),
        unit="ops",
    ),
    chart(
        "Decisions",
        "Commits each second, and those that were made anew.",
        (f"{MAX} (rate(buckstop_commits_total{RATE}))", "commits"),
        (f"{MAX} (rate(buckstop_commit_conflicts_total{RATE}))", "made anew: {{why}}"),
        unit="ops",
    ),
    chart(
        "Submit queue",
        "Requests of Celery clients, each second; what was malformed became a letter.",
        (f"{MAX} (rate(buckstop_submissions_total{RATE}))", "{{what}}"),
        unit="ops",
    ),
    chart(
        "Requests over HTTP",
        "Each second, by status.",
        ("buckstop:http_requests:rate5m", "{{job}} {{status}}"),
        unit="reqps",
    ),
    chart(
        "Time of a request",
        "99 of 100 take less, by route.",
        (f"histogram_quantile(0.99, {SLOWEST})", "{{route}}"),
        unit="s",
    ),
    chart(
        "Redis",
        "Commands each second; the disk was slower than a second so many times.",
        (f"{MAX} (rate(buckstop_redis_commands_total{RATE}))", "commands"),
        (f"{MAX} (increase(buckstop_redis_aof_delayed_fsync_total{RATE}))", "slow disk"),
    ),
    chart(
        "Redis memory and file",
        "The append-only file grows until it is written anew.",
        (f"{MAX} (buckstop_redis_memory_bytes)", "memory"),
        (f"{MAX} (buckstop_redis_memory_max_bytes)", "bound"),
        (f"{MAX} (buckstop_redis_aof_bytes)", "append-only file"),
        unit="bytes",
    ),
    chart(
        "Checks",
        "0 where the server cannot keep what Buckstop promises.",
        ("min without (instance) (buckstop_check_passed)", "{{check}}"),
        ("min without (instance) (buckstop_redis_aof_write_ok)", "append-only file written"),
    ),
    chart(
        "This way in",
        "Memory, streams and scrape time of each process of buckstop http.",
        ('process_resident_memory_bytes{job="buckstop"}', "{{instance}} bytes"),
        ("buckstop_http_streams", "{{instance}} streams"),
        ("buckstop_scrape_seconds", "{{instance}} scrape s"),
    ),
)

AGENTS: Final = (
    chart(
        "Waiting messages",
        "In all lanes of an agent's queue.",
        ('buckstop:queue_depth:max{agent=~"$agent", agent!=""}', "{{agent}}"),
        width=12,
    ),
    chart(
        "Age of the first of them",
        "A long age with workers busy: too few of them.",
        (f'{MAX} (buckstop_queue_oldest_seconds{{agent=~"$agent"}})', "{{agent}}"),
        unit="s",
        width=12,
    ),
    chart(
        "In flight",
        "Messages that are not settled, and the cap where there is one.",
        (f'{MAX} (buckstop_agent_in_flight{{agent=~"$agent"}})', "{{agent}}"),
        (f'{MAX} (buckstop_agent_in_flight_max{{agent=~"$agent"}})', "{{agent}} cap"),
    ),
    chart(
        "Waiting for a place",
        "Tasks in the room of an agent that has no place for them, or whose breaker is open.",
        (f'{MAX} (buckstop_agent_room{{agent=~"$agent"}})', "{{agent}}"),
    ),
    chart(
        "Workers",
        "Living processes that run the agent.",
        (f'{MAX} (buckstop_agent_workers{{agent=~"$agent"}})', "{{agent}}"),
        (f"{MAX} (buckstop_workers)", "all"),
    ),
    chart(
        "Subtasks settled",
        "In a quarter of an hour, by what they say of the agent.",
        ('buckstop:subtasks_settled:increase15m{agent=~"$agent"}', "{{agent}} {{verdict}}"),
        stacked=True,
    ),
    chart(
        "Breakers",
        "1 while an agent is sent nothing but a probe.",
        (f'{MAX} (buckstop_agent_breaker_open{{agent=~"$agent"}})', "{{agent}}"),
        (f"{MAX} (increase(buckstop_breaker_changes_total{RATE}))", "{{what}}"),
    ),
    chart(
        "Subtasks taken away",
        "Lost with a worker that fell silent, or stopped by their owner.",
        (f'{MAX} (increase(buckstop_claims_total{{what!="begun"}}{RATE}))', "{{what}}"),
    ),
    chart(
        "Calls to models",
        "Each second: let through, refused by a budget, fenced off from a zombie.",
        (f"{MAX} (rate(buckstop_charges_total{RATE}))", "{{what}}"),
        unit="ops",
    ),
    chart(
        "Envelopes",
        "Each second.",
        (f"{MAX} (rate(buckstop_reports_total{RATE}))", "{{what}}"),
        unit="ops",
    ),
    chart(
        "Bytes on queues",
        "Each second, by what became of the messages.",
        (f"{MAX} (rate(buckstop_messages_bytes_total{RATE}))", "{{what}}"),
        unit="Bps",
    ),
)

DESK: Final = (
    stat("Letters", "Open requests for a person.", f"sum({MAX} (buckstop_letters_open))"),
    stat(
        "The oldest",
        "How long it has been waiting.",
        f"max({MAX} (buckstop_letters_oldest_seconds))",
        "s",
    ),
    stat(
        "Due soon",
        "Their default applies within the hour.",
        f"max({MAX} (buckstop_letters_due_soon))",
        warn=1,
    ),
    stat("Overdue", "Nobody has seen to them.", f"max({MAX} (buckstop_letters_overdue))", warn=1),
    stat(
        "Desk",
        "How full it is.",
        f"max(sum without (kind) ({MAX} (buckstop_letters_open)) / {MAX} (buckstop_letters_max))",
        "percentunit",
        0.5,
    ),
    stat(
        "Not kept",
        "Messages only counted: the desk was full.",
        f"max({MAX} (buckstop_letters_not_kept_total))",
        warn=1,
    ),
    chart(
        "Open letters",
        "By kind.",
        (f"{MAX} (buckstop_letters_open)", "{{kind}}"),
        width=12,
        stacked=True,
    ),
    chart(
        "Letters filed",
        "By kind and reason.",
        (f"{MAX} (increase(buckstop_letters_filed_total{RATE}))", "{{kind}}: {{reason}}"),
        width=12,
    ),
    chart(
        "Tokens in the last hour",
        "By agent and model; the line is what limits.yml calls usual.",
        ("buckstop:spent_tokens:increase1h", "{{agent}} {{model}}"),
        ("buckstop:limit:tokens_per_hour", "limit"),
        width=12,
    ),
    chart(
        "Dollars in the last hour",
        "By agent and model.",
        ("buckstop:spent_usd:increase1h", "{{agent}} {{model}}"),
        ("buckstop:limit:usd_per_hour", "limit"),
        unit="currencyUSD",
        width=12,
    ),
    chart(
        "Spent today",
        "Since midnight by UTC.",
        (f"sum by (agent) ({MAX} (buckstop_spent_usd_total))", "{{agent}}"),
        unit="currencyUSD",
    ),
    chart(
        "Calls today",
        "Since midnight by UTC.",
        (f"sum by (agent) ({MAX} (buckstop_spent_calls_total))", "{{agent}}"),
    ),
    chart(
        "Messages decided",
        "Of those that could not run: let go, or put back on their queue.",
        (f"{MAX} (increase(buckstop_messages_decided_total{RATE}))", "{{how}}"),
    ),
    chart(
        "Telling others",
        "How late webhooks and notifications are.",
        (f"{MAX} (buckstop_deliveries_overdue_seconds)", "overdue"),
        (f"{MAX} (buckstop_courier_behind_seconds)", "news unread"),
        unit="s",
    ),
    chart(
        "Deliveries",
        "In each interval by what became of them, and how many wait.",
        (f"{MAX} (increase(buckstop_deliveries_total{RATE}))", "{{what}}"),
        (f"{MAX} (buckstop_deliveries_waiting)", "waiting"),
    ),
    chart(
        "Receivers",
        "All, those that take nothing now, and those given up.",
        (f"{MAX} (buckstop_subscriptions)", "{{state}}"),
    ),
)

AGENT: Final = {
    "name": "agent",
    "label": "agent",
    "type": "query",
    "datasource": SOURCE,
    "query": {"query": "label_values(buckstop_agent_in_flight, agent)", "refId": "agents"},
    "refresh": 2,
    "sort": 1,
    "multi": True,
    "includeAll": True,
    "current": {"text": ["All"], "value": ["$__all"]},
}

PAGES: Final = {
    "overview": ("Buckstop: overview", OVERVIEW, ()),
    "agents": ("Buckstop: agents", AGENTS, (AGENT,)),
    "desk": ("Buckstop: desk and spend", DESK, ()),
}
