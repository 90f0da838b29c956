"""Orchestrators and workers: who is there, who is missing, who disagrees."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final

from envelopes.keys import Keys
from envelopes.limits import DOCTOR_SAMPLE
from envelopes.versions import OLDEST_VERSION, SCHEMA_VERSION
from orchestrator.checks import Finding, Verdict
from orchestrator.core.task import StepPhase
from orchestrator.doctor.deployment import Deployment, some
from orchestrator.view import TaskView, view
from orchestrator.wanted import Stage, TasksWanted

_STILL_TO_DO: Final = frozenset({StepPhase.WAITING, StepPhase.OPEN})
_NAMED_MAX: Final = 5
_NEWER_LOOKED_FOR: Final = 3
"""How many schema versions after our own are looked for: who skips versions should hear of it."""


def orchestrators(d: Deployment) -> Iterator[Finding]:
    """See whether somebody decides."""
    if d.store.serving():
        yield Finding("orchestrators", Verdict.GOOD, "an orchestrator looks for work")
    else:
        yield Finding(
            "orchestrators",
            Verdict.FAULT,
            "no orchestrator has looked for work lately, so nothing is decided",
            "buckstop serve, and see the logs of those that should run",
        )


def workers(d: Deployment) -> Iterator[Finding]:
    """Count the workers that live."""
    if d.workers:
        places = sum(int(one.get("concurrency", 0)) for one in d.workers.values())
        found = f"{some(len(d.workers), 'living worker')}, {some(places, 'step')} at once"
        yield Finding("workers", Verdict.GOOD, found)
    else:
        yield Finding(
            "workers", Verdict.FAULT, "no worker lives, so nothing is run", "buckstop worker MODULE"
        )


def queues(d: Deployment) -> Iterator[Finding]:
    """Find messages that nobody will fetch."""
    waiting: defaultdict[str, int] = defaultdict(int)
    for agent, _, depth in d.store.queues():
        waiting[agent] += depth
    alone = {agent: n for agent, n in waiting.items() if n and agent not in d.served}
    for agent, depth in sorted(alone.items()):
        yield Finding(
            "queues",
            Verdict.FAULT,
            f"no living worker runs {agent}, and its queue is not empty: {some(depth, 'message')}",
            f"buckstop worker MODULE, with the module that declares {agent}",
        )
    if not alone:
        found = "what waits is for agents that are run: " + some(sum(waiting.values()), "message")
        yield Finding("queues", Verdict.GOOD, found)


def agents_asked_for(d: Deployment) -> Iterator[Finding]:
    """Find agents that open tasks need and no living worker runs."""
    asked: defaultdict[str, list[str]] = defaultdict(list)
    for task in _open_tasks(d):
        for agent in _asks_for(task):
            asked[agent].append(task.id)
    missing = {agent: tasks for agent, tasks in asked.items() if agent not in d.served}
    for agent, tasks in sorted(missing.items()):
        yield Finding(
            "agents",
            Verdict.FAULT,
            f"{agent} is needed by {some(len(tasks), 'open task')} ({_few(tasks)}), and no living "
            "worker runs it",
            f"buckstop worker MODULE, with the module that declares {agent}; or: "
            f"buckstop cancel {tasks[0]}",
        )
    if not missing:
        yield Finding(
            "agents", Verdict.GOOD, f"what is asked for is run: {some(len(asked), 'agent')}"
        )


def _open_tasks(d: Deployment) -> Iterator[TaskView]:
    found = [each.id for each in d.store.find_tasks(TasksWanted(Stage.OPEN), DOCTOR_SAMPLE)]
    for task_id, stored in zip(found, d.store.read_tasks(found), strict=True):
        if stored:  # else it has ended, and expired, since
            yield view(task_id, stored)


def _asks_for(task: TaskView) -> set[str]:
    """Name the agents that are to do what is left of the plan, where it says which."""
    steps = {step.agent for step in task.steps if step.phase in _STILL_TO_DO}
    return {*steps, *task.rooms} - {""}


def declarations(d: Deployment) -> Iterator[Finding]:
    """Find agents that living workers declare differently: the last to start has the last word."""
    said: defaultdict[str, defaultdict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for worker, one in d.workers.items():
        for agent, facts in one.get("declares", {}).items():
            said[agent][json.dumps(facts, sort_keys=True)].append(worker)
    differing = {agent: each for agent, each in said.items() if len(each) > 1}
    for agent, each in sorted(differing.items()):
        texts = sorted(each)
        yield Finding(
            "declarations",
            Verdict.NOTE,
            f"{agent} is declared differently ({_difference(*texts[:2])}) by "
            f"{each[texts[0]][0]} and {each[texts[1]][0]}; the last to start has the last word",
            "run the same code everywhere: restart the workers that are behind",
        )
    if not differing:
        yield Finding("declarations", Verdict.GOOD, "workers agree on what their agents are")


def _difference(one: str, other: str) -> str:
    """Name the facts that two records do not have in common."""
    here, there = json.loads(one), json.loads(other)
    names = [name for name in sorted({*here, *there}) if here.get(name) != there.get(name)]
    return ", ".join(f"{name}: {here.get(name)} or {there.get(name)}" for name in names)


def versions(d: Deployment) -> Iterator[Finding]:
    """Find workers of different versions side by side."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for worker, one in d.workers.items():
        found[_version(one)].append(worker)
    if len(found) > 1:
        told = "; ".join(f"{v}: {_few(names)}" for v, names in sorted(found.items()))
        yield Finding(
            "versions",
            Verdict.NOTE,
            f"workers of {len(found)} versions run side by side ({told}); that is meant to work "
            "while an upgrade lasts",
            "restart those that are behind, if no upgrade is under way",
        )
    else:
        yield Finding("versions", Verdict.GOOD, f"workers run {next(iter(found), 'no version')}")


