"""What the courier tells OpenTelemetry: each attempt at a delivery.

    buckstop.task
    └ buckstop.deliver      one attempt: of which delivery, the how-manieth, how it ended

Here is what is told where no span goes anywhere: nothing. The spans are in traced_spans.py, which
imports OpenTelemetry.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Final

from redis import Redis

from envelopes.exports import Exports
from envelopes.keys import Keys
from orchestrator.courier.box import Claimed, Sent
from orchestrator.courier.subscription import Subscription


class Attempt:
    """One attempt under way; this one tells nobody."""

    def current(self) -> AbstractContextManager[None]:
        """Let what is sent inside carry the attempt's trace."""
        return nullcontext()

    def over(self, sent: Sent) -> None:
        """Say how it ended."""


class Silent:
    """Tells nobody."""

    async def begin(self, _claimed: Claimed, _to: Subscription) -> Attempt:
        """Begin an attempt."""
        return UNTOLD


UNTOLD: Final = Attempt()
SILENT: Final = Silent()


def telling(exports: Exports | None, client: Redis, keys: Keys) -> Silent:
    """Return whom to tell, where this process exports something and where it does not."""
    if exports is None:
        return SILENT
    from orchestrator.courier.traced_spans import (  # noqa: PLC0415 - it imports OpenTelemetry
        Deliveries,
    )

    return Deliveries(exports, client, keys)
