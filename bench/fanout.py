"""Fan-out against stock Celery, side by side on one server.

    python bench/fanout.py --width 1000 --runs 5 --json

One run measures, one after the other: a Celery chord of N no-op tasks (`ratio_to_chord`), N no-op
tasks that ignore their result (`ratio_to_bare`), and one Buckstop task with N no-op steps through
fetch, claim, charge, report and commit. All three use the same server, the same pool and the same
concurrency; Celery is stock, as a user runs it. Ratios are taken inside a run, because the machine
drifts between runs.

`--fsync always` is what we ship. It costs stock Celery more than us, because we group what we
write, so look at `--fsync everysec` too.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from redis import Redis

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from envelopes.limits import SUBTASKS_CEILING  # noqa: E402
from orchestrator import keyfile  # noqa: E402
from orchestrator.client import Buckstop  # noqa: E402
from orchestrator.embedded import EmbeddedServer  # noqa: E402

WARM_UP = 50
PATIENCE_S = 300


def main() -> None:
    """Measure and print."""
    args = arguments()
    with tempfile.TemporaryDirectory() as folder, stage(Path(folder), args) as sides:
        runs = []
        for side in sides.values():
            side(WARM_UP)
        for _ in range(args.runs):
            runs.append({name: args.width / side(args.width) for name, side in sides.items()})
            print(json.dumps({k: round(v) for k, v in runs[-1].items()}), file=sys.stderr)
    report = {
        "width": args.width,
        "runs": args.runs,
        "pool": args.pool,
        "concurrency": args.concurrency,
        "fsync": args.fsync,
        "throughput": spread([run["buckstop"] for run in runs]),
        "chord": spread([run["chord"] for run in runs]),
        "bare": spread([run["bare"] for run in runs]),
        "ratio_to_chord": spread([run["buckstop"] / run["chord"] for run in runs]),
        "ratio_to_bare": spread([run["buckstop"] / run["bare"] for run in runs]),
    }
    print(json.dumps(report) if args.json else table(report))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--pool", default="threads", choices=["threads", "prefork", "solo"])
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--fsync", default="always", choices=["always", "everysec", "no"])
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


@contextmanager
def stage(folder: Path, args: argparse.Namespace) -> Iterator[dict[str, Callable[[int], float]]]:
    """Start one server, one stock worker, one of ours, one orchestrator."""
    pair = keyfile.make(folder)
    with ExitStack() as stack:
        server = stack.enter_context(EmbeddedServer(folder / "server"))
        Redis.from_url(server.url).config_set("appendfsync", args.fsync)
        env = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "BENCH_URL": server.url,
            "BUCKSTOP_URL": server.url,
            "BUCKSTOP_AGENTS": "bench.agents",
            "BUCKSTOP_SIGNING_KEY_FILE": str(pair.private),
            "BUCKSTOP_PUBLIC_KEYS_FILE": str(pair.public),
        }
        os.environ["BENCH_URL"] = server.url
        worker = ["worker", "-P", args.pool, "-c", str(args.concurrency), "-l", "WARNING"]
        for command in (
            ["celery", "-A", "bench.stock", *worker, "-Q", "stock", "-n", "stock@%h"],
            ["celery", "-A", "workers.app", *worker, "-n", "ours@%h"],
            ["orchestrator.serve"],
        ):
            stack.enter_context(process([sys.executable, "-m", *command], env, folder))
        buckstop = stack.enter_context(Buckstop(server.url))
        yield {
            "chord": chord,
            "bare": lambda width: bare(width, Redis.from_url(server.url)),
            "buckstop": lambda width: fan_out(width, buckstop),
        }


@contextmanager
def process(command: list[str], env: dict[str, str], folder: Path) -> Iterator[None]:
    """Run one process for as long as the block lasts."""
    log = (folder / f"{len(list(folder.iterdir()))}.log").open("w")
    running = subprocess.Popen(command, env=env, cwd=ROOT, stdout=log, stderr=log)  # noqa: S603
    try:
        yield
    finally:
        running.terminate()
        try:
            running.wait(10)
        except subprocess.TimeoutExpired:
            running.kill()


def chord(width: int) -> float:
    """Time a chord of no-ops, from the call to its callback's result."""
    from celery import chord as celery_chord  # noqa: PLC0415 - stock.py reads the server's URL

    from bench.stock import done, noop  # noqa: PLC0415

    began = time.perf_counter()
    answer = celery_chord(noop.s(number) for number in range(width))(done.s()).get(PATIENCE_S)
    assert answer == width
    return time.perf_counter() - began


def bare(width: int, client: Redis) -> float:
    """Time no-ops without results, from the first publish until the broker has none left."""
    from bench.stock import app, bare as task  # noqa: PLC0415, I001

    began = time.perf_counter()
    with app.producer_pool.acquire(block=True) as producer:
        for number in range(width):
            task.apply_async((number,), producer=producer)
    while client.llen("stock") or client.zcard("unacked_index"):
        time.sleep(0.002)
    return time.perf_counter() - began


def fan_out(width: int, buckstop: Buckstop) -> float:
    """Time one task with that many steps, from submit to its outcome."""
    request = {
        "goal": "fan out",
        "plan": [{"id": f"s{number}", "agent": "noop"} for number in range(width)],
        "budget": {"tokens": 10 * width, "calls": 2 * width},
        "subtasks_max": min(2 * width, SUBTASKS_CEILING),  # a machine that stalls loses workers
        "timeout": PATIENCE_S,
        "until": {"kind": "plan_done"},
    }
    began = time.perf_counter()
    result = buckstop.submit(request).wait(PATIENCE_S)
    took = time.perf_counter() - began
    assert result.outcome == "completed", result
    return took


def spread(figures: list[float]) -> dict[str, float]:
    """Return what a reader needs of several runs."""
    return {
        "min": round(min(figures), 3),
        "median": round(median(figures), 3),
        "max": round(max(figures), 3),
    }


def table(report: dict[str, object]) -> str:
    """Write the report for a person."""
    rows = [
        f"{name:16} " + "  ".join(f"{k} {v:>9}" for k, v in figures.items())
        for name, figures in report.items()
        if isinstance(figures, dict)
    ]
    return "\n".join([f"width {report['width']}, {report['runs']} runs", *rows])


if __name__ == "__main__":
    main()
