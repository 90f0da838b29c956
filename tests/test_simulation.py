"""The simulation itself: it is clean, it reaches everything, and a seed replays its world."""

import ast
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from dataclasses import fields
from pathlib import Path
from random import Random

import pytest

from orchestrator.core import decide
from orchestrator.sim import coverage, main
from orchestrator.sim.auditor import Finding, Verdict
from orchestrator.sim.evidence import Evidence
from orchestrator.sim.faults import PER_MINUTE, Faults
from orchestrator.sim.world import World

ROOT = Path(__file__).parent.parent
CORE = ROOT / "orchestrator" / "core"
DIGEST = """
import hashlib
from orchestrator.sim.world import World
seen = World(7, 30).run()
told = [sorted((i, t.journal, t.head) for i, t in seen.tasks.items()), seen.claims, seen.effects]
print(hashlib.sha256(repr(told).encode()).hexdigest())
"""


@pytest.fixture(scope="module")
def report() -> main.Report:
    """Run worlds enough to reach every rule."""
    return main.run(list(range(301, 317)), [40] * 16)


def test_every_promise_holds_in_every_world(report: main.Report) -> None:
    """Invariants 1 to 14 of PROMISES.md, checked by one independent auditor."""
    assert report.violations == []
    assert report.tasks == 640


def test_every_rule_and_every_reason_is_reached(report: main.Report) -> None:
    """Box: "every rule must fire": a rule that no world reaches is tested by nothing."""
    assert report.rules_never_fired == []


def test_every_predicate_had_something_to_check(report: main.Report) -> None:
    """PROMISES: "A run in which a predicate had nothing to check is void, not green"."""
    assert report.void == []
    assert min(report.checks.values()) > 0


def test_the_reasons_that_must_be_reached_are_those_of_the_core() -> None:
    """A reason that somebody adds to the core tomorrow has to be reached as well."""
    told = _told("note", 0) | _told("judge", 1) | _told("_stuck", 1) | _told("_try_again", 1)
    assert told | _named("why") | _returned() == {*coverage.NOTES, *coverage.CAPS}
    assert {rule.__name__ for rule in decide.RULES} == {
        name.removeprefix("rule ")
        for name in coverage.never_fired(Counter())
        if name.startswith("rule ")
    }


def test_a_seed_replays_its_world_to_the_last_call() -> None:
    """Box: "seeds printed with the command that replays them"; not even hashing may differ."""
    told = set()
    for hash_seed in ("1", "2"):
        environ = {**os.environ, "PYTHONHASHSEED": hash_seed}
        run = [sys.executable, "-c", DIGEST]
        ended = subprocess.run(run, cwd=ROOT, env=environ, capture_output=True, check=True)
        told.add(ended.stdout)
    assert len(told) == 1


def test_no_clock_but_the_servers_has_any_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fault matrix: "clock ±2 h on any process: no effect"."""
    first = _journals(World(9, 25).run())
    monkeypatch.setattr(time, "time", lambda: random.uniform(-7200, 7200))
    monkeypatch.setattr(time, "monotonic", lambda: random.uniform(-7200, 7200))
    assert _journals(World(9, 25).run()) == first


def test_worlds_differ_in_what_goes_wrong() -> None:
    """Each fault is on in some worlds only: with all always on, tasks die too young."""
    drawn = [Faults.drawn(Random(seed)) for seed in range(50)]
    rates = [each.name for each in fields(Faults)]
    assert set(PER_MINUTE) < set(rates)
    for name in rates:
        on = sum(getattr(faults, name) > 0 for faults in drawn)
        assert 10 <= on <= 40, name


def test_a_broken_promise_is_printed_with_the_command_that_replays_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Box: "Printed failing seeds come with the exact command that replays them"."""
    broken = Verdict(findings={"3 the ceiling": Finding(1, 1, ["t1 spent too much"])})
    monkeypatch.setattr(main, "audit", lambda _evidence: broken)
    assert main.run_from_cli(50, 10, 17, as_json=False) == 1
    told = capsys.readouterr().out
    assert "3 the ceiling: t1 spent too much" in told
    assert "buckstop simulate --seed 17 --tasks 10" in told


def test_a_world_that_falls_apart_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception in a world is a finding with a seed, not the end of the run."""
    monkeypatch.setattr(World, "run", lambda _world: int("nothing"))
    report = main.run([4], [10])
    assert report.failed
    assert report.violations[0].what.startswith("ValueError: invalid literal")


def test_the_json_has_what_was_promised(capsys: pytest.CaptureFixture[str]) -> None:
    """Box: "JSON has `tasks`, `decisions`, `violations`, `rules_never_fired`"."""
    assert main.main(["--seeds", "2", "--tasks", "30", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["tasks"] == 30
    assert told["seeds"] == 2
    assert told["decisions"] > 30
    assert told["violations"] == []
    assert {"rules_never_fired", "void", "seconds"} < told.keys()


def test_tasks_are_shared_out_to_the_last_one() -> None:
    """Box: "`--tasks` is the total over all seeds"."""
    assert main.shares(10, 4) == [3, 3, 2, 2]


def test_a_small_run_need_not_reach_everything_and_a_big_one_must() -> None:
    """One replayed world cannot fire every rule; two thousand tasks that do not prove nothing."""
    assert not main.Report(1, tasks=40, rules_never_fired=["rule wait"]).failed
    assert main.Report(50, tasks=2000, rules_never_fired=["rule wait"]).failed
    assert main.Report(50, tasks=2000, void=["8 a subtask is run at most once"]).failed


def _journals(evidence: Evidence) -> dict[str, object]:
    return {task_id: task.journal for task_id, task in evidence.tasks.items()}


def _told(function: str, place: int) -> set[str]:
    """Find the reasons that the core gives to one of its functions, as text."""
    return {
        call.args[place].value
        for call in _nodes(ast.Call)
        if getattr(call.func, "attr", getattr(call.func, "id", "")) == function
        and len(call.args) > place
        and isinstance(call.args[place], ast.Constant)
    }


def _named(name: str) -> set[str]:
    """Find the reasons that the core first gives a name: `why, text = "lost", ...`."""
    pairs = [
        pair
        for node in _nodes(ast.Assign)
        for pair in zip(_parts(node.targets[0]), _parts(node.value), strict=False)
        if isinstance(pair[1], ast.Constant | ast.IfExp)
    ]
    return set().union(*(_texts(value) for to, value in pairs if getattr(to, "id", "") == name))


def _returned() -> set[str]:
    """Find the reasons that a function of the core hands back first of several things."""
    values = [node.value for node in _nodes(ast.Return) if isinstance(node.value, ast.Tuple)]
    firsts = [first for value in values for first in value.elts[:1]]
    return set().union(*(_texts(first) for first in firsts if isinstance(first, ast.Constant)))


def _parts(node: ast.expr) -> list[ast.expr]:
    return node.elts if isinstance(node, ast.Tuple) else [node]


def _texts(node: ast.expr) -> set[str]:
    """Find the reasons in an expression; what is no single word is a sentence for people."""
    constants = [each for each in ast.walk(node) if isinstance(each, ast.Constant)]
    return {each.value for each in constants if str(each.value).isidentifier()}


def _nodes(kind: type) -> list:
    trees = (ast.parse(path.read_text()) for path in sorted(CORE.glob("*.py")))
    return [node for tree in trees for node in ast.walk(tree) if isinstance(node, kind)]