def schemas(d: Deployment) -> Iterator[Finding]:
    """See which schema versions are spoken: the oldest is what everybody writes in."""
    there = spoken(d.client, d.keys)
    told = ", ".join(map(str, there))
    if [version for version in there if not OLDEST_VERSION <= version <= SCHEMA_VERSION]:
        yield Finding(
            "schemas",
            Verdict.FAULT,
            f"schema versions {told} are spoken, and this one knows {OLDEST_VERSION} to "
            f"{SCHEMA_VERSION}: who is further apart cannot read the other",
            "upgrade one version at a time, see docs/how-to/upgrade.md",
        )
    elif len(there) > 1:
        yield Finding(
            "schemas",
            Verdict.NOTE,
            f"schema versions {told} are spoken, so {there[0]} is written until the last process "
            "that speaks no newer one is gone",
            "restart those that are behind, if no upgrade is under way",
        )
    else:
        yield Finding("schemas", Verdict.GOOD, f"schema version {told or 'none'} is spoken")


def spoken(client: Any, keys: Keys) -> list[int]:
    """Return the schema versions that are spoken at a server, the oldest first."""
    known = range(1, SCHEMA_VERSION + _NEWER_LOOKED_FOR + 1)
    # of one key each: a user may not be allowed to list them
    return [version for version in known if client.exists(keys.speaks(str(version)))]


def _version(said: Mapping[str, Any]) -> str:
    return str(said.get("version", "a version that does not say which"))


def signing_keys(d: Deployment) -> Iterator[Finding]:
    """Find workers that would take every message of our orchestrators for a forgery."""
    if d.signer is None:
        found = "the orchestrators' key is not known here, so it is not compared with the workers'"
        fix = "BUCKSTOP_SIGNING_KEY_FILE=signing.key buckstop doctor, where the key is"
        yield Finding("keys", Verdict.UNKNOWN, found, fix)
        return
    told = {worker: one["keys"] for worker, one in d.workers.items() if "keys" in one}
    strangers = [worker for worker, known in told.items() if d.signer not in known]
    if strangers:
        yield Finding(
            "keys",
            Verdict.FAULT,
            f"the key {d.signer} that orchestrators sign with is not known to {_few(strangers)}; "
            "every message is set aside there",
            "put the new signing.pub beside the old one in their BUCKSTOP_PUBLIC_KEYS_FILE, and "
            "restart them",
        )
    else:
        yield Finding("keys", Verdict.GOOD, f"known to all who say what they know: {d.signer}")


def _few(names: list[str]) -> str:
    more = len(names) - _NAMED_MAX
    return ", ".join(names[:_NAMED_MAX]) + (f" and {more} more" if more > 0 else "")
