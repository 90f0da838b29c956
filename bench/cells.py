"""What one task costs, and what one cell or two bring on this machine.

    python bench/cells.py --cells 1 --json          one cell
    python bench/cells.py --cells 2 --json          two, each with its own processes
    python bench/cells.py --steps 5 --bytes 2000    tasks of five steps in a row, answers of 2 KB
    python bench/cells.py --http                    submitted over HTTP: what the API costs
    python bench/cells.py --hold 30 --tasks 200     what it costs that so many agents wait

A cell is a server, an orchestrator and a worker. Tasks are submitted by eight threads, for many
tenants, to the cell of each; the clock runs from the first submit until all have ended. CPU time
is taken from the kernel, process by process; bytes written and bytes kept from the server. So the
figures are what docs/concepts/scale.md reckons with, whatever bounds the throughput here: on a
machine with two cores that is the cores, and a second cell brings next to nothing. It shows that a
cell costs no more for there being two.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml
from redis import Redis

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from envelopes.limits import TOKEN_PER_MINUTE_MAX  # noqa: E402
from orchestrator import keyfile  # noqa: E402
from orchestrator.cells.facade import Cells  # noqa: E402
from orchestrator.embedded import EmbeddedServer  # noqa: E402
from orchestrator.tokens import Scope  # noqa: E402

TENANTS = 64
SUBMITTERS = 8
PATIENCE_S = 600
WARM_UP = 100
LOOK_S = 0.05
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cell:
    """One cell's server and processes."""

    server: EmbeddedServer
    pids: dict[str, int]

    def spent(self) -> dict[str, float]:
        """Return the CPU seconds of each process until now."""
        return {name: cpu_s(pid) for name, pid in {"server": self.server.pid, **self.pids}.items()}

    def kept(self) -> dict[str, int]:
        """Return what the server has written and holds."""
        with Redis.from_url(self.server.url) as client:
            memory, disk = client.info("memory"), client.info("persistence")
            calls = client.info("stats")["total_commands_processed"]
        return {
            "memory_bytes": memory["used_memory_dataset"],
            "aof_bytes": disk["aof_current_size"],
            "commands": calls,
        }


def main() -> None:
    """Measure and print."""
    args = arguments()
    with tempfile.TemporaryDirectory() as folder, staged(Path(folder), args) as (deployment, cells):
        if args.hold:
            print(json.dumps(held(deployment, cells[0], args)))
            return
        through(deployment, WARM_UP, args)
        before = [(one.spent(), one.kept()) for one in cells]
        client_s, began = cpu_s(os.getpid()), time.perf_counter()
        submitted_s = through(deployment, args.tasks, args)
        took_s = time.perf_counter() - began
        after = [(one.spent(), one.kept()) for one in cells]
        report = {
            "cells": args.cells,
            "tasks": args.tasks,
            "steps": args.steps,
            "answer_bytes": args.bytes,
            "fsync": args.fsync,
            "tasks_per_s": round(args.tasks / took_s, 1),
            "submits_per_s": round(args.tasks / submitted_s, 1),
            "cores_busy": round(busy(before, after) / took_s, 2),
            "per_task": per_task(before, after, args.tasks)
            | {"client_cpu_ms": ms(cpu_s(os.getpid()) - client_s, args.tasks)},
        }
    print(json.dumps(report) if args.json else json.dumps(report, indent=2))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=1)
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--bytes", type=int, default=500)
    parser.add_argument("--http", action="store_true")
    parser.add_argument("--hold", type=float, default=0)
    parser.add_argument("--fsync", default="always", choices=["always", "everysec"])
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


@contextmanager
def staged(folder: Path, args: argparse.Namespace) -> Iterator[tuple[Cells, list[Cell]]]:
    """Start the cells, and open a door in front of them."""
    with ExitStack() as stack:
        cells = [cell(stack, folder / f"cell-{n}", args) for n in range(args.cells)]
        file = folder / "cells.yaml"
        urls = {f"cell-{n}": {"url": one.server.url} for n, one in enumerate(cells)}
        file.write_text(yaml.safe_dump({"cells": urls}))
        deployment = stack.enter_context(Cells.read(file, {}))
        if args.http:
            cells[0].pids["http"] = door(stack, folder, file, deployment, args)
        yield deployment, cells


