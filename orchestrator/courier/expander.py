"""Turn the news into deliveries, as it comes.

It sleeps on the news itself, in a thread of its own: nobody polls. Couriers that run side by side
all read the same lines, and one of them moves on; the others read again from there.
"""

import logging
import time
from collections.abc import Callable
from typing import Final

from redis.exceptions import RedisError

from envelopes import limits
from orchestrator.courier.box import Box
from orchestrator.courier.expand import expand
from orchestrator.courier.subscriptions import Subscriptions
from orchestrator.news import NewsStream

log = logging.getLogger("buckstop.courier")

BACK_OFF_S: Final = (0.1, 0.2, 0.5, 1.0)


class Expander:
    """One reader of the news."""

    def __init__(self, box: Box, subscriptions: Subscriptions, news: NewsStream) -> None:
        self._box = box
        self._subscriptions = subscriptions
        self._news = news

    def turn(self, idle_ms: int = limits.WAIT_MS_MAX) -> int:
        """Move on by one batch, or wait for it; return how many deliveries were written."""
        before = self._box.place()
        if self._news.has_gap(before):
            log.warning("news was cut off before any courier read it", extra={"behind": before})
        lines = self._news.read(before, limits.NEWS_BATCH, idle_ms)
        if not lines:
            return 0
        edition, known = self._subscriptions.edition()
        lines = lines[: max(1, limits.EXPANDED_MAX // max(1, len(known)))]
        deliveries = expand(lines, known)
        moved = self._box.move(before, lines[-1].id, edition, deliveries)
        return len(deliveries) if moved else 0

    def run(self, on_deliveries: Callable[[], object]) -> None:
        """Move on for ever; back off while the server is away."""
        failures = 0
        while True:
            try:
                if self.turn():
                    on_deliveries()
                failures = 0
            except RedisError as error:
                time.sleep(said_away(error, failures))
                failures += 1


def said_away(error: RedisError, failures: int) -> float:
    """Log that the server is away, after so many failures; return for how long to leave it so."""
    pause_s = BACK_OFF_S[min(failures, len(BACK_OFF_S) - 1)]
    log.warning("the server is away", extra={"error": str(error), "again_in_s": pause_s})
    return pause_s
