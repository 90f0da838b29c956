"""What travels with a message, next to its payload.

The headers are written by the orchestrator as one JSON text and signed as that text (seal.py), so
nobody has to agree on how to write JSON twice. A worker reads them after the signature is checked.
"""

from typing import Final, Literal

from pydantic import Field

from envelopes import limits
from envelopes.ledger import Ledger, Limits
from envelopes.request import Name
from envelopes.strict import Frozen

SCHEMA_VERSION: Final = 1
"""Raised when a worker of the older version could misread the headers."""


class Headers(Frozen):
    """Everything a worker must know about the subtask it is given."""

    v: Literal[1] = 1
    task: str = Field(pattern=r"^[0-9a-zA-Z-]{1,64}$")
    subtask: int = Field(ge=1, le=limits.SUBTASKS_CEILING)
    agent: Name
    queue: str = Field(min_length=1, max_length=200)
    step: Name
    attempt: int = Field(ge=1)
    hop: int = Field(ge=1, le=2 * limits.HOPS_CEILING)
    hops_max: int = Field(ge=1, le=2 * limits.HOPS_CEILING)
    owner: Literal["orchestrator"] = "orchestrator"
    ledger: Ledger
    allowance: Limits
    issued_ms: int = Field(ge=0)
    deadline_ms: int = Field(ge=0)
    """When the whole task is over, by the server's clock."""
    timeout_ms: int = Field(ge=1)
    """How long this subtask may run once a worker has fetched it."""
    lease_ms: int = Field(default=limits.LEASE_MS, ge=1)
    trail: tuple[str, ...] = Field(default=(), max_length=limits.TRAIL_MAX)
    tenant: Name
    traceparent: str | None = None
    nonce: str = Field(pattern=r"^[0-9a-f]{32}$")
    body_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")

    @property
    def id(self) -> str:
        """Return the subtask's id as people and Celery see it."""
        return f"{self.task}/{self.subtask}"
