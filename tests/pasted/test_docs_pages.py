"""The tutorial, the page on the Python clients, and the concepts, as a reader pastes them."""

import json
import shlex
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestrator import intake
from tests.pages import ROOT, block, commands
from tests.reader import sh, up
from tests.until import until

TUTORIAL, PYTHON = "docs/tutorial.md", "docs/how-to/python.md"
GATE, PATTERNS = "docs/concepts/gate.md", "docs/concepts/patterns.md"
_TASKS = "buckstop tasks --json"


# --- the tutorial --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Begin as the tutorial does, in an empty directory, and leave everything running."""
    setup, activate, make = commands(block(TUTORIAL, "$ make setup"))
    assert subprocess.run([*shlex.split(setup), "-n"], cwd=ROOT, check=False).returncode == 0
    assert activate == "source .venv/bin/activate", "here it is the environment of the tests"
    copy = tmp_path_factory.mktemp("copy")
    sh([make], copy)
    place = copy / "first"
    for name in ("team.py", "ask.py"):
        (place / name).write_text(block(TUTORIAL, f"# {name}"))
    [command] = commands(block(TUTORIAL, "$ buckstop up"))
    with up(command, place):
        yield place


def test_the_tutorial_shows_a_result_as_pasted(first: Path) -> None:
    """The issue: "tutorial (first agent in five minutes)"."""
    lines = commands(
        block(
            TUTORIAL,
            '$ buckstop submit --goal "how many words are these" --agent count --tokens 1000',
        )
    )
    told = sh(lines, first)
    assert "completed" in told
    assert '"words": 5' in told
    assert '"words": 5' in (ROOT / TUTORIAL).read_text()
    assert sh(commands(block(TUTORIAL, "$ python ask.py")), first) == "{'words': 5}\n"


def test_the_tutorial_leads_to_the_desk_and_back_as_pasted(first: Path) -> None:
    """The issue: "Every command and code block is run by tests"."""
    poor = sh(
        commands(
            block(
                TUTORIAL,
                '$ buckstop submit --goal "how many words are these" --agent count --tokens 20 ',
            )
        ),
        first,
    ).split()[0]
    unsure = sh(
        commands(
            block(TUTORIAL, '$ buckstop submit --goal "how many words are these" --agent guess')
        ),
        first,
    ).split()[0]
    found = until(
        "both are on the desk",
        lambda: json.loads(sh(["buckstop letters --json"], first)),
        good=lambda letters: len(letters) == 2,
    )
    [look] = commands(block(TUTORIAL, "$ buckstop letters\n"))
    assert "the call was not made" in " ".join(sh([look], first).split())
    letter = {each["task"]: each["id"] for each in found}
    approve, abort = commands(block(TUTORIAL, "$ buckstop decide LETTER approve"))
    sh([approve.replace("LETTER", letter[unsure]), abort.replace("LETTER", letter[poor])], first)
    until(
        "their owner has acted on both decisions",
        lambda: {each["id"]: each["state"] for each in json.loads(sh([_TASKS], first))},
        good=lambda states: (states[unsure], states[poor]) == ("completed", "aborted"),
    )


# --- the Python clients --------------------------------------------------------------------------


def test_every_program_of_the_page_on_python_runs_as_pasted(tmp_path: Path) -> None:
    """The issue: "Python client, sync and async, with `submit().result()`, events, cancel"."""
    programs = {
        "plain.py": block(PYTHON, "# plain"),
        "asynchronous.py": block(PYTHON, "# asynchronous"),
        "following.py": block(PYTHON, "# following"),
        "stopping.py": block(PYTHON, "# stopping"),
    }
    for name, text in programs.items():
        (tmp_path / name).write_text(text)
    [command] = commands(block(PYTHON, "$ buckstop up"))
    with up(command, tmp_path), ThreadPoolExecutor(len(programs)) as terminals:
        told = dict(
            zip(
                programs,
                terminals.map(lambda name: sh([f"python {name}"], tmp_path), programs),
                strict=True,
            )
        )
    assert told["plain.py"].startswith("completed 0.9 ['fact 1 on the otters of the elbe'")
    assert told["asynchronous.py"].splitlines()[-1] == "completed fact 1 on otter number 4"
    assert told["following.py"].startswith("0 publish research\n1 envelope research\n")
    assert told["following.py"].endswith("behind the last one: []\n")
    assert told["stopping.py"] == "aborted cancelled\n"


# --- concepts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        block(GATE, '{\n  "goal": "compare three vendors"'),
        block(PATTERNS, '{\n  "goal": "the otters of the Elbe"'),
        block(PATTERNS, '{\n  "goal": "an invoice from last year"'),
        block(PATTERNS, '{\n  "goal": "find out why sales fell"'),
    ],
)
def test_every_request_of_the_concepts_would_be_taken(text: str) -> None:
    """What a page shows as a request is one."""
    assert intake.read(text).goal
