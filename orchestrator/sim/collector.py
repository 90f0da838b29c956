"""Collect the evidence of a simulated world."""

from typing import TYPE_CHECKING

from envelopes import limits
from orchestrator.news import START
from orchestrator.sim.cast import about
from orchestrator.sim.evidence import (
    Bytes,
    ClaimEvidence,
    Evidence,
    LetterEvidence,
    TaskEvidence,
    agent_caps,
    spend_of,
    task_evidence,
    told_of,
)

if TYPE_CHECKING:
    from orchestrator.sim.world import World


def collect(world: "World") -> Evidence:
    """Collect what the auditor may look at."""
    server, started = world.server, set(world.started)
    return Evidence(
        attempted=frozenset(world.people.attempted),
        acknowledged=frozenset(world.people.acknowledged),
        tasks={task_id: _task(world, task_id) for task_id in server.records},
        claims=[
            ClaimEvidence(subtask, token, since_ms, token in started, token in world.handed_back)
            for subtask, token, since_ms in server.given
        ],
        letters=[
            LetterEvidence(name, _texts(fields), listed=fields["state"] == b"open")
            for name, fields in server.desk.items()
        ],
        stats=server.stats(),
        bytes=Bytes(world.gremlin.injected, world.gremlin.stolen, _queued(world)),
        effects=[each.effect() for booked in world.booked.values() for each in booked],
        inputs=world.inputs,
        retries=server.retries,
        wakes=server.wakes,
        endings=server.endings,
        cancelled=world.people.cancelled,
        moves=server.moves,
        admissions=server.admissions,
        agents=about(),
        caps=agent_caps(server.caps()),
        spend=spend_of(server.spend(limits.SPEND_DAYS_MAX)),
        news=told_of(server.news(START, limits.NEWS_MAX)),
        vanished=frozenset(world.gremlin.vanished),
        neglected=[*server.asleep, *world.vigil.neglected],
        failures=world.failures,
    )


def _task(world: "World", task_id: str) -> TaskEvidence:
    server, mark = world.server, f'"{task_id}/'.encode()
    return task_evidence(
        task_id,
        server.records[task_id],
        server.journals.get(task_id, []),
        alarm=task_id in server.due,
        mail=len(server.mail.get(task_id, ())),
        claims=sum(name.startswith(f"{task_id}/") for name in server.claims),
        messages=sum(mark in raw for queue in server.queues.values() for raw in queue),
    )


def _queued(world: "World") -> int:
    return sum(len(raw) for queue in world.server.queues.values() for raw in queue)


def _texts(fields: dict[str, bytes]) -> dict[str, str]:
    return {name: value.decode(errors="replace") for name, value in fields.items()}
