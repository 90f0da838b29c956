"""Ctrl-C, whatever the moment: no trace, exit 130, and nothing left running.

The moments are named and not timed: the interrupt comes while a certain module is being imported.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator import keyfile
from orchestrator.cli.exits import Exit
from orchestrator.running import DIRECTORY, Running
from tests.typed import environ
from tests.until import until

NOBODY = "redis://127.0.0.1:1/0"
INTERRUPTING = """
import atexit, os, signal, sys

class Interrupting:
    def find_spec(self, name, path, target=None):
        if name == moment:
            os.kill(os.getpid(), signal.SIGINT)

moment, *sys.argv = sys.argv[1:]
sys.meta_path.insert(0, Interrupting())
if moment == "the end":
    atexit.register(os.kill, os.getpid(), signal.SIGINT)
from orchestrator.cli import main
main()
"""


def interrupted(directory: Path, moment: str, *words: str, **more: str) -> tuple[int, str, str]:
    """Type a command, interrupt it at a moment; return how it ended and what it wrote."""
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTING, moment, "buckstop", *words],
        cwd=directory,
        env=environ(**more),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("moment", "words"),
    [
        ("orchestrator.cli.interrupts", ["tasks"]),
        ("click", ["tasks"]),
        ("redis", ["tasks"]),
        ("orchestrator.cli.failures", ["tasks", "--url", NOBODY]),
        ("orchestrator.sim.main", ["simulate", "--seeds", "1", "--tasks", "1"]),
        ("rich.console", ["demo"]),
        ("orchestrator.up", ["up"]),
        ("the end", ["simulate", "--help"]),
    ],
)
def test_an_interrupt_shows_no_trace(tmp_path: Path, moment: str, words: list[str]) -> None:
    """Ctrl-C in the first half second of a command: no trace, exit 130, whatever the moment."""
    code, out, err = interrupted(tmp_path, moment, *words)
    assert (code, err) == (Exit.INTERRUPTED, "")
    assert not out or moment == "the end"
    assert list(tmp_path.iterdir()) == []


def test_what_runs_in_the_background_goes_on(tmp_path: Path) -> None:
    """A shell's `buckstop ... &` has SIGINT ignored: a Ctrl-C for another command is not for it."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        code, out, err = interrupted(tmp_path, "click", "simulate", "--help")
    finally:
        signal.signal(signal.SIGINT, before)
    assert (code, err) == (Exit.OK, "")
    assert out.startswith("usage")


def test_an_orchestrator_is_interrupted_while_it_loads(tmp_path: Path) -> None:
    """`serve` imports Celery, and some of what that imports takes an interrupt for a failure."""
    key = {"BUCKSTOP_SIGNING_KEY_FILE": str(keyfile.make(tmp_path).private)}
    ended = interrupted(tmp_path, "celery", "serve", "--url", NOBODY, **key)
    assert ended == (Exit.INTERRUPTED, "", "")


def test_a_worker_is_interrupted_while_it_loads_its_agents(tmp_path: Path) -> None:
    """Until Celery asks for the signal itself, nothing was taken from a queue."""
    (tmp_path / "agents.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    key = {"BUCKSTOP_PUBLIC_KEYS_FILE": str(keyfile.make(tmp_path).public)}
    ended = interrupted(tmp_path, "never", "worker", "agents", "--url", NOBODY, **key)
    assert ended == (Exit.INTERRUPTED, "", "")


def test_up_that_is_interrupted_at_its_start_leaves_nothing_running(tmp_path: Path) -> None:
    """Ctrl-C stops everything: whoever has started is stopped, and nobody else is started."""
    with subprocess.Popen(
        [sys.executable, "-m", "orchestrator.cli", "up", "--json", "--no-http"],
        cwd=tmp_path,
        env=environ(),
        stdout=subprocess.PIPE,
        text=True,
    ) as up:
        assert up.stdout is not None
        said = [json.loads(up.stdout.readline())]
        up.send_signal(signal.SIGINT)
        said += map(json.loads, up.stdout)
    assert up.returncode == 0
    assert said[-1]["event"] == "stopped"
    assert said[-1]["name"] == "server"
    assert all(gone(one["pid"]) for one in said if one["event"] in {"server", "started"})
    assert Running.read(tmp_path / DIRECTORY) is None


def test_a_demo_that_is_interrupted_at_its_start_leaves_nothing_running(tmp_path: Path) -> None:
    """Its processes end with it, and its directory is taken away."""
    with subprocess.Popen(
        [sys.executable, "-m", "orchestrator.cli", "demo"],
        cwd=tmp_path,
        env=environ(TMPDIR=str(tmp_path)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as demo:
        note = until("it has a server", lambda: noted(tmp_path))
        demo.send_signal(signal.SIGINT)
        _, err = demo.communicate()
    assert (demo.returncode, err.strip()) == (Exit.INTERRUPTED, "")
    for name, pid in note.pids.items():
        until(f"{name} is gone", lambda pid=pid: gone(pid))
    assert list(tmp_path.iterdir()) == []


def noted(directory: Path) -> Running | None:
    """Read the note of the demo whose directory is made in this one."""
    return next(filter(None, map(Running.read, directory.iterdir())), None)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False
