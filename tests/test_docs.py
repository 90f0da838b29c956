"""The documentation site: it builds strictly, fetches nothing from elsewhere, and all of it is run.

What a page says is run by its own tests, which name each block by `block("docs/...", "beginning")`.
Here is only seen that none is left out. The pages that are written from the code need no such test:
they cannot say anything else.
"""

import os
import re
import subprocess
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

from envelopes import limits
from orchestrator.cli.commands import COMMANDS
from tests.pages import ROOT, blocks
from tests.spelled import texts

DOCS = ROOT / "docs"
PAGES = sorted(str(path.relative_to(ROOT)) for path in DOCS.rglob("*.md"))
FETCHES = {"script": "src", "img": "src", "iframe": "src", "link": "href", "source": "src"}
"""What a browser fetches by itself; a link that is clicked is none of it."""
FIGURE = re.compile(r"\b\d+\.\d\b|\b\d{1,3}(?:,\d{3})+\b")
"""A figure that was measured: it has a fraction, or thousands."""
SHORTEST = len("# x")
"""A shorter beginning says nothing of a block."""


pytestmark = pytest.mark.timeout(400)  # the site is built once in each process of the run

# --- every block is run --------------------------------------------------------------------------


FILES = [path for path in (ROOT / "tests").rglob("*.py") if path.name != Path(__file__).name]


def named(page: str, text: str) -> bool:
    """Say whether a test that speaks of the page spells how this block begins, and no other one."""
    others = [each for _, each in blocks(page) if each != text]
    return any(
        _is_beginning(each, text, others)
        for path in FILES
        if page in (spelled := texts(path))
        for each in spelled
    ) or runs_all(page)


def _is_beginning(each: str, text: str, others: list[str]) -> bool:
    alone = not any(other.startswith(each) for other in others)
    return len(each) >= SHORTEST and text.startswith(each) and alone


@cache
def runs_all(page: str) -> bool:
    """Say whether a test goes through all blocks of a page."""
    return any(f'blocks("{page}")' in path.read_text() for path in FILES)


def test_a_block_that_no_test_names_is_found() -> None:
    """The check below can fail."""
    assert not named("docs/tutorial.md", "$ buckstop never said\n")
    assert named("docs/tutorial.md", next(text for _, text in blocks("docs/tutorial.md")))


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_a_page_is_run_by_a_test(page: str) -> None:
    """The issue: "Every command and code block is run by tests"."""
    left_out = [text.splitlines()[0] for _, text in blocks(page) if not named(page, text)]
    assert left_out == [], f"no test says block({page!r}, ...) for these"


# --- the site ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site as `make docs` does: a dead link, anchor or page fails."""
    place = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(place)]
    environ = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return place


class Fetched(HTMLParser):
    """Notes what a page makes a browser fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in FETCHES and given.get("rel") not in {"canonical", "alternate"}:
            self.found.append(given.get(FETCHES[tag]) or "")


def test_a_reader_s_browser_fetches_nothing_from_elsewhere(site: Path) -> None:
    """No fonts and no scripts of others: who reads what is nobody's business."""
    for path in site.rglob("*.html"):
        for address in Fetched(path.read_text(encoding="utf-8")).found:
            assert not re.match(r"(https?:)?//", address), f"{path.name} fetches {address}"
    for path in site.rglob("*.css"):
        assert not re.search(r"url\((?!data:)[\"']?(https?:)?//", path.read_text()), path.name


def test_a_command_that_is_copied_can_be_pasted(site: Path) -> None:
    """Users must be able to copy every command: the button takes no prompt along."""
    told = (site / "tutorial" / "index.html").read_text(encoding="utf-8")
    code = [
        re.sub(r"<[^>]+>", "", each) for each in re.findall(r"<code>(.*?)</code>", told, re.DOTALL)
    ]
    assert "buckstop up team\n" in code
    assert not any(line.startswith("$ ") for each in code for line in each.splitlines())


def test_no_page_has_a_picture_that_needs_a_script_of_others(site: Path) -> None:
    """The theme would fetch the script that draws Mermaid; so there is none on the site."""
    for path in site.rglob("*.html"):
        assert "mermaid" not in re.sub(r"<code>.*?</code>", "", path.read_text(), flags=re.DOTALL)


@pytest.mark.parametrize("page", ["guarantees", "comparison"])
def test_what_a_page_says_of_our_tests_and_measurements_is_so(page: str) -> None:
    """Figures stand in ARCHITECTURE, with the command that measures them; tests are there."""
    told = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    measured = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").partition("## Measured")[2]
    figures = [
        each for line in told.splitlines() if line[:2] == "| " for each in FIGURE.findall(line)
    ]
    assert [each for each in figures if each not in measured] == []
    tests = re.findall(r"`(test_\w+\.py)`", told)
    assert [each for each in tests if not (ROOT / "tests" / each).is_file()] == []


def test_the_navigation_has_every_page_once(site: Path) -> None:
    """A page that nobody finds is not there."""
    told = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    named_there = re.findall(r"[\w/-]+\.md", str(told))
    assert len(named_there) == len(set(named_there))
    assert {path.removeprefix("docs/") for path in PAGES} <= set(named_there)
    for page in named_there:
        folder = page.removesuffix(".md").removesuffix("index").rstrip("/")
        assert (site / folder / "index.html").is_file(), page


@pytest.mark.parametrize(
    ("page", "says"),
    [
        ("cli", [f"buckstop {name}" for name in COMMANDS]),
        ("http", ["POST /v1/tasks", "GET /v1/letters/{letter_id}", "Idempotency-Key"]),
        ("python", ["AsyncBuckstop.submit", "TaskHandle.events", "Context.handoff", "TaskEvent"]),
        ("schemas", ["confidence_min", "idempotency_key", "desk_default"]),
        ("settings", ["BUCKSTOP_URL", "BUCKSTOP_PUBLIC_KEYS_FILE", "BUCKSTOP_AGENTS"]),
        ("limits", [name for name in vars(limits) if name.isupper()]),
        ("keys", ["task:{id}", "dead-letters"]),
        ("metrics", ["buckstop_tasks_submitted_total", "buckstop_letters_open"]),
        ("journal", ["stalled", "hop_cap", "unclaimed", "plan_done"]),
        ("states", ["on_desk", "refused by the gate"]),
    ],
)
def test_the_reference_is_written_from_the_code(site: Path, page: str, says: list[str]) -> None:
    """The issue: "reference generated from the code and schemas"."""
    told = (site / "reference" / page / "index.html").read_text(encoding="utf-8")
    text = re.sub(r"<[^>]+>", "", told)
    missing = [each for each in says if each not in text]
    assert missing == []
