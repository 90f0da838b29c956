"""What may be sent to an agent now, as an orchestrator sees it.

Read before each batch of decisions (roster.py) and by `buckstop agents`.

Not here: how breakers and places come to be as they are (lua/commit.lua and its fragments).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

CapKind = Literal["agent", "tenant"]
"""What a cap bounds: messages of an agent in flight, or tasks of a tenant at work."""

_NO_PROBE = b"-"


@dataclass(frozen=True, slots=True)
class BreakerSeen:
    """Whether an agent is sent anything at all. The default is a closed breaker."""

    open: bool = False
    opens_ms: int = 0
    """When it becomes half open: from then on one subtask may probe the agent; 0 while closed."""
    probe: bool = False
    """Whether that one is out already."""


CLOSED = BreakerSeen()


@dataclass(frozen=True, slots=True)
class AgentSeen:
    """One agent: what its workers said of it, and what it has to do."""

    facts: Mapping[str, Any]
    """Empty where no worker has ever said that it runs this agent."""
    in_flight: int = 0
    """Messages that were published to it and are not settled."""
    cap: int | None = None
    """How many of them there may be; None for any number."""
    breaker: BreakerSeen = CLOSED


def agents_seen(
    known: Mapping[bytes, bytes],
    in_flight: Mapping[bytes, bytes],
    caps: Mapping[bytes, bytes],
    declared: Mapping[bytes, bytes],
    breakers: Mapping[bytes, bytes],
) -> dict[str, AgentSeen]:
    """Put five hashes together, by agent; the cap that an operator has set comes first."""
    seen: dict[str, AgentSeen] = {}
    for name in {**known, **in_flight, **breakers}:
        cap = caps.get(b"agent:" + name, declared.get(name))
        seen[name.decode()] = AgentSeen(
            facts=json.loads(known.get(name, b"{}")),
            in_flight=int(in_flight.get(name, 0)),
            cap=None if cap is None else int(cap),
            breaker=_breaker(breakers[name]) if name in breakers else CLOSED,
        )
    return seen


def _breaker(line: bytes) -> BreakerSeen:
    """Read the line that lua/_breaker.lua writes; its last two words are what matters here."""
    *_, opens_ms, probe = line.split()
    return BreakerSeen(opens_ms != b"0", int(opens_ms), probe != _NO_PROBE)
