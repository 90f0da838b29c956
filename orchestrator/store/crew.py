"""Agents, workers and tenants: who there is, what each may have, and what waits for whom.

What caps and breakers do to a decision is checked by COMMIT; see caps.py for what the loop sees.
"""

from typing import Any

from envelopes import limits
from orchestrator.caps import AgentSeen, CapKind, agents_seen, said_by_workers
from orchestrator.store.part import Part, or_empty

_TENANT = "tenant:"


class Crew(Part):
    """Agents, those who run them, and tenants."""

    def agents(self) -> dict[str, AgentSeen]:
        """Return what is known of each agent, as of one moment."""
        k = self._keys
        with self._client.pipeline(transaction=True) as pipe:
            for key in (k.agents, k.inflight, k.caps, k.declared_caps, k.breakers):
                pipe.hgetall(key)
            return agents_seen(*pipe.execute())

    def workers(self) -> list[dict[str, Any]]:
        """Return what every worker that lives last said of itself."""
        known = self._client.zrange(self._keys.workers, 0, -1)
        stem = self._keys.worker("").encode()
        said = self._client.mget([stem + worker for worker in known]) if known else []
        return [one for about in said if about and (one := said_by_workers(about, "agents"))]

    def caps(self) -> dict[str, int]:
        """Return the caps that operators have set, by "agent:name" and "tenant:name"."""
        return {name: int(cap) for name, cap in (self._hash(self._keys.caps) or {}).items()}

    def tenants(self) -> dict[str, dict[str, int]]:
        """Return how many tasks each tenant has at work, may have there, and has waiting.

        Of each that has tasks, or a cap before its first one.
        """
        at_work, set_caps = self._hash(self._keys.atwork) or {}, self.caps()
        caps = {
            name.removeprefix(_TENANT): cap
            for name, cap in set_caps.items()
            if name.startswith(_TENANT)
        }
        names = sorted(at_work.keys() | caps.keys())
        with self._client.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.zcard(self._keys.waiting(name))
            waiting = pipe.execute()
        return {
            name: {
                "at_work": int(at_work.get(name, 0)),
                "cap": caps.get(name, limits.TENANT_TASKS_MAX),
                "waiting": int(count),
            }
            for name, count in zip(names, waiting, strict=True)
        }

    def set_cap(self, kind: CapKind, name: str, cap: int | None) -> None:
        """Bound an agent or a tenant; None for what holds where nobody has set anything.

        What already is in flight or at work stays; whoever the new cap has room for is woken.
        """
        admitted = limits.ADMIT_MAX
        while admitted == limits.ADMIT_MAX:
            admitted = self._scripts.run("set_cap", [], [kind, name, or_empty(cap)])

    def reset_breaker(self, agent: str) -> bool:
        """Close an agent's breaker and forget its faults; False where there was nothing known."""
        return bool(self._scripts.run("reset_breaker", [], [agent]))

    def queue_depth(self, agent: str) -> int:
        """Count the messages that wait for an agent, in all lanes."""
        queue = self._keys.queue(agent)
        lanes = {queue.encode(), *self._client.zrange(self._keys.lanes(queue), 0, -1)}
        with self._client.pipeline(transaction=False) as pipe:
            for lane in lanes:
                pipe.llen(lane)
            return sum(pipe.execute())

    def queues(self) -> list[tuple[str, str, int]]:
        """Return each agent's queue, and its lanes that have messages: agent, name, depth.

        Of those too that no worker has ever run: what waits for them is what nobody will fetch.
        """
        agents = sorted(self.agents())
        queues = [self._keys.queue(agent) for agent in agents]
        with self._client.pipeline(transaction=False) as pipe:
            for queue in queues:
                pipe.zrange(self._keys.lanes(queue), 0, -1)
            lanes = [sorted({each.decode() for each in found}) for found in pipe.execute()]
        named = [
            (agent, name)
            for agent, queue, beside in zip(agents, queues, lanes, strict=True)
            for name in dict.fromkeys((queue, *beside))
        ]
        with self._client.pipeline(transaction=False) as pipe:
            for _, name in named:
                pipe.llen(name)
            depths = pipe.execute()
        return [(*each, int(depth)) for each, depth in zip(named, depths, strict=True)]
