"""For each alert: figures over time under which it must fire, and such under which it must not.

Figures are written as promtool reads them: `5x30` is five, for thirty minutes more; `0+2x30` rises
by two each minute. `after` is when a person must have been told by.
"""

from dataclasses import dataclass
from typing import Final

JOB: Final = 'job="buckstop"'
A: Final = f'instance="a:8780", {JOB}'
B: Final = f'instance="b:8780", {JOB}'

Series = dict[str, str]


@dataclass(frozen=True)
class Case:
    """One alert."""

    bad: Series
    good: Series
    after: str


def _both(name: str, values: str, labels: str = "") -> Series:
    """Let two processes tell the same."""
    more = f", {labels}" if labels else ""
    return {f"{name}{{{each}{more}}}": values for each in (A, B)}


def _queue(depth: str) -> Series:
    return _both("buckstop_queue_depth", depth, 'agent="a", queue="buckstop:agent.a"')


def _settled(fault: str, ok: str) -> Series:
    name = "buckstop_subtasks_settled_total"
    return _both(name, fault, 'agent="a", verdict="fault"') | _both(
        name, ok, 'agent="a", verdict="ok"'
    )


def _requests(status: str, values: str) -> Series:
    labels = f'method="GET", route="/v1/tasks", status="{status}"'
    return {f"buckstop_http_requests_total{{{A}, {labels}}}": values}


def _slow(fast: str) -> Series:
    name, route = "buckstop_http_request_seconds_bucket", 'route="/v1/tasks"'
    return {
        f'{name}{{{A}, {route}, le="0.1"}}': fast,
        f'{name}{{{A}, {route}, le="5"}}': "0+60x30",
        f'{name}{{{A}, {route}, le="+Inf"}}': "0+60x30",
    }


CASES: Final = {
    "BuckstopNotScraped": Case(
        {f"up{{{A}}}": "0x30", f"up{{{B}}}": "1x30"}, {f"up{{{A}}}": "1x30"}, "4m"
    ),
    "BuckstopNoOrchestrator": Case(
        _both("buckstop_orchestrator_serving", "0x30"),
        _both("buckstop_orchestrator_serving", "1x30"),
        "3m",
    ),
    "BuckstopWakesLate": Case(
        _both("buckstop_wake_overdue_seconds", "11x30"),
        _both("buckstop_wake_overdue_seconds", "9x30"),
        "4m",
    ),
    "BuckstopWorkersLost": Case(
        _both("buckstop_claims_total", "0+1x30", 'what="lost"'),
        _both("buckstop_claims_total", "0+9x30", 'what="begun"'),
        "15m",
    ),
    "BuckstopCellAway": Case(
        _both("buckstop_cell_up", "0x30", 'cell="west"'),
        _both("buckstop_cell_up", "1x30", 'cell="west"'),
        "4m",
    ),
    "BuckstopQueueWithoutWorkers": Case(
        _queue("1x30") | _both("buckstop_agent_workers", "0x30", 'agent="a"'),
        _queue("1x30") | _both("buckstop_agent_workers", "1x30", 'agent="a"'),
        "4m",
    ),
    "BuckstopQueueOld": Case(
        _both("buckstop_queue_oldest_seconds", "301x30", 'agent="a"'),
        _both("buckstop_queue_oldest_seconds", "299x30", 'agent="a"'),
        "8m",
    ),
    "BuckstopQueueGrows": Case(_queue("900+20x60"), _queue("2000-10x60"), "40m"),
    "BuckstopBreakerOpen": Case(
        _both("buckstop_agent_breaker_open", "1x30", 'agent="a"'),
        _both("buckstop_agent_breaker_open", "1x10 0x20", 'agent="a"'),
        "17m",
    ),
    "BuckstopAgentFails": Case(_settled("0+1x40", "0+1x40"), _settled("0+1x40", "0+9x40"), "25m"),
    "BuckstopDeskHalfFull": Case(
        _both("buckstop_letters_open", "60000x30", 'kind="question"')
        | _both("buckstop_letters_open", "60000x30", 'kind="escalation"')
        | _both("buckstop_letters_max", "200000x30"),
        _both("buckstop_letters_open", "99000x30", 'kind="question"')
        | _both("buckstop_letters_max", "200000x30"),
        "2m",
    ),
    "BuckstopLettersDueSoon": Case(
        _both("buckstop_letters_due_soon", "1x30"), _both("buckstop_letters_due_soon", "0x30"), "7m"
    ),
    "BuckstopLettersNotKept": Case(
        _both("buckstop_letters_not_kept_total", "0x5 1x30"),
        _both("buckstop_letters_not_kept_total", "7x30"),
        "10m",
    ),
    "BuckstopPoison": Case(
        _both("buckstop_letters_open", "1x30", 'kind="poison"'),
        _both("buckstop_letters_open", "1x30", 'kind="question"'),
        "2m",
    ),
    "BuckstopForged": Case(
        _both("buckstop_letters_open", "1x30", 'kind="forged"'),
        _both("buckstop_letters_open", "1x30", 'kind="expired"'),
        "2m",
    ),
    "BuckstopSpendsTokens": Case(
        _both("buckstop_spent_tokens_total", "0+50000x90", 'agent="a", model="m"')
        | _both("buckstop_spent_tokens_total", "0+50000x90", 'agent="b", model="m"'),
        _both("buckstop_spent_tokens_total", "0+50000x90", 'agent="a", model="m"'),
        "70m",
    ),
    "BuckstopSpendsMoney": Case(
        _both("buckstop_spent_usd_total", "0+1x90", 'agent="a", model="m"'),
        _both("buckstop_spent_usd_total", "40+0.1x30 0+0.1x60", 'agent="a", model="m"'),
        "70m",
    ),
    "BuckstopRedisMemory": Case(
        _both("buckstop_redis_memory_bytes", "81x30")
        | _both("buckstop_redis_memory_max_bytes", "100x30"),
        _both("buckstop_redis_memory_bytes", "81x30")
        | _both("buckstop_redis_memory_max_bytes", "0x30"),
        "8m",
    ),
    "BuckstopAofWriteFails": Case(
        _both("buckstop_redis_aof_write_ok", "0x30"),
        _both("buckstop_redis_aof_write_ok", "1x30"),
        "2m",
    ),
    "BuckstopServerUnfit": Case(
        _both("buckstop_check_passed", "0x30", 'check="appendonly"'),
        _both("buckstop_check_passed", "1x30", 'check="appendonly"'),
        "3m",
    ),
    "BuckstopCourierLate": Case(
        _both("buckstop_deliveries_overdue_seconds", "301x30")
        | _both("buckstop_courier_behind_seconds", "0x30"),
        _both("buckstop_deliveries_overdue_seconds", "10x30")
        | _both("buckstop_courier_behind_seconds", "10x30"),
        "8m",
    ),
    "BuckstopSubscriptionDisabled": Case(
        _both("buckstop_subscriptions", "1x30", 'state="disabled"'),
        _both("buckstop_subscriptions", "1x30", 'state="failing"'),
        "2m",
    ),
    "BuckstopHttpErrors": Case(
        _requests("503", "0+6x30") | _requests("200", "0+54x30"),
        _requests("503", "0+1x30") | _requests("200", "0+59x30"),
        "12m",
    ),
    "BuckstopHttpSlow": Case(_slow("0+50x30"), _slow("0+60x30"), "20m"),
}
