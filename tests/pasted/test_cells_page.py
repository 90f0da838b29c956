"""docs/how-to/cells.md as somebody follows it: its own text is run."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.cells.file import CellsFile
from orchestrator.embedded import EmbeddedServer
from tests.pages import block, commands

PAGE = "docs/how-to/cells.md"
BUCKSTOP = Path(sys.executable).parent / "buckstop"
STARTED_WITHIN_S = 60


def environ(**more: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("BUCKSTOP_")}
    return {**clean, "PATH": f"{BUCKSTOP.parent}:{os.environ['PATH']}", "COLUMNS": "200", **more}


@dataclass
class Running:
    """A command of the page that goes on, and where it writes."""

    process: subprocess.Popen[bytes]
    log: Path

    def wait_for(self, text: str) -> None:
        """Wait until it has said this."""
        give_up = time.monotonic() + STARTED_WITHIN_S
        while text not in self.log.read_text():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < give_up, self.log.read_text()
            time.sleep(0.05)


@contextmanager
def running(command: str, folder: Path, **more: str) -> Iterator[Running]:
    """Run a command of the page until the block ends."""
    log = folder / f"{command.rsplit(maxsplit=1)[-1].replace('/', '-')}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            shlex.split(command), cwd=folder, env=environ(**more), stdout=out, stderr=out
        )
    try:
        yield Running(process, log)
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) in {0, 130}, "ended by Ctrl-C"


@pytest.fixture(scope="module")
def two_cells(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("page")
    (folder / "cells.yaml").write_text(block(PAGE, "# cells.yaml"))
    (folder / "hello.py").write_text(block(PAGE, "# hello.py"))
    with ExitStack() as stack:
        ups = [
            stack.enter_context(running(command, folder))
            for command in commands(block(PAGE, "$ buckstop up"))
        ]
        for up in ups:
            up.wait_for("console: ")
        yield folder


def pasted(lines: list[str], folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run lines as one terminal does, where the two cells are."""
    done = subprocess.run(
        ["bash", "-e", "-c", "\n".join(lines)],
        cwd=folder,
        env=environ(**more),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_two_cells_on_one_machine_run_as_pasted(two_cells: Path) -> None:
    """The page: "every command sees both"."""
    done = pasted(commands(block(PAGE, "$ export BUCKSTOP_CELLS")), two_cells)
    assert "west: as home is now" in done.stdout
    assert done.stdout.count("completed  plan_done") == 2
    for cell in (
        "east  home, serving  0     0        1 ",
        "west  serving        0     0        1 ",
    ):
        assert cell in done.stdout, "each has one of the two tasks, as the page shows it"
    assert done.stdout.endswith("\nfit\n"), "and the doctor is content with both"


def test_a_python_program_speaks_with_both_as_pasted(two_cells: Path) -> None:
    """The page: "From Python, use `Cells` as you use `Buckstop`", and `AsyncBuckstop` the same."""
    for begins in ("from pathlib import Path", "import asyncio"):
        python = [sys.executable, "-c", block(PAGE, begins)]
        said = subprocess.run(
            python, cwd=two_cells, env=environ(), capture_output=True, text=True, check=False
        )
        assert said.stdout.startswith("completed "), said.stderr
    assert "tasks; away: nobody" in said.stdout


def test_both_are_looked_after_as_pasted(two_cells: Path) -> None:
    """The page: "Look after it"; and "a copy is of one cell"."""
    cells = {"BUCKSTOP_CELLS": str(two_cells / "cells.yaml")}
    done = pasted(commands(block(PAGE, "$ buckstop doctor")), two_cells, **cells)
    assert "between cells" in done.stdout
    assert "0 tasks would be gone for good (0 in east, 0 in west)" in done.stderr
    pasted(commands(block(PAGE, "$ buckstop backup")), two_cells, **cells)
    assert {each.name for each in two_cells.glob("*.rdb")} == {"east.rdb", "west.rdb"}


def test_one_console_in_front_of_both_runs_as_pasted(two_cells: Path) -> None:
    """The page: "One API and one console in front of both"."""
    [command] = commands(block(PAGE, "$ buckstop http"))
    assert command == "buckstop http --port 8800"
    free = command.replace("8800", "0")
    with running(free, two_cells, BUCKSTOP_CELLS=str(two_cells / "cells.yaml")) as http:
        http.wait_for("http://127.0.0.1:")


def test_the_file_of_the_page_can_be_read(tmp_path: Path) -> None:
    """The page: "The file"; and what runs in a cell is told which one it is."""
    (tmp_path / "secrets").mkdir()
    for name in ("east", "west", "north", "old"):
        (tmp_path / "secrets" / name).write_text("word")
    path = tmp_path / "cells.yaml"
    path.write_text(block(PAGE, "# /etc/buckstop/cells.yaml"))
    file = CellsFile.read(path)
    assert [one.name for one in file.cells] == ["east", "west", "north", "old"]
    assert file.cells[0].where() == "redis://front:word@redis-east:6379/0"
    assert file.cells[3].draining
    assert file.spread == {"acme"}


def test_an_orchestrator_of_a_cell_needs_to_be_told_which(tmp_path: Path) -> None:
    """The page: "What runs in a cell needs it"."""
    with EmbeddedServer(tmp_path / "server") as server:
        path = tmp_path / "cells.yaml"
        path.write_text(f"cells: {{east: {{url: '{server.url}'}}}}\n")
        cells = environ(BUCKSTOP_CELLS=str(path))
        refused = subprocess.run(
            [BUCKSTOP, "serve"], env=cells, capture_output=True, text=True, check=False
        )
        assert refused.returncode == 2
        assert "say which: buckstop serve --cell east" in refused.stderr
        nowhere = [BUCKSTOP, "tasks", "--cell", "east"]
        said = subprocess.run(nowhere, env=environ(), capture_output=True, text=True, check=False)
        assert (said.returncode, "set BUCKSTOP_CELLS to it" in said.stderr) == (2, True)
        told = [BUCKSTOP, "check", "--cell", "east"]
        assert subprocess.run(told, env=cells, capture_output=True, check=False).returncode == 0
