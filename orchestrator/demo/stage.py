"""What the demo is played on: everything that `buckstop up` starts, in a directory of its own."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from redis import Redis
from rich.console import Console

from envelopes.keys import Keys
from envelopes.scripts import connect
from orchestrator.client import Buckstop
from orchestrator.leash import leashed
from orchestrator.running import Running
from orchestrator.settings import Settings
from orchestrator.view import TaskView

AGENTS: Final = "workers.demo.agents"
READY_WITHIN_S: Final = 90
_WORKERS: Final = 3


@dataclass(frozen=True)
class Stage:
    """What the acts are played on."""

    console: Console
    buckstop: Buckstop
    client: Redis
    keys: Keys
    http_url: str
    """Of the API and the console."""


@dataclass(frozen=True)
class Seen:
    """How one act ended."""

    task: TaskView
    journal: list[dict[str, Any]]


@contextmanager
def everything(folder: Path, console: Console) -> Iterator[Stage]:
    """Run `buckstop up` for as long as the block lasts."""
    command = [sys.executable, "-m", "orchestrator.cli", "up", AGENTS, "--dir", str(folder)]
    command += ["--workers", str(_WORKERS), "-c", "1", "--orchestrators", "2", "--grace", "3"]
    environ = {name: value for name, value in os.environ.items() if name != "BUCKSTOP_URL"}
    with (folder / "up.log").open("w") as log:
        # On a leash: whenever this process is interrupted, it does not stay behind.
        running = subprocess.Popen(leashed(command), env=environ, stdout=log, stderr=log)  # noqa: S603
    try:
        _wait_until("console: ", folder, running)
        note = Running.read(folder)
        assert note is not None, "what has said where its console is has left its note"
        assert note.console is not None, "and the console stands in it"
        settings = Settings.read(environ, url=note.url)
        with Buckstop(settings=settings) as buckstop, connect(settings.url) as client:
            stage = Stage(console, buckstop, client, settings.keys, note.console)
            _wait_for_workers(stage)
            yield stage
    finally:
        running.terminate()
        running.wait()


def _wait_until(said: str, folder: Path, running: "subprocess.Popen[bytes]") -> None:
    """Wait until `buckstop up` has said it."""
    log, give_up = folder / "up.log", time.monotonic() + READY_WITHIN_S
    while time.monotonic() < give_up and running.poll() is None:
        if said in log.read_text():
            return
        time.sleep(0.05)
    raise SystemExit(f"`buckstop up` did not start: {log.read_text()}")


def _wait_for_workers(stage: Stage) -> None:
    give_up = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < give_up:
        if stage.client.zcard(stage.keys.workers) >= _WORKERS:
            return
        time.sleep(0.05)
    raise SystemExit(f"the workers did not start within {READY_WITHIN_S} s")
