"""How long to leave a server alone before it is asked again.

Full jitter: anything from nothing up to a bound that doubles, so that a thousand agents refused at
the same moment do not come back at the same moment. Where the server says how long, never sooner.
"""

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import SystemRandom

from envelopes import limits
from workers.context import Context
from workers.llm.errors import ServerAway

_dice = SystemRandom()  # no seed that a fork could inherit


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a server is asked, and how long the pauses are."""

    attempts_max: int = limits.LLM_ATTEMPTS_MAX
    backoff_s: float = limits.LLM_BACKOFF_S

    def pause_s(self, attempt: int, retry_after_s: float | None) -> float:
        """Return how long to wait after this attempt, the first being 1."""
        most = min(limits.LLM_BACKOFF_MAX_S, self.backoff_s * 2 ** (attempt - 1))
        return (retry_after_s or 0.0) + _dice.uniform(0, most)

    async def rest(self, ctx: Context, attempt: int, away: ServerAway) -> None:
        """Wait before the next attempt, or raise why there will be none."""
        if attempt >= self.attempts_max:
            raise ServerAway(f"{away} (attempt {attempt}, the last)") from None
        pause_s = self.pause_s(attempt, away.retry_after_s)
        if (away.retry_after_s or 0) > limits.LLM_RETRY_AFTER_MAX_S:
            raise ServerAway(f"{away} (it asks for {away.retry_after_s:.0f} s)") from None
        left_s = ctx.seconds_left()
        if pause_s >= left_s:
            raise ServerAway(f"{away} (no time for another attempt: {left_s:.1f} s left)") from None
        ctx.log.warning("asking again in %.1f s: %s", pause_s, away, extra={"attempt": attempt})
        await asyncio.sleep(pause_s)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Read how long a server wants to be left alone: seconds, or a date; None for neither."""
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        seconds = _number(headers.get(name, "")) * unit_s
        if math.isfinite(seconds) and seconds >= 0:
            return seconds
    return _until(headers.get("retry-after", ""))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _until(date: str) -> float | None:
    try:
        when = parsedate_to_datetime(date)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
