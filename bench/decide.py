"""Time the pure core: one decision of a five-step task.

    python bench/decide.py --json

A life is six decisions: the first publishes, each other absorbs one envelope. A bare loop is
timed side by side, because machines differ and drift.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from envelopes import Amounts, Budget, Envelope, PlanDone, Step, TaskRequest
from orchestrator.core import state
from orchestrator.core.commands import Decision
from orchestrator.core.decide import decide
from orchestrator.core.facts import Report, Sight

NEEDS = {"a": (), "b": (), "c": ("a", "b"), "d": ("c",), "e": ("c",)}
REQUEST = TaskRequest(
    goal="five steps",
    plan=tuple(Step(id=name, agent=name, needs=needs) for name, needs in NEEDS.items()),
    budget=Budget(tokens=10_000),
    timeout=60,
    until=PlanDone(),
)
TURNS = 1_000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lives", type=int, default=2_000)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    measured = [(life_us() / (len(NEEDS) + 1), bare_loop_us()) for _ in range(args.lives)]
    decisions = sorted(decision for decision, _ in measured)
    report = {
        "decide_us": {"min": round(decisions[0], 1), "median": round(median(decisions), 1)},
        "ratio_to_1000_bare_turns": round(median(one / bare for one, bare in measured), 2),
    }
    print(json.dumps(report) if args.json else report)


def life_us() -> float:
    """Run a task to its end, and add up what its decisions took."""
    task, spent = state.begin("t", REQUEST, 0), 0.0
    for number in range(len(NEEDS) + 1):
        mail = [Report(number, Amounts(tokens=10), ANSWER)] if number else []
        began = time.perf_counter()
        decision = decide(task, mail, Sight(), number)
        spent += time.perf_counter() - began
        assert isinstance(decision, Decision)
        task = decision.task
    assert task.outcome == "completed"
    return spent * 1_000_000


def bare_loop_us() -> float:
    """Time a thousand turns of a loop that does next to nothing."""
    began = time.perf_counter()
    for number in range(TURNS):
        _ = number * number
    return (time.perf_counter() - began) * 1_000_000


ANSWER = Envelope.success("x" * 500, 0.9)

if __name__ == "__main__":
    main()
