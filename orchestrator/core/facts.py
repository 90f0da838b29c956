"""What a task can learn when it wakes up: its mail, and what the shell could see.

Mail is a closed set. Sight is optional: most wakes need none, and a decision that does need it
says so with `Look` (commands.py) and is asked again.
"""

from collections.abc import Mapping
from enum import StrEnum

from envelopes import Amounts, Envelope
from orchestrator.core.task import Decided, Record


class Report(Record, frozen=True):
    """A worker's envelope, with what its meter had charged by then."""

    subtask: int
    charged: Amounts
    envelope: Envelope


class Cancelled(Record, frozen=True):
    """A caller's wish to stop."""

    by: str
    why: str


Mail = Report | Cancelled | Decided


class ClaimState(StrEnum):
    """Where a claim stands."""

    ISSUED = "issued"
    """Published, and nobody has fetched it."""
    CLAIMED = "claimed"
    REPORTED = "reported"
    """Its envelope is in the mail."""
    REVOKED = "revoked"
    """Taken away: nothing can be charged on it any more, so its figures are final."""
    ABSENT = "absent"
    """There is no such record: Redis lost it."""


class Claim(Record, frozen=True):
    """What the shell saw of one open subtask."""

    state: ClaimState
    charged: Amounts = Amounts()
    """Settled calls at their real cost, calls in flight at their worst."""
    since_ms: int = 0
    """When it was fetched; 0 where it never was."""
    beat_ms: int = 0
    queued: bool = True
    """Whether its message may still lie on the queue."""


class Agent(Record, frozen=True):
    """What is known of an agent from the workers that run it."""

    handoffs: tuple[str, ...] = ()
    skills: tuple[str, ...] = ()
    room: int | None = None
    """How many more messages it may be sent now; None for any number."""
    shut: bool = False
    """Its breaker is open, or probing: whoever can should go elsewhere."""
    in_flight: int = 0
    known: bool = True
    """Whether a worker has ever said that it runs it; a name can be sent to all the same."""


class Sight(Record, frozen=True):
    """What the shell could see when it woke the task."""

    agents: Mapping[str, Agent] = {}
    claims: Mapping[int, Claim] | None = None
    """By subtask; None where nobody looked."""
    admitted: bool = True
    """False while the task waits for one of its tenant's places: nothing goes out yet."""
