"""The console's files as they are served: nothing inline, nothing foreign, nothing missing.

No browser here (tests/browser/ has one): what can be seen in the text of the files is seen at once.
"""

import re
from collections.abc import Iterator
from hashlib import sha256
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from orchestrator.http import static

ROOT = Path(__file__).parents[1]
CONSOLE = static.FOLDER
VENDOR = CONSOLE / "vendor"
OWN = sorted(
    path
    for path in CONSOLE.rglob("*")
    if path.suffix in {".js", ".css", ".html", ".svg"} and VENDOR not in path.parents
)
SCRIPTS = [path for path in OWN if path.suffix == ".js"]
SHEETS = [path for path in OWN if path.suffix == ".css"]
NAMESPACES = {"http://www.w3.org/2000/svg"}
"""Names that look like addresses; nobody ever asks there."""

IMPORT = re.compile(
    r"""(?:import|export)\s*(\{[^}]*\}|\*[^"';]*)?\s*(?:from\s*)?["'](\.[^"']+)["']"""
)
EXPORTED = re.compile(r"^export (?:async )?(?:function\*?|const|let|class) (\w+)", re.MULTILINE)
EXPORT_LIST = re.compile(r"export\s*\{([^}]*)\}")
MAKES_HTML = re.compile(
    r"dangerouslySetInnerHTML\s*[=:]|\.(?:inner|outer)HTML\b|insertAdjacentHTML|document\.write"
    r"|\beval\(|new Function|setAttribute\(\s*[\"']style"
)
TOKEN = re.compile(r"--([a-z0-9-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)")
PAIR = re.compile(r"^ +([a-z-]+) on ([a-z-]+) +([\d.]+) +([\d.]+) +([\d.]+)", re.MULTILINE)
COLOUR = re.compile(r"#[0-9a-fA-F]{3,8}\b|\b(?:rgb|hsl|oklch)a?\(")


def shown(path: Path) -> str:
    return path.relative_to(CONSOLE).as_posix()


def without_comments(code: str) -> str:
    return re.sub(r"/\*.*?\*/|//[^\n]*", "", code, flags=re.DOTALL)


@pytest.fixture(scope="module")
def browser() -> TestClient:
    app = FastAPI()
    app.include_router(static.routes())
    return TestClient(app)


# --- what the content security policy would block ------------------------------------------------


