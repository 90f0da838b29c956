"""docs/how-to/flower.md as a reader follows it: its own commands are run."""

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from orchestrator.flower import ensure_login
from orchestrator.running import DIRECTORY, Running
from tests.pages import block, commands
from tests.ports import free_port
from tests.reader import WITHIN_S
from tests.until import until

UP = block("docs/how-to/flower.md", "$ buckstop up")
BY_HAND = block("docs/how-to/flower.md", "$ celery -A workers.app flower")
SUBMIT = block("docs/how-to/flower.md", "$ buckstop submit")
QUEUES = block("docs/how-to/flower.md", '$ curl -s "http://127.0.0.1:5555/api/workers')
SEND = block("docs/how-to/flower.md", "$ curl -s http://127.0.0.1:5555/api/task/send-task/buckstop")
WRONG = block("docs/how-to/flower.md", "$ curl -s http://127.0.0.1:5555/api/task/send-task/agent")
METRICS = block("docs/how-to/flower.md", "$ curl -s http://127.0.0.1:5555/metrics")
BIN = Path(sys.executable).parent
STARTED_WITHIN_S = 90


class Reader:
    """Sits in an empty directory and pastes the page's commands; ports are free ones."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {"5555": str(free_port()), "5556": str(free_port())}
        self.environ = {
            **{name: text for name, text in os.environ.items() if name != "BUCKSTOP_URL"},
            "PATH": f"{BIN}:{os.environ['PATH']}",
        }

    def lines(self, text: str) -> list[str]:
        return [self._here(line) for line in commands(text)]

    def start(self, line: str, **environ: str) -> "subprocess.Popen[bytes]":
        with (self.folder / "said.log").open("ab") as log:
            return subprocess.Popen(
                ["/bin/sh", "-c", f"exec {line}"],
                cwd=self.folder,
                env=self.environ | environ,
                stdout=log,
                stderr=log,
            )

    def paste(self, text: str) -> list[str]:
        """Run a block's commands; return what each printed."""
        return [
            subprocess.run(
                ["/bin/sh", "-c", line],
                cwd=self.folder,
                env=self.environ,
                capture_output=True,
                text=True,
                timeout=WITHIN_S,
                check=True,
            ).stdout
            for line in self.lines(text)
        ]

    def said(self) -> str:
        return (self.folder / "said.log").read_text()

    def _here(self, line: str) -> str:
        for usual, free in self.ports.items():
            line = line.replace(usual, free)
        return line


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Start what the page starts first."""
    reader = Reader(tmp_path_factory.mktemp("reader"))
    (line,) = reader.lines(UP)
    up = reader.start(f"{line} --flower-port {reader.ports['5555']}")
    until("it is up", lambda: "flower: " in reader.said(), STARTED_WITHIN_S)
    yield reader
    up.send_signal(signal.SIGINT)
    assert up.wait(WITHIN_S) == 0, "one Ctrl-C stops all"
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://127.0.0.1:{reader.ports['5555']}/healthcheck")


def answers(port: str) -> bool:
    return httpx.get(f"http://127.0.0.1:{port}/healthcheck").is_success


def test_the_page_does_what_it_says(reader: Reader) -> None:
    """Users must be able to copy every command; `buckstop up --flower` starts it, and stops it."""
    login = (reader.folder / DIRECTORY / "flower_login").read_text().strip()
    user, _, password = login.partition(":")
    assert f"(user {user}, password {password})" in reader.said()
    kept = reader.folder / DIRECTORY / "flower_login"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert ensure_login(kept.parent) == login, "it stays the same for this directory"
    until("Flower answers", lambda: answers(reader.ports["5555"]), STARTED_WITHIN_S)
    (task,) = reader.paste(SUBMIT)
    named = {"buckstop:agent.research", "buckstop:dead-letters", "buckstop:submit"}
    until("a worker has named its queues", lambda: depths(reader), good=named.issubset)
    (sent,) = reader.paste(SEND)
    assert json.loads(sent)["task-id"]
    until("a letter", lambda: "unknown-task" in "".join(reader.paste(WRONG)))
    (metrics,) = reader.paste(METRICS)
    assert "flower_events_total" in metrics
    assert task.strip()


def depths(reader: Reader) -> dict[str, int]:
    """Look again, and return how long each queue is; empty where Flower cannot say it yet."""
    _, said = reader.paste(QUEUES)
    found = json.loads(said)["active_queues"] if said.startswith("{") else []
    return {each["name"]: each["messages"] for each in found}


def test_flower_starts_by_hand_too(reader: Reader) -> None:
    """Anywhere else, Flower needs the app, and where the server is."""
    (line,) = reader.lines(BY_HAND)
    running = Running.read(reader.folder / DIRECTORY)
    assert running is not None
    by_hand = reader.start(line, BUCKSTOP_URL=running.url)
    try:
        until("it answers", lambda: answers(reader.ports["5556"]), STARTED_WITHIN_S)
        address = f"http://127.0.0.1:{reader.ports['5556']}/tasks"
        assert httpx.get(address).status_code == 401
        assert httpx.get(address, auth=("me", "secret")).is_success
    finally:
        by_hand.terminate()
        by_hand.wait(WITHIN_S)
