"""What travels with a message, next to its payload.

The headers are written by the orchestrator as one JSON text and signed as that text (seal.py), so
nobody has to agree on how to write JSON twice. A worker reads them after the signature is checked.
"""

from typing import Annotated, Final, Literal

from pydantic import Field

from envelopes import limits
from envelopes.ledger import Ledger, Limits
from envelopes.request import Name, Traceparent
from envelopes.strict import Frozen
from envelopes.versions import OLDEST_VERSION, SCHEMA_VERSION

Moment = Annotated[int, Field(ge=0, le=limits.TIME_MS_CEILING)]
"""A point in time, by the server's clock."""
Span = Annotated[int, Field(ge=1, le=limits.TIMEOUT_CEILING_S * 1000)]
Fingerprint = Annotated[str, Field(pattern=r"^[0-9]{1,3}:[0-9a-f]{16}$")]
"""A message that was sent before: its hop, and the hash of agent and payload."""


STEP_PATTERN: Final = r"^_?[a-zA-Z0-9][a-zA-Z0-9_.-]*$"
"""A step's name, or, with the mark in front, what the owner itself wants to know of an agent."""


class Headers(Frozen):
    """Everything a worker must know about the subtask it is given."""

    v: int = Field(default=SCHEMA_VERSION, ge=OLDEST_VERSION, le=SCHEMA_VERSION)
    """The schema version it is written in, and is to be answered in (versions.py)."""
    task: str = Field(pattern=r"^[0-9a-zA-Z-]{1,64}$")
    subtask: int = Field(ge=1, le=limits.SUBTASKS_EVER_MAX)
    agent: Name
    queue: str = Field(min_length=1, max_length=limits.KEY_CHARS_MAX)
    step: str = Field(pattern=STEP_PATTERN, max_length=limits.NAME_CHARS_MAX)
    attempt: int = Field(ge=1, le=limits.SUBTASKS_EVER_MAX)
    hop: int = Field(ge=1, le=limits.HOPS_EVER_MAX)
    hops_max: int = Field(ge=1, le=limits.HOPS_EVER_MAX)
    owner: Literal["orchestrator"] = "orchestrator"
    ledger: Ledger
    allowance: Limits
    issued_ms: Moment
    deadline_ms: Moment
    """When the whole task is over, by the server's clock."""
    timeout_ms: Span
    """How long this subtask may run once a worker has fetched it."""
    lease_ms: Span = limits.LEASE_MS
    trail: tuple[Fingerprint, ...] = Field(default=(), max_length=limits.TRAIL_MAX)
    tenant: Name
    traceparent: Traceparent | None = None
    nonce: str = Field(pattern=r"^[0-9a-f]{32}$")
    body_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")

    @property
    def id(self) -> str:
        """Return the subtask's id as people and Celery see it."""
        return f"{self.task}/{self.subtask}"
