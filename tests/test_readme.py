"""The README as a newcomer follows it: its own text is run."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestrator.cli import COMMANDS
from orchestrator.running import Running

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BUCKSTOP = Path(sys.executable).parent / "buckstop"
STARTED_WITHIN_S = 60


def block(beginning: str) -> str:
    """Return the code block of the README that begins so."""
    found = [
        b for b in re.findall(r"```\w+\n(.*?)```", README, re.DOTALL) if b.startswith(beginning)
    ]
    assert len(found) == 1, f"{len(found)} blocks begin with {beginning!r}"
    return found[0]


@pytest.fixture
def newcomer(tmp_path, monkeypatch):
    """Sit in an empty directory with the README's files, and `buckstop up` in another terminal."""
    monkeypatch.delenv("BUCKSTOP_URL", raising=False)
    (tmp_path / "my_agents.py").write_text(block("# my_agents.py"))
    console = block("$ cat task.yaml")
    task = console.split("$ cat task.yaml\n")[1].split("$ buckstop submit")[0]
    (tmp_path / "task.yaml").write_text(task)
    with (tmp_path / "up.log").open("wb") as log:
        up = subprocess.Popen([BUCKSTOP, "up", "my_agents"], cwd=tmp_path, stdout=log, stderr=log)
    give_up = time.monotonic() + STARTED_WITHIN_S
    while Running.read(tmp_path / ".buckstop") is None and time.monotonic() < give_up:
        assert up.poll() is None, (tmp_path / "up.log").read_text()
        time.sleep(0.05)
    yield tmp_path
    up.send_signal(signal.SIGINT)
    assert up.wait(60) == 0, "one Ctrl-C stops all"


def run(command: list[object], folder: Path) -> str:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_first_agents_run_as_pasted(newcomer):
    """README: Your first agent."""
    out = run([BUCKSTOP, "submit", "task.yaml", "--wait"], newcomer)
    assert "completed" in out
    assert "THE OTTERS OF THE ELBE" in out
    task_id = out.split()[0]
    shown = run([BUCKSTOP, "show", task_id[:4]], newcomer)
    assert "plan_done" in shown
    python = block("from orchestrator.client import Buckstop")
    assert "otters" in run([sys.executable, "-c", python], newcomer)


def test_every_command_of_the_cli_stands_in_the_readme():
    """README: On the command line."""
    table = README.split("## On the command line")[1]
    shown = set(re.findall(r"`(?:buckstop )?([a-z]+)[^`]*`", table))
    assert set(COMMANDS) <= shown
