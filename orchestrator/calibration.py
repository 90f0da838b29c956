"""How sure agents were, against what people found: what a claimed 0.9 is worth.

Each time a person approves, amends or aborts what lay on the desk, the confidence that was claimed
for it is recorded with whether they let it stand. An approval confirms; an amendment or an abort
does not. A retry or an answer says nothing of the result.

Only what reached the desk is judged, so the sample leans towards the doubtful: the share that was
confirmed is a lower bound on how often an agent is right.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from orchestrator.core.commands import Judged


@dataclass(frozen=True, slots=True)
class Calibration:
    """What an agent's confidence is worth."""

    agent: str
    judged: int
    claimed: float
    """The mean of its claims."""
    confirmed: float
    """The share of them that people let stand."""
    threshold: float | None
    """The lowest bar at which the wished share would have been right; None where no bar was."""
    kept: int
    """How many would have passed that bar."""

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {name: getattr(self, name) for name in self.__slots__}


def calibrated(lines: Iterable[bytes], precision: float) -> list[Calibration]:
    """Work out every agent's calibration, the worst first."""
    by_agent: dict[str, list[Judged]] = defaultdict(list)
    for line in lines:
        judged = msgspec.json.decode(line, type=Judged)
        by_agent[judged.agent].append(judged)
    found = [_of(agent, judged, precision) for agent, judged in by_agent.items()]
    return sorted(found, key=lambda each: (each.confirmed - each.claimed, each.agent))


def _of(agent: str, judged: list[Judged], precision: float) -> Calibration:
    threshold, kept = _threshold(judged, precision)
    return Calibration(
        agent=agent,
        judged=len(judged),
        claimed=sum(each.confidence for each in judged) / len(judged),
        confirmed=_confirmed(judged),
        threshold=threshold,
        kept=kept,
    )


def _threshold(judged: list[Judged], precision: float) -> tuple[float | None, int]:
    for bar in sorted({each.confidence for each in judged}):
        above = [each for each in judged if each.confidence >= bar]
        if _confirmed(above) >= precision:
            return bar, len(above)
    return None, 0


def _confirmed(judged: list[Judged]) -> float:
    return sum(each.confirmed for each in judged) / len(judged)
