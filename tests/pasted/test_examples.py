"""examples/ as a user runs it: one deployment, and each example as it is pasted.

Not here: the examples for Celery, the shell and Node (test_door_pages.py, tests/node).
"""

import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestrator.running import Running
from tests.pages import ROOT, block, commands
from tests.reader import sh, up

EXAMPLES = ROOT / "examples"
CURL, PYTHON = "examples/curl/README.md", "examples/python/README.md"
STAND_IN = f'#!/bin/sh\nexec {sys.executable} -m tests.curl "$@"\n'
"""For machines that have no curl."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Copy the examples, and start what their overview says."""
    place = tmp_path_factory.mktemp("reader") / "examples"
    shutil.copytree(EXAMPLES, place)
    if shutil.which("curl") is None:
        (place / "curl" / "curl").write_text(STAND_IN)
        (place / "curl" / "curl").chmod(0o755)
    [command] = commands(block("examples/README.md", "$ buckstop up"))
    with up(command, place):
        yield place


def test_curl_submits_follows_and_cancels_as_pasted(folder: Path) -> None:
    """The issue: enqueue by "HTTP with curl"; "each of the five ways ... working as pasted"."""
    running = Running.read(folder / ".buckstop")
    assert running is not None
    assert running.console is not None
    lines = commands(block(CURL, "$ URL="))
    lines[0] = f"URL={running.console}"  # its port is another one where 8780 is taken
    stopping = commands(block(CURL, "$ curl -sf"))
    told = sh([*lines, *stopping], folder / "curl", folder / "curl")
    assert "event: end" in told
    assert '"why":"conclude"' in told
    assert '"state":"completed"' in told
    assert '"asked":false' in told, "what has ended cannot be stopped any more"


def test_the_python_clients_submit_as_pasted(folder: Path) -> None:
    """The issue: "Python client, sync and async, with `submit().result()`, events, cancel"."""
    both = commands(block(PYTHON, "$ python submit.py"))
    with ThreadPoolExecutor(len(both)) as terminals:
        plain, many = terminals.map(lambda command: sh([command], folder / "python"), both)
    assert "publish research\n" in plain
    assert "\ncompleted {'draft': '3 facts, in order'" in plain
    assert "working\ncompleted\n" in many
    assert sorted(many.splitlines()[-2:]) == ["1 aborted", "7 completed"]


@pytest.mark.parametrize("name", [each.name for each in EXAMPLES.iterdir() if each.is_dir()])
def test_the_overview_names_every_example(name: str) -> None:
    """A way in that nobody finds is none."""
    assert f"]({name})" in (EXAMPLES / "README.md").read_text()
    assert (EXAMPLES / name / "README.md").is_file()
