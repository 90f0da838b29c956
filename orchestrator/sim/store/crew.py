"""Agents, workers and tenants, as lua/set_cap.lua and lua/reset_breaker.lua keep them."""

import json

from envelopes.keys import base_of
from envelopes.strict import Refused
from orchestrator.caps import CLOSED, AgentSeen, CapKind
from orchestrator.sim.store.checks import figure
from orchestrator.sim.store.part import SimPart


class SimCrew(SimPart):
    """Agents, those who run them, and tenants."""

    def agents(self) -> dict[str, AgentSeen]:
        """Return what is known of each agent."""
        heads = self.bulkheads
        return {
            name: AgentSeen(
                facts=json.loads(self.registered.get(name, "{}")),
                in_flight=heads.in_flight[name],
                cap=heads.cap_of(name),
                breaker=heads.breakers[name].seen() if name in heads.breakers else CLOSED,
            )
            for name in {**self.registered, **heads.in_flight, **heads.breakers}
        }

    def caps(self) -> dict[str, int]:
        """Return the caps that operators have set, by "agent:name" and "tenant:name"."""
        return dict(self.bulkheads.caps)

    def set_cap(self, kind: CapKind, name: str, cap: int | None) -> None:
        """Bound an agent or a tenant; None for what holds where nobody has set anything."""
        self.send("set_cap", lambda: self._set_cap(kind, name, cap))

    def _set_cap(self, kind: CapKind, name: str, cap: int | None) -> None:
        if kind not in {"agent", "tenant"}:
            raise Refused("kind", "neither agent nor tenant")
        if cap is None:
            self.bulkheads.caps.pop(f"{kind}:{name}", None)
        else:
            self.bulkheads.caps[f"{kind}:{name}"] = figure("cap", cap)
        if kind == "tenant":
            self.bulkheads.admit(name)
        else:
            self.bulkheads.serve([name])

    def reset_breaker(self, agent: str) -> bool:
        """Close an agent's breaker and forget its faults; False where there was nothing known."""
        return self.send("reset_breaker", lambda: self._reset_breaker(agent))

    def _reset_breaker(self, agent: str) -> bool:
        if self.bulkheads.breakers.pop(agent, None) is None:
            return False
        self.counters["breaker_resets"] += 1
        self.bulkheads.serve([agent])
        return True

    def queue_depth(self, agent: str) -> int:
        """Count the messages that wait for an agent, in all lanes."""
        queue = self.keys.queue(agent)
        return sum(
            len(messages) for lane, messages in self.queues.items() if base_of(lane) == queue
        )
