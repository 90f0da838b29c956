"""Workers run agents: functions that take a Context and return an Envelope.

    from workers import Context, Envelope, agent

    @agent("write", price="openai:gpt-5-mini")
    def write(ctx: Context, goal: str, inputs: dict) -> Envelope: ...

Start one with `buckstop worker MODULE...` or `celery -A workers.app worker`.
"""

from envelopes.envelope import Envelope, Fault, Handoff, Question, Status, Usage
from envelopes.request import Step
from workers.agent import agent
from workers.context import Context
from workers.meter import BudgetExhausted, Late, Meter, Refusal, Revoked
from workers.prices import Price, PriceUnknown

__all__ = [
    "BudgetExhausted",
    "Context",
    "Envelope",
    "Fault",
    "Handoff",
    "Late",
    "Meter",
    "Price",
    "PriceUnknown",
    "Question",
    "Refusal",
    "Revoked",
    "Status",
    "Step",
    "Usage",
    "agent",
]
