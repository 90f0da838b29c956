"""Collect the auditor's evidence from a real server after a run."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from redis import Redis

from envelopes import limits
from envelopes.keys import Keys
from orchestrator.books import Spend, rows_of
from orchestrator.news import START
from orchestrator.sim.evidence import (
    Bytes,
    ClaimEvidence,
    Effect,
    Evidence,
    LetterEvidence,
    TaskEvidence,
    agent_caps,
    spend_of,
    task_evidence,
    told_of,
)
from orchestrator.store import Store
from tests.account import read as read_account


def collect(client: Redis, keys: Keys, acknowledged: Iterable[str], effects: Path) -> Evidence:
    """Look at everything a run of real processes has left, from outside."""
    account = read_account(effects)
    acknowledged = frozenset(acknowledged)
    return look_at(
        client,
        keys,
        acknowledged=acknowledged,
        attempted=acknowledged,
        claims=[
            ClaimEvidence(
                line["subtask"], line["run"], line["at_ms"], started=True, handed_back=False
            )
            for line in account
            if line["what"] == "began"
        ],
        effects=list(_effects(account)),
    )


def look_at(
    client: Redis,
    keys: Keys,
    *,
    acknowledged: Iterable[str],
    attempted: Iterable[str],
    strange: tuple[int, int] = (0, 0),
    **seen: Any,
) -> Evidence:
    """Add what the server holds to what was seen on the way.

    `strange` is how many bytes were put on queues by strangers, and how many were stolen.
    """
    store = Store(client, keys)
    found = {each.decode() for each in client.zrange(keys.tasks, 0, -1)}
    queued = _queued(client, keys)
    return Evidence(
        attempted=frozenset(attempted),
        acknowledged=frozenset(acknowledged),
        tasks={each: _task(client, keys, store, each, queued) for each in found},
        letters=list(_letters(client, keys)),
        stats=store.stats(),
        bytes=Bytes(*strange, queued=sum(len(raw) for raw in queued)),
        agents={name: seen.facts for name, seen in store.agents().items()},
        caps=agent_caps(store.caps()),
        spend=spend_of(_spend(client, keys)),
        news=told_of(store.news(START, limits.NEWS_MAX)),
        **seen,
    )


def _task(
    client: Redis, keys: Keys, store: Store, task_id: str, queued: list[bytes]
) -> TaskEvidence:
    record = store.task(task_id)
    assert record is not None, f"{task_id} is on the list of tasks and has no record"
    return task_evidence(
        task_id,
        record,
        store.journal(task_id),
        alarm=client.zscore(keys.due, task_id) is not None,
        mail=client.llen(keys.mail(task_id)),
        claims=sum(1 for _ in client.scan_iter(keys.claim(f"{task_id}/*"), count=1000)),
        messages=sum(f'"{task_id}/'.encode() in raw for raw in queued),
    )


def _queued(client: Redis, keys: Keys) -> list[bytes]:
    queues = client.scan_iter(keys.queue("*"), count=1000)
    return [raw for queue in queues for raw in client.lrange(queue, 0, -1)]


def _spend(client: Redis, keys: Keys) -> Iterable[Spend]:
    """Read the books of every day, whatever day it is by the clock of the run."""
    for key in client.scan_iter(keys.spend("*"), count=1000):
        yield from rows_of(int(key.decode().removeprefix(keys.spend(""))), client.hgetall(key))


def _letters(client: Redis, keys: Keys) -> Iterable[LetterEvidence]:
    listed = {each.decode() for each in client.zrange(keys.letters, 0, -1)}
    for key in client.scan_iter(keys.letter("*"), count=1000):
        name = key.decode().removeprefix(keys.letter(""))
        fields = {k.decode(): v.decode(errors="replace") for k, v in client.hgetall(key).items()}
        yield LetterEvidence(name, fields, listed=name in listed)


def _effects(account: list[dict]) -> Iterable[Effect]:
    """Make one effect of each call that was meant.

    Between being booked and being made, and between being answered and being settled, its worker
    may have died. The account cannot tell, so the auditor is told the looser thing.
    """
    seen = {(line.get("op"), line["what"]): line for line in account}
    for line in account:
        if line["what"] == "meant":
            called, answered = (seen.get((line["op"], what)) for what in ("called", "answered"))
            made = (0, 0, 1) if answered is None else answered["real"]
            yield Effect(
                subtask=line["subtask"],
                token=line["run"],
                op=line["op"],
                worst=tuple((called or line)["worst"]),
                real=None if called is None else tuple(made),
                at_ms=line["at_ms"],
                settled=False,
            )
