"""Replay what others recorded, and hold every stop against an independent oracle.

    python bench/replay.py --data DIR --json
    python bench/replay.py --data DIR --real 24

`DIR` holds sets of recorded runs, each with its oracle (tests/data is one; replay_traces.py says
what is in them). Every run is played through the real core under each guard by itself; with
`--real N` a sample also through a real server, orchestrators and Celery workers. A run must be
stopped exactly where the oracle says, cost exactly what it says, and end: else the exit code is 1.

Where the pieces are: replay_traces.py reads, replay_script.py turns turns into messages,
replay_core.py and replay_real.py play, replay_bursts.py is about breakers, replay_report.py counts.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import replay_bursts, replay_real, replay_report
from bench.replay_report import Replayed
from bench.replay_traces import Recorded, read

SHOWN = 20
"""Disagreements that are told one by one; more of them have one cause."""
CHECKED = ("mismatches", "token_mismatches", "lost")


def main() -> int:
    """Replay, print, and say by the exit code whether all is as expected."""
    args = arguments()
    report = {**fast(sets := read(args.data)), "real": real(sets, args.real)}
    print(json.dumps(report) if args.json else "\n".join(table(report)))
    return int(any(part[name] for part in (report, report["real"]) for name in CHECKED))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="where the sets are")
    parser.add_argument("--real", type=int, default=0, help="how many runs to play for real too")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def fast(sets: Sequence[Recorded]) -> dict[str, Any]:
    """Play every run through the core, and every call through a breaker."""
    began = time.monotonic()
    runs = {each.name: replay_report.replay(each) for each in sets if each.expected}
    called = [trace for each in sets if not each.expected for trace in each.traces]
    report = {
        **totals([run for each in runs.values() for run in each]),
        "sets": {name: replay_report.of_set(each) for name, each in runs.items()},
        "bursts": replay_bursts.replay(called),
    }
    report["traces"] += len(called)
    return {**report, "seconds": round(time.monotonic() - began, 1)}


def real(sets: Sequence[Recorded], wanted: int) -> dict[str, Any]:
    """Play a sample through server, orchestrators and workers."""
    if not wanted:
        return totals([])
    began = time.monotonic()
    expected = {name: each for recorded in sets for name, each in recorded.expected.items()}
    sampled = replay_real.sample(sets, wanted)
    with tempfile.TemporaryDirectory() as folder:
        endings = replay_real.replay(sampled, Path(folder))
    pairs = zip(sampled, endings, strict=True)
    report = totals([Replayed(trace, expected[trace.id], each) for trace, each in pairs])
    return {**report, "seconds": round(time.monotonic() - began, 1)}


def totals(runs: Sequence[Replayed]) -> dict[str, Any]:
    """Count what must be none."""
    wrong = [text for run in runs for text in run.disagreements]
    return {
        "traces": len(runs),
        "mismatches": len(wrong),
        "token_mismatches": sum(run.sums_differ for run in runs),
        "lost": sum(run.lost for run in runs),
        "disagreements": wrong[:SHOWN],
    }


def table(report: dict[str, Any]) -> Iterator[str]:
    """Write the report for a person."""
    for name, each in report["sets"].items():
        outcomes = ", ".join(f"{count:,} {outcome}" for outcome, count in each["outcomes"].items())
        yield f"{name}: {each['traces']:,} runs ({outcomes})"
        yield from (_guard_row(*row) for row in each["guards"].items())
        yield f"  liberties taken: {_figures(each['liberties']) or 'none'}"
    yield f"bursts: {_figures(report['bursts'])}"
    yield f"core: {_figures(report)}"
    yield f"real: {_figures(report['real'])}"
    yield from (*report["disagreements"], *report["real"]["disagreements"])


def _guard_row(guard: str, row: dict[str, Any]) -> str:
    saved = ", ".join(
        f"{each['tok_out_share']:.0%} written and {each['tok_ctx_share']:.0%} read of {outcome}"
        for outcome, each in row["saved"].items()
    )
    false = f"{row['false_stops']} of {row['successes']} successes"
    return (
        f"  {guard:24} stops {row['stopped']:4} of {row['runs']:,}; {false:>22}, "
        f"{row['answers_in_hand']} with the answer in hand; saves {saved or 'nothing'}"
    )


def _figures(part: dict[str, Any]) -> str:
    plain = {name: each for name, each in part.items() if isinstance(each, int | float)}
    return ", ".join(f"{each:,} {name.replace('_', ' ')}" for name, each in plain.items())


if __name__ == "__main__":
    sys.exit(main())
