"""docs/how-to/celery.md and the examples for Celery and the shell, as a reader pastes them."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from envelopes.keys import Keys
from orchestrator.client import Buckstop, TaskHandle
from orchestrator.running import Running
from orchestrator.settings import Settings
from tests.pages import ROOT, block, commands
from tests.reader import WITHIN_S, running, sh, up
from tests.until import until

PAGE = "docs/how-to/celery.md"
CELERY, SHELL = "examples/celery/README.md", "examples/shell/README.md"
EXAMPLE = ROOT / "examples" / "celery"
RUN, WAIT = "$ python submit.py", '$ buckstop submit --goal "otter soup"'
_CALL = '$ celery -b "$(buckstop broker)" call buckstop.submit --queue buckstop:submit --kwargs '
GOOD = f"""{_CALL}'{{"goal": "otters", "agent":"""
WRONG = f"""{_CALL}'{{"goal": "otters", "gaol":"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Sit in an empty directory, with the deployment that the page begins with."""
    place = tmp_path_factory.mktemp("reader") / "celery"
    shutil.copytree(EXAMPLE, place)
    [command] = commands(block(PAGE, "$ buckstop up"))
    with up(command, place):
        yield place


@pytest.fixture
def buckstop(folder: Path) -> Iterator[Buckstop]:
    found = Running.read(folder / ".buckstop")
    assert found is not None
    with Buckstop(settings=Settings(found.url, "the test", Keys().prefix)) as connected:
        yield connected


def next_task(buckstop: Buckstop, known: int) -> TaskHandle:
    """Wait for one task more than there were."""
    found = until("it comes", lambda: buckstop.tasks().items, good=lambda all_: len(all_) > known)
    return buckstop.task(found[0].id)


def test_a_stock_client_submits_as_pasted(folder: Path, buckstop: Buckstop) -> None:
    """The issue: "any Celery client, with no Buckstop code installed"."""
    [command] = commands(block(PAGE, RUN))
    task = sh([command], folder).strip()
    assert buckstop.task(task).wait(timeout=WITHIN_S).outcome == "completed"
    assert "orchestrator" not in block(PAGE, "# submit.py")


def test_celery_s_own_command_line_submits_as_pasted(folder: Path, buckstop: Buckstop) -> None:
    """The issue: "a shell one-liner"."""
    known = len(buckstop.tasks().items)
    text = block(PAGE, GOOD)
    assert text == block(SHELL, GOOD)
    [command] = commands(text)
    sh([command], folder)
    assert next_task(buckstop, known).wait(timeout=WITHIN_S).outcome == "completed"


def test_our_own_command_line_takes_a_request_from_a_pipe(folder: Path, buckstop: Buckstop) -> None:
    [command] = commands(block(SHELL, "$ echo"))
    task = sh([command], folder).split()[0]
    assert buckstop.task(task).wait(timeout=WITHIN_S).outcome == "completed"


def test_a_mistake_is_a_letter_that_names_the_fields(folder: Path, buckstop: Buckstop) -> None:
    """The issue: "malformed ones become letters that say what was wrong"."""
    wrong, look = commands(block(PAGE, WRONG))
    message = sh([wrong], folder).strip()
    found = until("it is a letter", lambda: buckstop.letters().items)
    why = found[0]["why"]
    assert all(part in why for part in ("gaol: ", "budget: ", "timeout: ", "until: ", message))
    assert found[0]["id"] in sh([look], folder)


def at_work(buckstop: Buckstop) -> Callable[[str], bool]:
    """Say whether the agents of shop.py have a worker."""
    return lambda _: any(one.name == "price" and one.workers for one in buckstop.agents())


def test_tasks_of_a_project_run_as_agents_as_pasted(folder: Path, buckstop: Buckstop) -> None:
    """The issue: "existing Celery tasks of a user's project as agents with one decorator"."""
    [starting] = commands(block(PAGE, "$ buckstop worker shop"))
    with running(starting, folder, at_work(buckstop)):
        translated, priced = (sh([command], folder) for command in commands(block(PAGE, WAIT)))
    assert "Otter Suppe" in translated
    assert "400" in priced


@pytest.mark.parametrize("name", ["submit.py", "shop.py"])
def test_the_page_and_the_example_show_the_same_file(name: str) -> None:
    """The issue: "A worked example of each in `examples/` that CI runs": these are run here."""
    assert block(PAGE, f"# {name}") == f"# {name}\n{(EXAMPLE / name).read_text()}"


@pytest.mark.parametrize("beginning", [RUN, "$ buckstop worker shop", WAIT])
def test_the_page_and_the_example_say_the_same_commands(beginning: str) -> None:
    assert block(PAGE, beginning) == block(CELERY, beginning)
