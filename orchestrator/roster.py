"""The agents as one loop sees them: as they were a moment ago, less what it has sent them since.

What is decided on that is checked again by COMMIT, on what is true then: two orchestrators that see
the same last place cannot both have it. Looked at by serve.py.
"""

from typing import Final

from msgspec.structs import replace

from orchestrator.caps import AgentSeen
from orchestrator.committing import of
from orchestrator.core.commands import Decision, Publish
from orchestrator.core.facts import Agent
from orchestrator.store import Store

FRESH_MS: Final = 1_000
"""How old the list may be."""
_MISSED: Final = {
    *("handoff_refused", "plan_refused", "round_refused", "no_such_skill", "refused_decision"),
}
"""Decisions that are only made on a list that is as new as they are."""


class Roster:
    """Who there is, and what each may be sent."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen_ms = -FRESH_MS
        self.agents: dict[str, Agent] = {}

    def look(self, now_ms: int) -> None:
        """Look again, if the last look is too long ago."""
        if now_ms - self._seen_ms >= FRESH_MS:
            self.look_afresh(now_ms)

    def look_afresh(self, now_ms: int) -> None:
        """Look again: there may be room by now, or somebody new."""
        seen = self._store.agents()
        self.agents = {name: agent_of(each, now_ms) for name, each in seen.items()}
        self._seen_ms = now_ms

    def count_in(self, decision: Decision) -> None:
        """Let the next decision of this batch see the places that this one takes."""
        for each in of(Publish, decision):
            known = self.agents.get(each.agent)
            if known is not None:
                room = None if known.room is None else max(0, known.room - 1)
                taken = replace(known, room=room, in_flight=known.in_flight + 1)
                self.agents[each.agent] = taken

    def is_too_old_for(self, decision: Decision, now_ms: int) -> bool:
        """Say whether a decision has missed an agent that may have registered a moment ago."""
        return self._seen_ms < now_ms and any(note.why in _MISSED for note in decision.notes)


def agent_of(seen: AgentSeen, now_ms: int) -> Agent:
    """Say what may be sent to an agent now."""
    room = None if seen.cap is None else max(0, seen.cap - seen.in_flight)
    breaker = seen.breaker
    shut = breaker.open and (now_ms < breaker.opens_ms or breaker.probe)
    if breaker.open:
        room = 0 if shut else min(1, 1 if room is None else room)
    return Agent(
        handoffs=tuple(seen.facts.get("handoffs", ())),
        skills=tuple(seen.facts.get("skills", ())),
        room=room,
        shut=shut,
        in_flight=seen.in_flight,
        known=bool(seen.facts),
    )
