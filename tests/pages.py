"""The code blocks of README and docs, for tests that run them as a reader pastes them.

A block of a page is found by how it begins, so that a test names what it runs. Commands in a
console block begin with `$ `; what follows a command, up to the next, is what it prints.
"""

import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
_FENCED: Final = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
PROSE: Final = frozenset({"text", "mermaid"})
"""What nobody runs: output, and pictures."""


def blocks(page: str) -> list[tuple[str, str]]:
    """Return the language and text of each block that can be run, in order."""
    found = _FENCED.findall((ROOT / page).read_text(encoding="utf-8"))
    return [(language, text) for language, text in found if language not in PROSE]


def block(page: str, beginning: str) -> str:
    """Return the block of a page that begins so; exactly one must."""
    found = [text for _, text in blocks(page) if text.startswith(beginning)]
    assert len(found) == 1, f"{len(found)} blocks of {page} begin with {beginning!r}"
    return found[0]


def commands(text: str) -> list[str]:
    r"""Return the commands of a console block; a line that ends in `\` goes on in the next."""
    joined = text.replace("\\\n", " ")
    return [line[2:].split("  # ")[0].rstrip() for line in joined.splitlines() if line[:2] == "$ "]
