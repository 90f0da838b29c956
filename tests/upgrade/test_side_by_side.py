"""An old version and the next one, side by side under load: real processes of two trees."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from envelopes import limits
from orchestrator import intake
from orchestrator.sim.auditor import audit
from orchestrator.store import Store
from tests.collector import collect
from tests.fleet import Fleet
from tests.next_version import NEXT, make_next
from tests.until import until

WITHIN_S = 180
"""For what must happen: a killed worker's lease is ten seconds; what four claims of it have opened,
a breaker, is open for thirty."""
ACT_MS = 600_000
"""Longer than any act."""
TASKS = 30
"""In each act."""


@pytest.fixture
def store(fresh) -> Store:
    return Store(fresh.client, fresh.keys)


@pytest.fixture(scope="module")
def next_tree(tmp_path_factory) -> Path:
    return make_next(tmp_path_factory.mktemp("next"))


@pytest.fixture
def fleet(fresh, tmp_path) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path, fresh.url, fresh.keys.prefix, "tests.chaos_agents")
    try:
        yield fleet
    finally:
        fleet.stop()


def submit(store: Store, count: int = TASKS) -> list[str]:
    """Submit tasks of two steps and a handoff between agents, as the present version does."""
    asked = {
        "goal": "upgrade",
        "timeout": 600,
        "until": {"kind": "plan_done"},
        "budget": {"tokens": 50_000, "calls": 500},
        "at_cap": "abort",
        "plan": [
            {"id": "first", "agent": "one", "input": {"seconds": 0.05}},
            {"id": "then", "agent": "two", "needs": ["first"], "input": {"seconds": 0.02}},
        ],
    }
    return [store.submit(intake.submission(asked)).task_id for _ in range(count)]


def submit_by_next(fleet: Fleet, next_tree: Path) -> list[str]:
    """Submit one task as the next version's command line does."""
    flags = ["--agent", "one", "--goal", "g", "--tokens", "5000", "--timeout", "10m"]
    flags += ["--until", "plan_done", "--input", '{"seconds": 0.02}', "--json"]
    run = subprocess.run(
        [sys.executable, "-m", "orchestrator.cli", "submit", *flags],
        cwd=next_tree,
        env={**fleet._env, "PYTHONPATH": str(next_tree)},
        check=True,
        capture_output=True,
        text=True,
    )
    return [json.loads(run.stdout)["task"]]


def ended(store: Store, tasks: list[str]) -> int:
    stored = (store.task(task) for task in tasks)
    return sum("outcome" in fields for fields in stored if fields)


def heads(store: Store, tasks: list[str]) -> list[dict]:
    return [json.loads(store.task(task)["head"]) for task in tasks]


def all_well(store: Store, tasks: list[str]) -> None:
    """Wait until they have ended, and look that none was harmed by a version it did not know."""
    until("every task ends", lambda: ended(store, tasks) == len(tasks), WITHIN_S)
    outcomes = [store.task(task)["outcome"] for task in tasks]
    assert set(outcomes) == {b"completed"}


@pytest.mark.timeout(900)
def test_an_upgrade_and_the_way_back_lose_nothing(fresh, fleet, store, next_tree, tmp_path) -> None:
    """Issue: "an old orchestrator and a new one, old messages and new workers, side by side"."""
    told = []
    fleet.orchestrator("old-o")
    fleet.worker("old-w")
    until("agents are registered", lambda: "one" in store.agents(), WITHIN_S)
    sign = fresh.keys.speaks("1")
    until("somebody says that they speak the old form", lambda: fresh.client.exists(sign), WITHIN_S)
    fresh.client.pexpire(sign, ACT_MS)  # whoever was killed is away longer on a busy machine
    told += submit(store)

    fleet.orchestrator("new-o", next_tree)
    fleet.worker("new-w", tree=next_tree)
    told += submit(store) + submit_by_next(fleet, next_tree)
    for number, name in enumerate(("old-o", "new-o", "new-w", "old-w", "new-o", "old-o"), 1):
        until(
            "the run goes on", lambda n=number: ended(store, told) >= len(told) * n // 8, WITHIN_S
        )
        fleet.kill(name)
    all_well(store, told)
    assert {head["v"] for head in heads(store, told)} == {1}, "while an old one lives"
    assert not [head for head in heads(store, told) if "weather" in head]

    for name in ("old-w", "old-o"):
        fleet.running.pop(name).terminate()
    fresh.client.pexpire(sign, limits.SERVING_TTL_MS)
    newest = []
    until(
        "the new form is written once the last old one is gone",
        lambda: _is_next(store, newest),
        WITHIN_S,
    )
    told += newest
    told += submit(store)
    fleet.kill("new-w")
    all_well(store, told)

    fleet.worker("old-w")
    fleet.orchestrator("old-o")
    until("an old one is back", lambda: fresh.client.exists(sign), WITHIN_S)
    told += submit(store)
    all_well(store, told)
    claims = fresh.keys.claim("*")
    until("workers are idle", lambda: not list(fresh.client.scan_iter(claims)), WITHIN_S)
    fleet.stop()
    verdict = audit(collect(fresh.client, fresh.keys, told, fleet.effects))
    assert not verdict.violations, "\n".join(verdict.violations)
    _nobody_stumbled(fleet, ("old-o", "old-w", "new-o", "new-w"))


def _is_next(store: Store, told: list[str]) -> bool:
    """Submit one task, and look in which version its end is written."""
    (task,) = submit(store, 1)
    told.append(task)
    until("it ends", lambda: ended(store, [task]) == 1, WITHIN_S)
    (head,) = heads(store, [task])
    return head["v"] == NEXT and head["weather"] == "sunny"


def _nobody_stumbled(fleet: Fleet, names: tuple[str, ...]) -> None:
    """Look into the logs as texts: of those that were killed the last line may not be whole."""
    for name in names:
        said = fleet.log(name)
        assert '"log": "' in said, "a line to find what follows in"
        assert '"said": "a decision failed"' not in said, name
        assert '"fault": "contract"' not in said, name


@pytest.mark.timeout(600)
def test_what_is_too_new_is_never_run_and_never_lost(fresh, fleet, store, next_tree) -> None:
    """An old worker files it as a letter, an old orchestrator leaves it to one that can read it."""
    fleet.orchestrator("new-o", next_tree)
    (task,) = submit(store, 1)
    until("a message in the new form waits", lambda: store.queue_depth("one") == 1, WITHIN_S)
    (raw,) = fresh.client.lrange(fresh.keys.queue("one"), 0, -1)
    assert '"v":2' in json.loads(raw)["headers"]["buckstop"]
    fleet.end("new-o")
    until("nobody serves", lambda: not fresh.client.exists(fresh.keys.serving), WITHIN_S)

    fleet.orchestrator("old-o")
    fleet.worker("old-w")
    until("the message is a letter", lambda: store.count_letters() == 1, WITHIN_S)
    (letter,) = store.find_letters(count=5)
    filed = store.letter(letter.id)
    assert filed["reason"] == b"schema"
    assert re.search(rb"version 2; this worker knows 1 to 1", filed["why"])
    until("the old one leaves it alone", lambda: left_alone(fleet), WITHIN_S)
    assert ended(store, [task]) == 0
    assert not fleet.effects.read_text(), "nobody has run it"

    fleet.orchestrator("new-o", next_tree)
    all_well(store, [task])


def left_alone(fleet: Fleet) -> bool:
    return '"said": "left to a newer one"' in fleet.log("old-o")