def door(
    stack: ExitStack, folder: Path, file: Path, deployment: Cells, args: argparse.Namespace
) -> int:
    """Start the API in front of all cells, and let `args.http` submit to it; return its pid."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    env = {**os.environ, "PYTHONPATH": str(ROOT), "BUCKSTOP_CELLS": str(file)}
    command = ["orchestrator.http", "--port", port]
    pid = stack.enter_context(process(command, env, folder / "http.log"))
    token = deployment.tokens.new("bench", [Scope.SUBMIT], per_minute=TOKEN_PER_MINUTE_MAX)
    transport = httpx.HTTPTransport(retries=10)
    headers = {"Authorization": f"Bearer {token}"}
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, transport=transport)
    args.http = stack.enter_context(client)
    return pid


def cell(stack: ExitStack, folder: Path, args: argparse.Namespace) -> Cell:
    """Start one cell: a server, an orchestrator, a worker."""
    server = stack.enter_context(EmbeddedServer(folder / "server"))
    with Redis.from_url(server.url) as client:
        client.config_set("appendfsync", args.fsync)
        client.config_set("auto-aof-rewrite-percentage", 0)  # sizes are to be compared
    pair = keyfile.make(folder)
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith("BUCKSTOP_")},
        "PYTHONPATH": str(ROOT),
        "BUCKSTOP_URL": server.url,
        "BUCKSTOP_AGENTS": "bench.agents",
        "BUCKSTOP_SIGNING_KEY_FILE": str(pair.private),
        "BUCKSTOP_PUBLIC_KEYS_FILE": str(pair.public),
    }
    at_once = str(args.tasks if args.hold else 8)
    worker = ["celery", "-A", "workers.app", "worker", "-P", "threads", "-c", at_once]
    commands = {"orchestrator": ["orchestrator.serve"], "worker": worker}
    return Cell(
        server,
        {
            name: stack.enter_context(process(command, env, folder / f"{name}.log"))
            for name, command in commands.items()
        },
    )


@contextmanager
def process(command: list[str], env: dict[str, str], log: Path) -> Iterator[int]:
    """Run one process for as long as the block lasts, and yield its id."""
    with log.open("w") as out:
        running = subprocess.Popen(  # noqa: S603 -- our own programs
            [sys.executable, "-m", *command], env=env, cwd=ROOT, stdout=out, stderr=out
        )
    try:
        yield running.pid
    finally:
        running.terminate()
        running.wait(60)


def through(deployment: Cells, count: int, args: argparse.Namespace) -> float:
    """Submit tasks and wait until all have ended; return how long the submits took."""
    done = deployment.overview().completed + count
    began = time.perf_counter()
    with ThreadPoolExecutor(SUBMITTERS) as threads:
        list(threads.map(lambda n: submit(deployment, request(n, args), args), range(count)))
    submitted_s = time.perf_counter() - began
    give_up = began + PATIENCE_S
    while deployment.overview().completed < done:
        assert time.perf_counter() < give_up, deployment.overview()
        time.sleep(LOOK_S)
    return submitted_s


def submit(deployment: Cells, wanted: dict[str, Any], args: argparse.Namespace) -> None:
    """Submit one task, by the library or over HTTP."""
    if not args.http:
        deployment.submit(wanted)
        return
    answer = args.http.post("/v1/tasks", json=wanted)
    assert answer.is_success, answer.text


def held(deployment: Cells, one: Cell, args: argparse.Namespace) -> dict[str, float]:
    """Let agents wait, and say what each second of one costs while nothing else happens."""
    for number in range(args.tasks):
        wanted = request(number, args) | {"input": {"seconds": args.hold}}
        deployment.submit(wanted | {"plan": [{"id": "s", "agent": "hold"}]})
    while deployment.overview().waiting or not deployment.overview().open:
        time.sleep(LOOK_S)
    time.sleep(args.hold / 4)  # what was still under way has come to rest
    seen, began = [(one.spent(), one.kept())], time.perf_counter()
    time.sleep(args.hold / 2)
    took_s = time.perf_counter() - began
    cost = per_task(seen, [(one.spent(), one.kept())], args.tasks)
    assert deployment.overview().open == args.tasks, "some have ended: hold longer"
    return {name: round(figure / took_s, 4) for name, figure in cost.items()} | {"of": args.tasks}


def request(number: int, args: argparse.Namespace) -> dict[str, Any]:
    """Return a task of some steps in a row."""
    steps = [
        {"id": f"s{n}", "agent": "answer", "needs": [f"s{n - 1}"] if n else []}
        for n in range(args.steps)
    ]
    return {
        "goal": "compare three vendors of industrial pumps by price, delivery time and service",
        "tenant": f"tenant-{number % TENANTS}",
        "plan": steps,
        "input": {"bytes": args.bytes},
        "budget": {"tokens": 100 * args.steps, "calls": 10 * args.steps},
        "timeout": PATIENCE_S,
        "until": {"kind": "plan_done"},
    }


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process, as the kernel counts them."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


Seen = list[tuple[dict[str, float], dict[str, int]]]


def busy(before: Seen, after: Seen) -> float:
    """Return the CPU seconds of all cells' processes together."""
    return sum(
        now[name] - then[name]
        for (then, _), (now, _) in zip(before, after, strict=True)
        for name in now
    )


def per_task(before: Seen, after: Seen, tasks: int) -> dict[str, float]:
    """Return what one task has cost, over all cells."""
    cost: dict[str, float] = {}
    for (cpu_then, kept_then), (cpu_now, kept_now) in zip(before, after, strict=True):
        for name, now in cpu_now.items():
            key = f"{name}_cpu_ms"
            cost[key] = cost.get(key, 0) + ms(now - cpu_then[name], tasks)
        for name, figure in kept_now.items():
            cost[name] = cost.get(name, 0) + round((figure - kept_then[name]) / tasks, 1)
    return {name: round(figure, 2) for name, figure in cost.items()}


def ms(seconds: float, tasks: int) -> float:
    """Return milliseconds for each task."""
    return round(seconds * 1000 / tasks, 2)


if __name__ == "__main__":
    main()
