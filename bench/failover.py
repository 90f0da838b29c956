"""Lose a primary under load, and count what was acknowledged and is gone.

    python bench/failover.py --runs 3 --json

Each run: three servers, three Sentinels that call a primary down after a second of silence, an
orchestrator, a worker, and a client that submits one task after the other. Then the primary

    killed    is SIGKILLed: a crash of its process
    cut off   is cut off from its replicas and Sentinels, while clients still reach it, and dies
              five seconds later: a broken network, the worst that can happen

as it is, with `min-replicas-to-write 1`, and with BUCKSTOP_REPLICAS=1. What was acknowledged and is
unknown to the new primary is lost. The clocks run from the loss of the primary to the next submit
that is acknowledged, and to the next task that ends.
"""

import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from redis.exceptions import RedisError  # noqa: E402

from envelopes.keys import Keys  # noqa: E402
from envelopes.scripts import connect  # noqa: E402
from orchestrator import intake  # noqa: E402
from orchestrator.store import Store  # noqa: E402
from tests.fleet import Fleet, ended  # noqa: E402
from tests.sentinel.bed import Bed  # noqa: E402
from tests.until import until  # noqa: E402

KEYS = Keys("failover:")
CUT_S = 5
DOWN_AFTER_MS = 1_000
"""Nobody else uses the machine while this measures; docs/how-to/sentinel.md names it."""
WARM_S = 3
AFTER_S = 3
REQUEST = {
    "goal": "g",
    "agent": "one",
    "input": {"does": "work", "seconds": 0},
    "budget": {"tokens": 1_000, "calls": 10},
    "timeout": 300,
    "until": {"kind": "plan_done"},
}


@dataclass(frozen=True)
class Case:
    """One way to lose a primary, and one way to be careful."""

    name: str
    cut: bool = False
    replicas_to_write: int = 0
    replicas: int = 0


CASES = (
    Case("killed"),
    Case("killed, BUCKSTOP_REPLICAS=1", replicas=1),
    Case("cut off", cut=True),
    Case("cut off, min-replicas-to-write 1", cut=True, replicas_to_write=1),
    Case("cut off, BUCKSTOP_REPLICAS=1", cut=True, replicas=1),
)


@dataclass
class Tally:
    """What one run has seen."""

    acknowledged: list[tuple[float, str]] = field(default_factory=list)
    """When, and which task."""


def main() -> None:
    """Measure and print."""
    args = arguments()
    report = {}
    for case in CASES:
        runs = [one(case) for _ in range(args.runs)]
        report[case.name] = {name: spread([run[name] for run in runs]) for name in runs[0]}
        print(case.name, report[case.name], file=sys.stderr)
    print(json.dumps(report) if args.json else table(report))


def one(case: Case) -> dict[str, float]:
    """Lose a primary once."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Bed(
            Path(folder) / "bed",
            replicas_to_write=case.replicas_to_write,
            down_after_ms=DOWN_AFTER_MS,
            cuttable=case.cut,
        ) as bed,
    ):
        fleet = Fleet(Path(folder), bed.url, KEYS.prefix, "tests.chaos_agents")
        try:
            fleet.orchestrator("orchestrator")
            fleet.worker("threads")
            return lose(case, bed, Store(connect(bed.url), KEYS, case.replicas))
        finally:
            fleet.stop()


def lose(case: Case, bed: Bed, store: Store) -> dict[str, float]:
    """Submit all the time; lose the primary in the middle of it."""
    until("agents are there", lambda: "one" in store.agents(), 60)
    tally = Tally()
    submit_for(WARM_S, case, store, tally)
    old, lost_at = bed.primary(), time.monotonic()
    if case.cut:
        assert bed.line is not None
        bed.line.cut()
        submit_for(CUT_S, case, store, tally)
    bed.kill(old)
    while bed.primary() == old or not tally.acknowledged[-1][0] > time.monotonic() - 1:
        submit_for(0.2, case, store, tally)
    ends_before = ended(store)
    submit_for(AFTER_S, case, store, tally)
    until("tasks end again", lambda: ended(store) > ends_before, 60)
    gone = [at for at, task in tally.acknowledged if store.task(task) is None]
    return {
        "acknowledged": len(tally.acknowledged),
        "lost": len(gone),
        "lost_span_s": round(max(gone) - min(gone), 2) if gone else 0,
        "longest_pause_s": round(longest_pause(tally, lost_at), 2),
        "next_end_s": round(next_end(store, bed, lost_at), 2),
    }


def submit_for(seconds: float, case: Case, store: Store, tally: Tally) -> None:
    """Submit one task after the other; what is not acknowledged is not counted."""
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        try:
            done = store.submit(intake.submission(REQUEST))
        except RedisError:
            time.sleep(0.02)
            continue
        if done.copies >= case.replicas:
            tally.acknowledged.append((time.monotonic(), done.task_id))
        time.sleep(0.005)


def longest_pause(tally: Tally, lost_at: float) -> float:
    """Say how long no submit that has survived was acknowledged, from the loss on."""
    times = [lost_at, *(at for at, _ in tally.acknowledged if at > lost_at)]
    return max(later - before for before, later in pairwise(times))


def next_end(store: Store, bed: Bed, lost_at: float) -> float:
    """Say when the first task ended on the new primary, by its news, after the loss."""
    with bed.client(bed.primary()) as client:
        seconds, micros = client.time()
    server_lost_ms = (seconds + micros / 1e6 - (time.monotonic() - lost_at)) * 1000
    ends = [
        int(line.id.partition("-")[0])
        for line in store.news("0-0", 100_000)
        if line.event == "task.ended"
    ]
    return (min(at for at in ends if at > server_lost_ms + 1_000) - server_lost_ms) / 1000


def spread(figures: list[float]) -> dict[str, float]:
    """Return the median and the range."""
    return {"median": median(figures), "min": min(figures), "max": max(figures)}


def table(report: dict[str, Any]) -> str:
    """Write the report for people."""
    lines = []
    for name, figures in report.items():
        lines.append(name)
        lines += [
            f"  {what:16} {one['median']:>8} ({one['min']}-{one['max']})"
            for what, one in figures.items()
        ]
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
