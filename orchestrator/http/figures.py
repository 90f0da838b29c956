"""The names of what Prometheus reads, and where each figure comes from. All of it is data.

    for figure in DEPLOYMENT:
        yield figure.family(seen)

Names follow Prometheus's conventions: one prefix, the unit in the name, `_total` for what only
rises. Labels have closed sets of values, or few: agents and models are bounded at SERIES_MAX, and
tenants are no label at all. The reference page and the check of alert rules and dashboards read
this table too.

Figures of the deployment are the same from every process: take the `max` over instances. Spend and
settled subtasks come from the day's books, so these counters begin anew at midnight by UTC, as if
the process had been started again; `rate` and `increase` know what to do with that.
"""

from typing import Final

from envelopes import limits
from orchestrator.http.figure import (
    Figure,
    event,
    events,
    of_agents,
    one,
    queues,
    settled,
    spent,
    split,
)

_MICROS: Final = limits.MICROS_PER_USD

TASKS: Final = (
    event("tasks_submitted", "Tasks that were accepted.", "submitted"),
    split("tasks_ended", "Tasks that have ended, by why.", "ended", ("outcome", "reason")),
    Figure(
        "tasks",
        "Tasks that are kept, by how far they are.",
        lambda seen: [((stage,), count) for stage, count in seen.figures.tasks.items()],
        ("stage",),
    ),
    events(
        "submissions",
        "Requests from the submit queue: accepted, accepted before, or made a letter.",
        "what",
        {"accepted": "door_accepted", "known": "door_known", "refused": "door_refused"},
    ),
    Figure("tasks_at_work", "Tasks with a place at work.", one(lambda f: f.at_work)),
    Figure(
        "tasks_waiting_for_place",
        "Tasks that wait until their tenant has a place at work.",
        one(lambda f: f.waiting_for_place),
    ),
)

ORCHESTRATORS: Final = (
    Figure("orchestrator_serving", "Whether one looks for work.", one(lambda f: int(f.serving))),
    Figure("wakes_due", "Tasks to look at that nobody has taken.", one(lambda f: f.alarms_rung)),
    Figure(
        "wake_overdue_seconds",
        "How long the first of them has been waiting for an orchestrator.",
        one(lambda f: f.alarm_overdue_s),
    ),
    event("commits", "Decisions that were written.", "commits"),
    events(
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
    Figure("letters_max", "Letters that the desk holds.", one(lambda _: limits.LETTERS_MAX)),
    Figure(
        "letters_due_soon",
        "Open letters whose default applies within the hour, or does already.",
        one(lambda f: f.letters_soon),
    ),
    Figure(
        "letters_overdue",
        "Open letters whose default applies, and no orchestrator has seen to it.",
        one(lambda f: f.letters_overdue),
    ),
    split("letters_filed", "Letters by why they were filed.", "filed", ("kind", "reason")),
    event("letters_not_kept", "Messages only counted: the desk was full.", "letters_not_kept"),
    events(
        "messages_decided",
        "Messages set aside that were let go, or put back on their queue.",
        "how",
        {"discarded": "messages_discarded", "replayed": "messages_replayed"},
    ),
)

AGENTS: Final = (
    Figure("workers", "Worker processes that live.", one(lambda f: f.workers)),
    Figure("queue_depth", "Messages that nobody has fetched.", queues, ("queue", "agent")),
    of_agents(
        "queue_oldest_seconds",
        "How long the first message of an agent's queue has been waiting.",
        lambda a: a.oldest_s,
        max,
    ),
    of_agents("agent_in_flight", "Messages that are not settled.", lambda a: a.in_flight),
    of_agents("agent_in_flight_max", "The agent's cap, where it has one.", lambda a: a.cap),
    of_agents("agent_room", "Tasks that wait for a place at the agent.", lambda a: a.room),
    of_agents("agent_workers", "Processes that run it and live.", lambda a: a.workers, max),
    of_agents(
        "agent_breaker_open",
        "Whether the agent is sent nothing but a probe.",
        lambda a: int(a.breaker_open),
        max,
    ),
    events(
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
        settled,
        ("agent", "verdict"),
        "counter",
    ),
)

MESSAGES: Final = (
    events(
        "messages",
        "Messages on their way, by what became of them.",
        "what",
        {
            "published": "pushed",
            "fetched": "fetched",
            "handed_back": "handed_back",
            "quarantined": "quarantined",
            "dropped": "revoked_dropped",
            "withdrawn": "withdrawn",
            "copied": "replayed",
        },
    ),
    events(
        "messages_bytes",
        "How large they were together.",
        "what",
        {
            "published": "pushed_bytes",
            "fetched": "fetched_bytes",
            "handed_back": "handed_back_bytes",
            "quarantined": "quarantined_bytes",
            "withdrawn": "withdrawn_bytes",
        },
    ),
    events(
        "claims",
        "Subtasks that were begun, and taken away: lost with a worker, or stopped by their owner.",
        "what",
        {"begun": "claims", "lost": "claims_lost", "stopped": "claims_stopped"},
    ),
    events(
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
    events(
        "reports",
        "Envelopes, by whether they were taken.",
        "what",
        {"taken": "reports", "fenced": "fenced_reports"},
    ),
)

SPEND: Final = (
    spent("spent_tokens", "Tokens booked; begins anew each day.", lambda row: row.tokens),
    spent(
        "spent_usd", "Dollars booked; begins anew each day.", lambda row: row.usd_micros / _MICROS
    ),
    spent("spent_calls", "Calls booked; begins anew each day.", lambda row: row.calls),
)

COURIER: Final = (
    Figure(
        "courier_behind_seconds",
        "How long news have been there that no courier has read.",
        one(lambda f: f.courier.behind_s),
    ),
    Figure(
        "deliveries_waiting",
        "Deliveries to be made, or tried again.",
        one(lambda f: f.courier.waiting),
    ),
    Figure(
        "deliveries_overdue_seconds",
        "How long a courier should have been at the first of them.",
        one(lambda f: f.courier.overdue_s),
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
    events(
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
