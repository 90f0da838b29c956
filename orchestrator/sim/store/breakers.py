"""An agent's breaker, as lua/_breaker.lua keeps it.

Called by bulkheads.py. Verdicts are counted in two halves of a window, so what is counted
reaches back between half a window and a whole one.
"""

from collections import Counter
from dataclasses import dataclass

from envelopes import limits
from orchestrator.caps import BreakerSeen
from orchestrator.store import Verdict

_HALF_WINDOW_MS = limits.BREAKER_WINDOW_MS // 2


@dataclass(slots=True)
class SimBreaker:
    """What is known against one agent. Open while `opens_ms` is set, until a probe says ok."""

    since_ms: int
    """When the newer half of the window began."""
    row: int = 0
    """Faults in a row."""
    ended: int = 0
    faults: int = 0
    ended_before: int = 0
    faults_before: int = 0
    opens_ms: int = 0
    """When it may be probed."""
    probe: str = ""

    @property
    def is_open(self) -> bool:
        """Say whether nothing but a probe may be sent."""
        return self.opens_ms > 0

    def lets_out(self, now_ms: int) -> int:
        """Say how many subtasks may be sent now: any number, one probe, or none."""
        if not self.is_open:
            return limits.SUBTASKS_CEILING
        return int(now_ms >= self.opens_ms and not self.probe)

    def judge(self, subtask: str, verdict: Verdict, now_ms: int, counters: Counter[str]) -> None:
        """Count one verdict; while it is open, that of the probe and no other."""
        if not self.is_open:
            if verdict and self._trips(verdict == "fault", now_ms):
                self._open(now_ms, counters)
        elif self.probe == subtask:
            self.probe = ""
            if verdict == "fault":
                self._open(now_ms, counters)
            elif verdict == "ok":
                counters["breaker_closed"] += 1
                self._reset(now_ms, 0)

    def seen(self) -> BreakerSeen:
        """Return what an orchestrator sees of it."""
        return BreakerSeen(self.is_open, self.opens_ms, bool(self.probe))

    def _trips(self, fault: bool, now_ms: int) -> bool:  # noqa: FBT001 -- one of two verdicts
        self._move_window(now_ms)
        self.ended, self.faults = self.ended + 1, self.faults + int(fault)
        self.row = self.row + 1 if fault else 0
        ended, faults = self.ended + self.ended_before, self.faults + self.faults_before
        often = faults * 100 >= ended * limits.BREAKER_RATE_PERCENT
        counts = ended >= limits.BREAKER_CALLS_MIN
        return fault and (self.row >= limits.BREAKER_FAULTS or (often and counts))

    def _move_window(self, now_ms: int) -> None:
        since_ms = _half_of(now_ms)
        if since_ms > self.since_ms:
            adjoins = since_ms - self.since_ms == _HALF_WINDOW_MS
            self.ended_before, self.faults_before = (self.ended, self.faults) if adjoins else (0, 0)
            self.since_ms, self.ended, self.faults = since_ms, 0, 0

    def _open(self, now_ms: int, counters: Counter[str]) -> None:
        counters["breaker_opened"] += 1
        self._reset(now_ms, now_ms + limits.BREAKER_OPEN_MS)

    def _reset(self, now_ms: int, opens_ms: int) -> None:
        self.since_ms, self.opens_ms = _half_of(now_ms), opens_ms
        self.row = self.ended = self.faults = self.ended_before = self.faults_before = 0


def closed(now_ms: int) -> SimBreaker:
    """Make the breaker of an agent that nothing is known against."""
    return SimBreaker(_half_of(now_ms))


def _half_of(now_ms: int) -> int:
    return now_ms - now_ms % _HALF_WINDOW_MS
