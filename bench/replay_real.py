"""Replay recorded runs through everything: a real server, orchestrators, Celery workers.

Every agent that was recorded is an agent here (replay_agents.py), in ordinary workers behind their
gate; every message is sealed, queued, claimed, charged and reported like any other. Each run of the
sample becomes one task per guard and one with none of them, all of them at once.

Used by replay.py. The same without anything around the core: replay_core.py.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from bench.replay_core import FREE, GUARDS, WITH_ORACLE, Ending, Guard, stopped
from bench.replay_script import Script
from bench.replay_traces import Expected, Recorded, Trace
from envelopes import limits
from orchestrator import keyfile
from orchestrator.children import worker_command
from orchestrator.client import Buckstop, TaskHandle, TimedOut
from orchestrator.embedded import EmbeddedServer
from orchestrator.leash import leashed

ROOT: Final = Path(__file__).resolve().parent.parent
ORCHESTRATORS: Final = 2
WORKERS: Final = 2
THREADS: Final = 8
LOOK_EVERY_S: Final = 0.05
PATIENCE_S: Final = 600
"""For all tasks together; what has not ended by then is reported as lost."""


def sample(sets: Sequence[Recorded], wanted: int) -> list[Trace]:
    """Choose runs from all sets in turn, every other one a run that some guard must stop."""
    rows = [row for recorded in sets for row in _rows(recorded)]
    chosen: list[Trace] = []
    for place in range(max(map(len, rows), default=0)):
        chosen += [row[place] for row in rows if place < len(row)]
    return chosen[:wanted]


def _rows(recorded: Recorded) -> Iterator[list[Trace]]:
    """Divide a set into runs that must be stopped and runs that must not."""
    fitting = [trace for trace in recorded.traces if trace.id in recorded.expected and _fits(trace)]
    for stops in (True, False):
        yield [trace for trace in fitting if stops == _must_stop(recorded.expected[trace.id])]


def _must_stop(expected: Expected) -> bool:
    return any(expected.stop[guard.name] is not None for guard in GUARDS)


def _fits(trace: Trace) -> bool:
    """Say whether a caller may ask for so many hops; the fast path takes the others too."""
    return all(len(each.read(trace).hops) < limits.HOPS_CEILING for each in WITH_ORACLE)


def replay(traces: Sequence[Trace], folder: Path) -> list[dict[str, Ending]]:
    """Submit every task, wait for all of them, and return each run's endings by guard."""
    with _running(traces, folder) as buckstop:
        tasks = [[_submit(buckstop, trace, guard) for guard in WITH_ORACLE] for trace in traces]
        give_up = time.monotonic() + PATIENCE_S
        return [
            {
                guard.name: _ending(task, guard.read(trace), give_up)
                for guard, task in zip(WITH_ORACLE, submitted, strict=True)
            }
            for trace, submitted in zip(traces, tasks, strict=True)
        ]


def _submit(buckstop: Buckstop, trace: Trace, guard: Guard) -> TaskHandle:
    return buckstop.submit(guard.request(trace, guard.read(trace)))


def _ending(task: TaskHandle, script: Script, give_up: float) -> Ending:
    """Read off how a task ended: from the task itself and its journal, as anybody can."""
    lost = False
    try:
        task.wait(max(0, give_up - time.monotonic()))
    except TimedOut:
        lost = True
    story = task.show()
    whys = [str(line["why"]) for line in story.journal]
    return Ending(*stopped(script, story.task.hop, whys), story.task.ledger.spent, lost=lost)


@contextmanager
def _running(traces: Sequence[Trace], folder: Path) -> Iterator[Buckstop]:
    """Start everything, and end it."""
    runs = folder / "runs.jsonl"
    runs.write_bytes(b"\n".join(map(msgspec.json.encode, traces)))
    pair = keyfile.make(folder)
    with ExitStack() as stack:
        # Costs are compared to the token: a disk that stalls longer than a lease would add to them.
        calm = {"appendfsync": "everysec"}
        server = stack.enter_context(EmbeddedServer(folder / "server", other=calm))
        environ = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "REPLAY": str(runs),
            "BUCKSTOP_URL": server.url,
            "BUCKSTOP_SIGNING_KEY_FILE": str(pair.private),
            "BUCKSTOP_PUBLIC_KEYS_FILE": str(pair.public),
        }
        buckstop = stack.enter_context(Buckstop(server.url))
        for name, command, more in _workers():
            stack.enter_context(_process(folder / f"{name}.log", command, environ | more))
        _until_known(buckstop, {hop.agent for each in traces for hop in FREE.read(each).hops})
        for number in range(ORCHESTRATORS):
            log = folder / f"orchestrator-{number}.log"
            stack.enter_context(
                _process(log, [sys.executable, "-m", "orchestrator.serve"], environ)
            )
        yield buckstop


def _workers() -> Iterator[tuple[str, list[str], dict[str, str]]]:
    for number in range(WORKERS):
        name = f"worker-{number}"
        yield name, *worker_command(["bench.replay_agents"], THREADS, "threads", name)


def _until_known(buckstop: Buckstop, agents: set[str]) -> None:
    """Wait until every agent is registered: to hand over to a stranger is not allowed."""
    give_up = time.monotonic() + PATIENCE_S
    while not agents <= buckstop.store.agents().keys():
        assert time.monotonic() < give_up, "no worker has come"
        time.sleep(LOOK_EVERY_S)


@contextmanager
def _process(log: Path, command: list[str], environ: dict[str, Any]) -> Iterator[None]:
    """Run one process for as long as the block lasts."""
    with log.open("wb") as file:
        running = subprocess.Popen(  # noqa: S603 - our own programs
            leashed(command), env=environ, cwd=ROOT, stdout=file, stderr=file
        )
    try:
        yield
    finally:
        running.kill()
        running.wait()
