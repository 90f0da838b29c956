"""The lanes of the agents' queues, as lua/_lanes.lua and FETCH keep them.

A queue whose only lane is itself stands in no list.
"""

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from envelopes.keys import base_of

Queues = Mapping[str, deque[bytes]]


@dataclass(slots=True)
class SimLanes:
    """Which lanes have messages, and whose turn it is."""

    turns: dict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))
    """By queue: each lane's turn, the one served longest ago with the lowest."""

    def open(self, lane: str) -> None:
        """Let a lane join the round behind the last."""
        base = base_of(lane)
        turns = self.turns[base]
        if lane != base and lane not in turns:
            turns.setdefault(base, 0)
            turns[lane] = max(turns.values()) + 1

    def strike(self, queues: Queues) -> None:
        """Strike off lanes that somebody else has emptied."""
        for base in list(self.turns):
            for lane in [each for each in self.turns[base] if not queues[each] and each != base]:
                del self.turns[base][lane]

    def in_turn(self, base: str) -> list[str]:
        """Return the lanes of a queue, the one to serve first in front."""
        turns = self.turns[base]
        return sorted(turns, key=lambda lane: (turns[lane], lane)) or [base]

    def round(self, base: str, queues: Queues) -> Iterator[str]:
        """Name lane after lane to take one message from, as long as any has one."""
        lanes = self.in_turn(base)
        while lanes := [lane for lane in lanes if queues[lane]]:
            for lane in lanes:
                if queues[lane]:
                    yield lane

    def served(self, base: str, lanes: list[str], queues: Queues) -> None:
        """Note in which order these were served; one that is empty leaves the round."""
        turns = self.turns[base]
        for lane in [each for each in turns if not queues[each] and each != base]:
            del turns[lane]
        if list(turns) == [base]:
            del turns[base]
        last = max(turns.values(), default=0)
        for number, lane in enumerate(lanes, 1):
            if lane in turns:
                turns[lane] = last + number
