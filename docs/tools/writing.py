"""Write Markdown: a table, a docstring, and what an author has laid out."""

import inspect
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # a build reads the code that it stands beside


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table; a line break in a cell is a space."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    """Write one line, in which no bar ends the cell; in code there is none to be taken for one."""
    parts = " ".join(text.split()).split("`")
    return "`".join(part if n % 2 else part.replace("|", "\\|") for n, part in enumerate(parts))


def text_of(text: str) -> str:
    """Write a docstring so that nothing in it is taken for markup of another kind."""
    return re.sub(r"(?<!`)(<[^>`]+>)(?!`)", r"`\1`", inspect.cleandoc(text)) if text else ""


def laid_out(text: str) -> str:
    """Write what is laid out by its author as it stands."""
    return f"```text\n{text}\n```"
