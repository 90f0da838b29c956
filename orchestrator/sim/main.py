"""Run many worlds, audit each, and say what was found.

buckstop simulate --seeds 50 --tasks 2000 [--json]     fifty worlds, two thousand tasks in all
buckstop simulate --seed 17 --tasks 40                 one of them again, call by call the same
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Final, TextIO

from orchestrator.sim import coverage
from orchestrator.sim.auditor import Verdict, audit
from orchestrator.sim.evidence import Evidence
from orchestrator.sim.world import World

SEEDS_DEFAULT: Final = 50
TASKS_DEFAULT: Final = 2_000
_BIG_ENOUGH: Final = 1_000
"""Tasks from which on a run has to reach every rule; one replayed world cannot."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken promise, and how to see it again."""

    seed: int
    what: str
    replay: str


@dataclass(slots=True)
class Report:
    """What a run of the simulation found."""

    seeds: int
    tasks: int = 0
    decisions: int = 0
    subtasks: int = 0
    violations: list[Violation] = field(default_factory=list)
    rules_never_fired: list[str] = field(default_factory=list)
    void: list[str] = field(default_factory=list)
    checks: dict[str, int] = field(default_factory=dict)
    """How often each predicate had something to check."""
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        """Say whether anything was found; a small run need not reach everything."""
        idle = self.tasks >= _BIG_ENOUGH and (self.rules_never_fired or self.void)
        return bool(self.violations or idle)


def run(seeds: Sequence[int], tasks: Sequence[int], *, until_broken: bool = False) -> Report:
    """Run one world for each seed, with so many tasks each; stop early if told so."""
    begun = time.perf_counter()
    report, verdict, fired = Report(len(seeds)), Verdict(), Counter[str]()
    for seed, each in zip(seeds, tasks, strict=True):
        evidence = _run_one(seed, each, report, verdict, fired)
        if evidence is not None:
            report.tasks += each
            report.decisions += evidence.stats.get("commits", 0)
            report.subtasks += evidence.stats.get("pushed", 0)
        if until_broken and report.violations:
            break
    report.rules_never_fired = coverage.never_fired(fired)
    report.void = verdict.void
    report.checks = {name: finding.checked for name, finding in verdict.findings.items()}
    report.seconds = round(time.perf_counter() - begun, 2)
    return report


def _run_one(
    seed: int, tasks: int, report: Report, verdict: Verdict, fired: Counter[str]
) -> Evidence | None:
    replay = f"buckstop simulate --seed {seed} --tasks {tasks}"
    try:
        with coverage.fired_rules(fired):
            evidence = World(seed, tasks).run()
    except Exception as error:  # noqa: BLE001 -- whatever it is, it is found by this seed
        report.violations.append(Violation(seed, f"{type(error).__name__}: {error}", replay))
        return None
    fired.update(coverage.reasons(evidence))
    found = audit(evidence)
    report.violations += [Violation(seed, each, replay) for each in found.violations]
    verdict.add(found)
    return evidence


def shares(tasks: int, seeds: int) -> list[int]:
    """Divide tasks among worlds; the first ones get what is left over."""
    return [tasks // seeds + (place < tasks % seeds) for place in range(seeds)]


def run_from_cli(seeds: int, tasks: int, seed: int | None, *, as_json: bool) -> int:
    """Run, print, and return the exit code: 0 clean, 1 something was found."""
    numbers = list(range(1, seeds + 1)) if seed is None else [seed]
    report = run(numbers, shares(tasks, len(numbers)))
    if as_json:
        sys.stdout.write(json.dumps(asdict(report)) + "\n")
    else:
        _print(report, sys.stdout)
    return int(report.failed)


def _print(report: Report, out: TextIO) -> None:
    out.write(
        f"{report.tasks} tasks, {report.subtasks} subtasks and {report.decisions} decisions "
        f"in {report.seeds} worlds, {report.seconds} s\n"
    )
    out.write(f"{sum(report.checks.values())} checks of {len(report.checks)} promises\n")
    out.writelines(
        f"BROKEN  {each.what}\n        see it again: {each.replay}\n" for each in report.violations
    )
    if report.tasks >= _BIG_ENOUGH:
        out.writelines(f"never reached: {name}\n" for name in report.rules_never_fired)
        out.writelines(f"nothing to check: {name}\n" for name in report.void)
    out.write("something was found\n" if report.failed else "every promise held\n")


def main(argv: Sequence[str]) -> int:
    """Run from a command line."""
    parser = argparse.ArgumentParser(prog="python -m orchestrator.sim", description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS_DEFAULT, help="how many worlds")
    parser.add_argument("--tasks", type=int, default=TASKS_DEFAULT, help="in all worlds together")
    parser.add_argument("--seed", type=int, help="run this world only")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    asked = parser.parse_args(argv)
    return run_from_cli(asked.seeds, asked.tasks, asked.seed, as_json=asked.json)
