"""A stock Node client of Celery at the door, for real: npm's celery-node against `buckstop up`.

Not in `make test`: it needs Node and npm, and installs a package. `make node` runs it.
"""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from envelopes.keys import Keys
from orchestrator.client import Buckstop
from orchestrator.running import Running
from orchestrator.settings import Settings
from tests.pages import ROOT, block, commands
from tests.reader import WITHIN_S, environ, sh, up

README, PAGE = "examples/node/README.md", "docs/how-to/celery.md"
UP = "buckstop up workers.demo.agents"
INSTALL, SUBMIT, SHOW = commands(block(README, "$ npm install"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Sit in a copy of the example, installed as it says, beside a deployment."""
    place = tmp_path_factory.mktemp("reader") / "node"
    shutil.copytree(ROOT / "examples" / "node", place, ignore=shutil.ignore_patterns("node_*"))
    sh([INSTALL], place)
    with up(UP, place):
        yield place


@pytest.fixture
def buckstop(folder: Path) -> Iterator[Buckstop]:
    found = Running.read(folder / ".buckstop")
    assert found is not None
    with Buckstop(settings=Settings(found.url, "the test", Keys().prefix)) as connected:
        yield connected


def submitted_by(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script as a file in the example's directory."""
    (folder / "script.js").write_text(script)
    return subprocess.run(
        ["sh", "-c", 'node script.js "$(buckstop broker)"'],
        cwd=folder,
        env=environ(),
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )


def test_the_example_runs_as_pasted(folder: Path, buckstop: Buckstop) -> None:
    """The issue: "a non-Python Celery client (Node, from the npm registry) tested for real"."""
    sh([SUBMIT], folder)
    task = (folder / "task").read_text().strip()
    assert buckstop.task(task).wait(timeout=WITHIN_S).outcome == "completed"
    assert "completed" in sh([SHOW], folder)


def test_the_page_s_script_runs_as_pasted(folder: Path, buckstop: Buckstop) -> None:
    done = submitted_by(block(PAGE, "const celery = require"), folder)
    assert buckstop.task(done.stdout.strip()).wait(timeout=WITHIN_S).outcome == "completed"


def test_the_project_s_readme_runs_as_pasted(folder: Path, buckstop: Buckstop) -> None:
    """README: Five ways in; the fifth."""
    sh(commands(block("README.md", '$ echo \'{"goal"')), folder)
    (folder / "celery_client.js").write_text(block("README.md", "// celery_client.js"))
    task = sh(commands(block("README.md", "$ node celery_client.js")), folder).strip()
    assert buckstop.task(task).result(timeout=WITHIN_S).outcome == "completed"


def test_a_mistake_is_told_and_is_a_letter(folder: Path, buckstop: Buckstop) -> None:
    """The issue: "malformed ones become letters that say what was wrong"."""
    script = (folder / "submit.js").read_text()
    done = submitted_by(script.replace("tokens: 5000", "tokens: 0, gold: 1"), folder)
    [letter] = buckstop.letters().items
    assert done.returncode == 1
    assert all(part in done.stderr for part in ("budget.tokens: ", "budget.gold: ", letter["id"]))
    assert "budget.gold: " in letter["why"]


@pytest.mark.parametrize("protocol", [1, 2])
def test_both_of_its_protocols_are_understood(
    folder: Path, buckstop: Buckstop, protocol: int
) -> None:
    """A Celery client may write protocol 2, or the older 1."""
    script = (folder / "submit.js").read_text()
    chosen = f"client.conf.TASK_PROTOCOL = {protocol};\n\nconst message"
    done = submitted_by(script.replace("const message", chosen, 1), folder)
    assert buckstop.task(done.stdout.strip()).wait(timeout=WITHIN_S).outcome == "completed"


def test_arguments_by_place_are_a_letter(folder: Path, buckstop: Buckstop) -> None:
    """What celery-node calls args is no request: fields have names."""
    script = (folder / "submit.js").read_text()
    done = submitted_by(script.replace("applyAsync([], {", "applyAsync([{}], {"), folder)
    assert done.returncode == 1
    assert "positional" in {one["reason"] for one in buckstop.letters().items}
