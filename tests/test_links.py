"""Links of README and docs as they are read as files, on a code host or in an editor.

The site has pages that are written while it is built, so its own check (test_docs.py) would not see
a link that leads nowhere here.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.pages import ROOT

LINK = re.compile(r"\]\((?!\w+:)([^)\s]+)\)")
FENCE = re.compile(r"\s*```")
HEADING = re.compile(r"#+ (.+)")


def pages() -> list[Path]:
    """Return every page of the repository, at its top and below."""
    below = (ROOT / folder for folder in ("docs", "deploy", "examples"))
    found = [*ROOT.glob("*.md"), *(page for folder in below for page in folder.rglob("*.md"))]
    return [page for page in found if "node_modules" not in page.parts]


def prose(page: Path) -> Iterator[tuple[int, str]]:
    """Yield the numbered lines of a page that are not within a block."""
    inside = False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if FENCE.match(line):
            inside = not inside
        elif not inside:
            yield number, line


def anchors(page: Path) -> set[str]:
    """Return what a code host calls the headings of a page."""
    found = (HEADING.fullmatch(line) for _, line in prose(page))
    titles = (re.sub(r"[^\w\s-]", "", heading[1].lower()) for heading in found if heading)
    return {title.strip().replace(" ", "-") for title in titles}


def is_dead(page: Path, target: str) -> bool:
    """Say whether a link of a page leads nowhere."""
    name, _, anchor = target.partition("#")
    there = page.parent / name if name else page
    return not there.exists() or (bool(anchor) and anchor not in anchors(there))


def test_no_link_leads_nowhere() -> None:
    """Users find what they are told of: each relative link has a target in the repository."""
    dead = [
        f"{page.relative_to(ROOT)}:{number} {target}"
        for page in pages()
        for number, line in prose(page)
        for target in LINK.findall(line)
        if is_dead(page, target)
    ]
    assert dead == []


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    """The check above can fail: for a file, and for a heading."""
    page = tmp_path / "page.md"
    page.write_text("# Some `code`, and more\n```text\n# no heading\n```\n")
    assert not is_dead(page, "#some-code-and-more")
    assert [is_dead(page, each) for each in ("other.md", "#no-heading")] == [True, True]
