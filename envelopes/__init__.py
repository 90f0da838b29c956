"""The vocabulary: what travels between callers, the orchestrator and the workers.

Pure. Everyone may import it; it imports nobody.
"""

from envelopes.envelope import (
    Delegate,
    Envelope,
    Fault,
    Handoff,
    Question,
    Replan,
    Status,
    Usage,
)
from envelopes.headers import Headers
from envelopes.ledger import Amounts, Ledger, Limits
from envelopes.predicate import Must, Predicate
from envelopes.request import Amount, AtCap, Budget, Compose, Step, TaskRequest
from envelopes.strict import Refused
from envelopes.until import (
    All,
    Any,
    Confidence,
    Custom,
    Elapsed,
    FinishLine,
    PlanDone,
    ResultMatches,
    Rounds,
    Spent,
    Stalled,
)
from envelopes.versions import SCHEMA_VERSION

__all__ = [
    "SCHEMA_VERSION",
    "All",
    "Amount",
    "Amounts",
    "Any",
    "AtCap",
    "Budget",
    "Compose",
    "Confidence",
    "Custom",
    "Delegate",
    "Elapsed",
    "Envelope",
    "Fault",
    "FinishLine",
    "Handoff",
    "Headers",
    "Ledger",
    "Limits",
    "Must",
    "PlanDone",
    "Predicate",
    "Question",
    "Refused",
    "Replan",
    "ResultMatches",
    "Rounds",
    "Spent",
    "Stalled",
    "Status",
    "Step",
    "TaskRequest",
    "Usage",
]
