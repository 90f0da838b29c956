"""The vocabulary: what travels between callers, the orchestrator and the workers.

Pure. Everyone may import it; it imports nobody.
"""

from envelopes.envelope import Envelope, Fault, Handoff, Status, Usage
from envelopes.headers import SCHEMA_VERSION, Headers
from envelopes.ledger import Amounts, Ledger, Limits
from envelopes.request import Amount, AtCap, Budget, Step, TaskRequest
from envelopes.strict import Refused
from envelopes.until import All, Any, Confidence, Elapsed, FinishLine, PlanDone, Spent

__all__ = [
    "SCHEMA_VERSION",
    "All",
    "Amount",
    "Amounts",
    "Any",
    "AtCap",
    "Budget",
    "Confidence",
    "Elapsed",
    "Envelope",
    "Fault",
    "FinishLine",
    "Handoff",
    "Headers",
    "Ledger",
    "Limits",
    "PlanDone",
    "Refused",
    "Spent",
    "Status",
    "Step",
    "TaskRequest",
    "Usage",
]
