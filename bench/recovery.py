"""Kill a worker in the middle of a step, and time how long the step is not running.

    python bench/recovery.py --runs 5 --json

One run: a task with one step; as soon as its agent has begun, its worker process is SIGKILLed; the
clock stops when the agent begins again in another process. Silence counts as death after LEASE_MS
from the last beat, so a run takes up to a lease and what it takes to notice.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from envelopes import limits  # noqa: E402
from orchestrator import keyfile  # noqa: E402
from orchestrator.client import Buckstop  # noqa: E402
from orchestrator.embedded import EmbeddedServer  # noqa: E402
from orchestrator.leash import leashed  # noqa: E402

PATIENCE_S = 60
REQUEST = {
    "goal": "sleep",
    "agent": "sleeper",
    "budget": {"calls": 10},
    "timeout": 300,
    "until": {"kind": "plan_done"},
}


def main() -> None:
    """Measure and print."""
    args = arguments()
    with tempfile.TemporaryDirectory() as folder, Stage(Path(folder)).running() as stage:
        seconds = []
        for _ in range(args.runs):
            seconds.append(stage.kill_one())
            print(f"{seconds[-1]:.2f} s", file=sys.stderr)
    report = {
        "runs": args.runs,
        "lease_s": limits.LEASE_MS / 1000,
        "recovery_s": {
            "min": round(min(seconds), 3),
            "median": round(median(seconds), 3),
            "max": round(max(seconds), 3),
        },
    }
    print(json.dumps(report) if args.json else table(report))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


class Stage:
    """One server, one orchestrator, two workers."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._began = folder / "began"
        self._began.touch()
        self._workers: dict[int, subprocess.Popen[bytes]] = {}

    @contextmanager
    def running(self) -> Iterator["Stage"]:
        """Start everything, and end it."""
        pair = keyfile.make(self._folder)
        with EmbeddedServer(self._folder / "server") as server, Buckstop(server.url) as caller:
            self._caller = caller
            self._env = {
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "BUCKSTOP_URL": server.url,
                "BUCKSTOP_AGENTS": "bench.sleeper",
                "BUCKSTOP_SIGNING_KEY_FILE": str(pair.private),
                "BUCKSTOP_PUBLIC_KEYS_FILE": str(pair.public),
                "BEGAN": str(self._began),
            }
            owner = self._start("orchestrator.serve")
            self._start_worker()
            self._start_worker()
            try:
                yield self
            finally:
                for process in (owner, *self._workers.values()):
                    process.kill()
                    process.wait()

    def kill_one(self) -> float:
        """Kill the worker of a step; return how long it took until the step ran elsewhere."""
        task = self._caller.submit(REQUEST)
        first = self._wait_for(f"{task.id}/1")
        killed_at = time.time()
        os.kill(first["pid"], signal.SIGKILL)
        again = self._wait_for(f"{task.id}/2")
        assert again["pid"] != first["pid"]
        task.cancel(by="bench", why="seen enough")
        task.wait(PATIENCE_S)
        self._workers.pop(first["pid"]).wait()
        self._start_worker()
        return float(again["at"] - killed_at)

    def _wait_for(self, subtask: str) -> dict[str, Any]:
        give_up = time.monotonic() + PATIENCE_S
        while time.monotonic() < give_up:
            for line in map(json.loads, self._began.read_text().splitlines()):
                if line["subtask"] == subtask:
                    return dict(line)
            time.sleep(0.005)
        raise SystemExit(f"{subtask} did not begin within {PATIENCE_S} s")

    def _start_worker(self) -> None:
        options = ["-P", "threads", "-c", "2", "-l", "INFO"]
        name = f"w{len(list(self._folder.iterdir()))}@%h"
        process = self._start("celery", "-A", "workers.app", "worker", *options, "-n", name)
        self._workers[process.pid] = process

    def _start(self, *command: str) -> subprocess.Popen[bytes]:
        """Start a process; it is ready when it says so, or a second later."""
        path = self._folder / f"{len(list(self._folder.iterdir()))}.log"
        line = leashed([sys.executable, "-m", *command])
        with path.open("wb") as log:
            process = subprocess.Popen(line, env=self._env, cwd=ROOT, stdout=log, stderr=log)  # noqa: S603
        give_up = time.monotonic() + PATIENCE_S
        while b"ready" not in (said := path.read_bytes()) and b"serving" not in said:
            assert process.poll() is None, said.decode()
            assert time.monotonic() < give_up, said.decode()
            time.sleep(0.05)
        return process


def table(report: dict[str, Any]) -> str:
    """Write the report for a person."""
    figures = "  ".join(f"{name} {value:.2f} s" for name, value in report["recovery_s"].items())
    return f"{report['runs']} kills, lease {report['lease_s']:.0f} s: running again after {figures}"


if __name__ == "__main__":
    main()
