"""docs/HTTP.md says what is so: its table is the code's, and what tests quote stands in it."""

import re
from pathlib import Path

from orchestrator.http.problems import TITLES

ROOT = Path(__file__).parents[1]
PAGE = " ".join((ROOT / "docs/HTTP.md").read_text().split())
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))


def test_every_problem_stands_in_the_table() -> None:
    """docs/HTTP.md: "`type` is `urn:buckstop:problem:<slug>`"."""
    rows = re.findall(r"\| `([a-z-]+)` \| (\d+) \| ([^|]+) \|", PAGE)
    assert {slug: (int(status), title) for slug, status, title in rows} == dict(TITLES)


def test_what_tests_quote_stands_on_the_page() -> None:
    """A test's docstring quotes the promise that it proves."""
    texts = " ".join(" ".join(path.read_text().split()) for path in TESTS)
    quoted = re.findall(r'docs/HTTP\.md: "([^"]+)"', texts)
    assert len(quoted) > 20
    assert [each for each in quoted if each not in PAGE] == []
