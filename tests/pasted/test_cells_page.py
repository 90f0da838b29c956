"""docs/how-to/cells.md as somebody follows it: its own text is run."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from orchestrator.cells.file import CellsFile
from orchestrator.embedded import EmbeddedServer
from tests.pages import block, commands
from tests.reader import environ, running, sh, up

PAGE = "docs/how-to/cells.md"


@pytest.fixture(scope="module")
def two_cells(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("page")
    (folder / "cells.yaml").write_text(block(PAGE, "# cells.yaml"))
    (folder / "hello.py").write_text(block(PAGE, "# hello.py"))
    with ExitStack() as stack:
        for command in commands(block(PAGE, "$ buckstop up")):
            stack.enter_context(up(command, folder))
        yield folder


def pasted(begins: str, folder: Path, **settings: str) -> str:
    """Run what stands in a block of the page; return all that it says."""
    lines = ["exec 2>&1", *commands(block(PAGE, begins))]
    return sh(lines, folder, COLUMNS="200", **settings)


def test_two_cells_on_one_machine_run_as_pasted(two_cells: Path) -> None:
    """The page: "every command sees both"."""
    said = pasted("$ export BUCKSTOP_CELLS", two_cells)
    assert "west: as home is now" in said
    assert said.count("completed  plan_done") == 2
    for cell in (
        "east  home, serving  0     0        1 ",
        "west  serving        0     0        1 ",
    ):
        assert cell in said, "each has one of the two tasks, as the page shows it"
    assert said.endswith("\nfit\n"), "and the doctor is content with both"


def test_a_python_program_speaks_with_both_as_pasted(two_cells: Path) -> None:
    """The page: "From Python, use `Cells` as you use `Buckstop`", and `AsyncBuckstop` the same."""
    for begins in ("from pathlib import Path", "import asyncio"):
        said = sh([shlex.join([sys.executable, "-c", block(PAGE, begins)])], two_cells)
        assert said.startswith("completed ")
    assert "tasks; away: nobody" in said


def test_both_are_looked_after_as_pasted(two_cells: Path) -> None:
    """The page: "Look after it"; and "a copy is of one cell"."""
    cells = {"BUCKSTOP_CELLS": str(two_cells / "cells.yaml")}
    said = pasted("$ buckstop doctor", two_cells, **cells)
    assert "between cells" in said
    assert "0 tasks would be gone for good (0 in east, 0 in west)" in said
    pasted("$ buckstop backup", two_cells, **cells)
    assert {each.name for each in two_cells.glob("*.rdb")} == {"east.rdb", "west.rdb"}


def test_one_console_in_front_of_both_runs_as_pasted(two_cells: Path) -> None:
    """The page: "One API and one console in front of both"."""
    [command] = commands(block(PAGE, "$ buckstop http"))
    assert command == "buckstop http --port 8800"
    free = command.replace("8800", "0")
    cells = {"BUCKSTOP_CELLS": str(two_cells / "cells.yaml")}
    heard = list[str]()

    def ready(said: str) -> bool:
        heard[:] = re.findall(r"http://127\.0\.0\.1:\d+", said)
        return bool(heard)

    with running(free, two_cells, ready, **cells):
        [login] = commands(block(PAGE, "$ BUCKSTOP_PUBLIC_URL"))
        link = sh([login.replace("http://127.0.0.1:8800", heard[0])], two_cells, **cells)
        page, _, code = link.strip().partition("#code=")
        said = httpx.post(f"{page}session", json={"code": code}, headers={"Origin": heard[0]})
        assert said.is_success, said.text


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
            ["buckstop", "serve"], env=cells, capture_output=True, text=True, check=False
        )
        assert refused.returncode == 2
        assert "say which: buckstop serve --cell east" in refused.stderr
        nowhere = ["buckstop", "tasks", "--cell", "east"]
        said = subprocess.run(nowhere, env=environ(), capture_output=True, text=True, check=False)
        assert (said.returncode, "set BUCKSTOP_CELLS to it" in said.stderr) == (2, True)
        told = ["buckstop", "check", "--cell", "east"]
        assert subprocess.run(told, env=cells, capture_output=True, check=False).returncode == 0