class Inline(HTMLParser):
    """Collects what stands in the page itself instead of in a file."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._in = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in = tag
        names = [name for name, _ in attrs]
        self.found += [f"{tag} {name}" for name in names if name == "style" or name[:2] == "on"]

    def handle_data(self, data: str) -> None:
        if self._in in {"script", "style"} and data.strip():
            self.found.append(f"{self._in}: {data.strip()[:40]}")

    def handle_endtag(self, tag: str) -> None:
        self._in = "" if tag == self._in else self._in


def inline(page: str) -> list[str]:
    reader = Inline()
    reader.feed(page)
    return reader.found


def test_the_page_has_no_inline_script_and_no_inline_style() -> None:
    """Issue: "CSP without inline script"."""
    assert inline((CONSOLE / "index.html").read_text()) == []
    assert inline("<p style='x' onclick='y'>") == ["p style", "p onclick"]
    assert inline("<script>x()</script>") == ["script: x()"]


@pytest.mark.parametrize("path", SCRIPTS, ids=shown)
def test_no_script_makes_html_of_text(path: Path) -> None:
    """Issue: "Agent text is hostile: escaped everywhere"."""
    code = without_comments(path.read_text())
    assert MAKES_HTML.findall(code) == []
    assert not re.search(r"<[a-z]+[^>`]*\sstyle=\"", code), (
        "a style attribute is blocked; use an object"
    )


# --- nothing foreign, nothing missing ------------------------------------------------------------


@pytest.mark.parametrize("path", OWN, ids=shown)
def test_no_file_of_ours_leads_to_a_foreign_host(path: Path) -> None:
    """Issue: the console is "served by the same app": it loads from nowhere else."""
    addresses = re.findall(r"(?:https?:|wss?:)//[\w.-]+[^\s\"'`)]*", path.read_text())
    assert set(addresses) <= NAMESPACES


def imports(path: Path) -> Iterator[tuple[Path, set[str]]]:
    """Say which files a module imports, and which names of each."""
    for names, where in IMPORT.findall(path.read_text()):
        wanted = re.findall(r"(\w+)(?:\s+as\s+\w+)?\s*(?:,|\})", names)
        yield (path.parent / where).resolve(), set(wanted)


def exports(path: Path) -> set[str]:
    text = path.read_text()
    listed = [part for group in EXPORT_LIST.findall(text) for part in group.split(",")]
    return {*EXPORTED.findall(text), *(part.split()[-1] for part in listed if part.strip())}


@pytest.mark.parametrize("path", SCRIPTS, ids=shown)
def test_whatever_a_module_imports_is_there_and_is_served(path: Path, browser: TestClient) -> None:
    """Issue: "no build step to run it", so nobody else looks for what is missing."""
    for module, names in imports(path):
        answer = browser.get(f"/console/{module.relative_to(CONSOLE).as_posix()}")
        assert answer.status_code == 200, f"{module} is imported and not served"
        assert answer.headers["content-type"].startswith("text/javascript")
        assert names <= exports(module), f"{module.name} has no {names - exports(module)}"


@pytest.mark.parametrize("path", [CONSOLE / "index.html", *SHEETS], ids=shown)
def test_whatever_the_page_loads_is_served(path: Path, browser: TestClient) -> None:
    """Issue: the console is "served by the same app"."""
    text = path.read_text()
    loaded = re.findall(r'(?:href|src)="([^"#]+)"', text)
    loaded += [f"/console/{name}" for name in re.findall(r'url\("([^"]+)"\)', text)]
    assert [name for name in loaded if browser.get(name).status_code != 200] == []


def test_every_module_is_reached_from_the_app() -> None:
    """A file that nobody imports is served for nothing."""
    reached, todo = set[Path](), [CONSOLE / name for name in ("app.js", "theme.js", "again.js")]
    while todo:
        path = todo.pop()
        if path not in reached:
            reached.add(path)
            todo += [module for module, _ in imports(path)]
    assert set(SCRIPTS) - reached == set()


def test_what_others_wrote_is_unchanged_and_its_licence_lies_beside_it() -> None:
    """vendor/README.md: "Files as their makers publish them, unchanged"."""
    readme = (VENDOR / "README.md").read_text()
    noted = dict(re.findall(r"^\| (\S+\.\w+) \|.*\| ([0-9a-f]{64}) \|$", readme, re.MULTILINE))
    kept = {p.name for p in VENDOR.iterdir() if p.suffix not in {".LICENSE", ".md"}}
    assert noted.keys() == kept
    assert {name: sha256((VENDOR / name).read_bytes()).hexdigest() for name in kept} == noted
    licences = set(re.findall(r"\w+\.LICENSE", readme))
    assert licences == {p.name for p in VENDOR.glob("*.LICENSE")}


# --- colours -------------------------------------------------------------------------------------

SHEET = (CONSOLE / "style.css").read_text()
SHEETS_TEXT = "\n".join(path.read_text() for path in SHEETS)
TOKENS = {name: (light, dark) for name, light, dark in TOKEN.findall(SHEET)}
PAIRS = PAIR.findall(SHEET.partition("*/")[0])


def luminance(colour: str) -> float:
    """WCAG 2.2: relative luminance."""
    parts = [int(colour[at:to], 16) / 255 for at, to in pairwise((1, 3, 5, 7))]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """WCAG 2.2: contrast ratio."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_is_computed_as_wcag_has_it() -> None:
    """Black on white is 21 to 1; #767676 is the lightest grey that may be text on white."""
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize(("ink", "ground", "least", "light", "dark"), PAIRS)
def test_every_pair_of_colours_can_be_read(
    ink: str, ground: str, least: str, light: str, dark: str
) -> None:
    """Issue: "light and dark; WCAG AA contrast"."""
    seen = [contrast(a, b) for a, b in zip(TOKENS[ink], TOKENS[ground], strict=True)]
    assert min(seen) >= float(least) >= 3
    assert [f"{ratio:.2f}" for ratio in seen] == [light, dark], "write the new figures in style.css"


def test_the_pairs_are_read_and_cover_every_tone() -> None:
    """Whatever text stands on a tone of its own is among the pairs."""
    pairs = {(ink, ground) for ink, ground, *_ in PAIRS}
    tones = re.findall(
        r"\{ background: var\(--([a-z-]+)\); color: var\(--([a-z-]+)\); \}", SHEETS_TEXT
    )
    assert len(tones) >= 6
    assert {(ink, ground) for ground, ink in tones} <= pairs


@pytest.mark.parametrize("path", OWN, ids=shown)
def test_only_tokens_name_colours(path: Path) -> None:
    """style.css: "Every colour is a token", or it would be right in one theme only."""
    if path.suffix == ".svg":
        return  # the icon in the tab has one look
    text = without_comments(path.read_text())
    lines = [line for line in text.splitlines() if "light-dark(" not in line]
    named = [line for line in lines if path.suffix == ".css" and COLOUR.search(line)]
    assert named == []


# --- words ---------------------------------------------------------------------------------------


def test_every_rule_of_the_core_has_its_words() -> None:
    """Issue: a task as a timeline with "why each decision was made"."""
    core = "\n".join(path.read_text() for path in (ROOT / "orchestrator/core").glob("*.py"))
    rules = {
        *re.findall(r"""\.note\(\s*"(\w+)\"""", core),
        *re.findall(r"""(?:judge|_stuck|_try_again)\(turn, "(\w+)\"""", core),
        *re.findall(r"""\bwhy(?:, \w+)* = "(\w+)",? """, core),
        *re.findall(r"""return "(\w+)", f?["t]""", core),
    }
    assert {"publish", "hop_cap", "lost", "step_timeout"} <= rules
    told = set(re.findall(r"^  (\w+): \[", (CONSOLE / "lib/whys.js").read_text(), re.MULTILINE))
    assert rules - told == set()
