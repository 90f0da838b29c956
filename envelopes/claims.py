"""What passes between a worker and the records of who runs what.

Shared by the worker's side of the store (workers/claims.py) and by the simulation, which plays
workers too (orchestrator/sim/store).
"""

from dataclasses import dataclass
from typing import Literal

Arrival = Literal["claimed", "foreign", "replayed", "revoked"]
"""What a fetched message turned out to be, by its claim header alone:

    claimed    its subtask is ours now
    foreign    no claim header, or a nonce that nobody issued: not published by us, or edited
    replayed   its subtask is already claimed or reported
    revoked    its subtask was taken away, or is settled, or never was
"""

Charged = Literal["ok", "exhausted", "revoked", "late"]
"""What came of a charge:

    ok         booked; the call may be made
    exhausted  it could overrun the allowance
    revoked    the subtask is no longer ours
    late       the subtask's time is over
"""

Reported = Literal["ok", "revoked"]


@dataclass(frozen=True, slots=True)
class Fetched:
    """One message taken from a queue. Whatever is not `claimed` must not be run."""

    queue: str
    raw: bytes
    state: Arrival
    subtask: str
    """task/n where the message names a claim of ours, else empty."""
    token: str
    """Proof of the claim for every later call; empty unless claimed."""
    letter: str = ""
    """Where a message that has no claim to take is kept already; empty where the desk is full."""
