"""What goes wrong in one world, drawn from its seed.

A swarm: each world has about half of the faults, each at a rate of its own. With all of them always
on, tasks die too young to show anything; a bug that needs two rare faults together shows up in the
worlds that happen to have these two and little else.
"""

from dataclasses import dataclass
from random import Random
from typing import Final, Self

from orchestrator.sim.dice import happens

_LIKELY: Final = 0.5
"""The share of worlds that have a fault."""


@dataclass(frozen=True, slots=True)
class Faults:
    """Chances at every call, or events a minute; 0 is never."""

    # At every call of a process to the server:
    orchestrator_dies: float = 0.0
    worker_dies: float = 0.0
    cut_off: float = 0.0
    """The connection breaks before the call, or after it: then nobody hears the reply."""
    reply_lost: float = 0.0
    """The reply is lost and the client sends the same call again."""
    stands_still: float = 0.0
    """An orchestrator stops here for a while, often longer than its lease, and then goes on."""

    # Every minute:
    worker_freezes: float = 0.0
    """A worker stands still past its leases, and then acts as if nothing had happened."""
    worker_told_to_go: float = 0.0
    clock_leaps: float = 0.0
    """The server's clock leaps ahead; processes have no clock that counts."""
    wakes_for_nothing: float = 0.0
    messages_doubled: float = 0.0
    messages_stolen: float = 0.0
    queues_shuffled: float = 0.0
    messages_forged: float = 0.0
    mail_doubled: float = 0.0
    mail_shuffled: float = 0.0
    claims_destroyed: float = 0.0

    @classmethod
    def drawn(cls, random: Random) -> Self:
        """Draw which faults this world has, and how often."""
        rates = {
            name: most * 10 ** random.uniform(-1.5, 0)
            for name, most in _MOST.items()
            if happens(random, _LIKELY)
        }
        return cls(**rates)


_MOST: Final = {
    "orchestrator_dies": 0.02,
    "worker_dies": 0.01,
    "cut_off": 0.05,
    "reply_lost": 0.08,
    "stands_still": 0.08,
    "worker_freezes": 10.0,
    "worker_told_to_go": 8.0,
    "clock_leaps": 2.0,
    "wakes_for_nothing": 30.0,
    "messages_doubled": 20.0,
    "messages_stolen": 20.0,
    "queues_shuffled": 10.0,
    "messages_forged": 10.0,
    "mail_doubled": 30.0,
    "mail_shuffled": 10.0,
    "claims_destroyed": 3.0,
}
PER_MINUTE: Final = tuple(_MOST)[tuple(_MOST).index("worker_freezes") :]
"""The faults that strike by the clock (gremlin.py), not at a call (server.py)."""
