"""What may be sent to an agent now, as an orchestrator sees it.

Read before each batch of decisions (roster.py) and by `buckstop agents`.

Not here: how breakers and places come to be as they are (lua/commit.lua and its fragments).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from envelopes.limits import AMOUNT_DIGITS_MAX

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
        cap = caps.get(b"agent:" + name, declared.get(name, b""))
        seen[name.decode("utf-8", "backslashreplace")] = AgentSeen(
            facts=said_by_workers(known.get(name, b"{}"), "handoffs", "skills"),
            in_flight=int(in_flight.get(name, 0)),
            cap=int(cap) if cap.isdigit() and len(cap) <= AMOUNT_DIGITS_MAX else None,
            breaker=_breaker(breakers[name]) if name in breakers else CLOSED,
        )
    return seen


def said_by_workers(text: bytes, *lists: str) -> dict[str, Any]:
    """Read an object that workers have written; empty where it, or a list of names, makes no sense.

    Every orchestrator reads it before it decides anything, and workers may write what they like.
    """
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    sound = isinstance(said, dict) and all(_are_names(said.get(each, [])) for each in lists)
    return said if sound else {}


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _breaker(line: bytes) -> BreakerSeen:
    """Read the line that lua/_breaker.lua writes; its last two words are what matters here."""
    *_, opens_ms, probe = line.split()
    return BreakerSeen(opens_ms != b"0", int(opens_ms), probe != _NO_PROBE)
