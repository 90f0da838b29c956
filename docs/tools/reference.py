"""Write the reference from the code: nothing here can say what the code does not.

    pages()                                  every page, by its path under docs/
    python docs/tools/reference.py FOLDER    the same, written to a directory, to look at

Each page is one function, and each reads what is the truth of it: the commands from click, the API
from its OpenAPI, the Python interfaces from their docstrings, requests and envelopes from the JSON
Schemas, limits and settings from the text of the modules that define them.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from writing import ROOT  # first: it lets the others import the code

# isort: split
import figures
import interfaces
import vocabulary
import ways_in

__all__ = ["PAGES", "ROOT", "pages"]

PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "cli": ways_in.cli,
    "http": ways_in.http,
    "python": interfaces.python,
    "schemas": vocabulary.schemas,
    "settings": figures.settings,
    "limits": figures.limits_,
    "keys": figures.keys,
    "metrics": figures.metrics,
    "journal": vocabulary.whys,
    "states": vocabulary.states,
}
_MADE: Final = "*Made from the code while this site was built.*\n"


def pages() -> dict[str, str]:
    """Return every page of the reference, by its path."""
    made = {name: write() for name, write in PAGES.items()}
    return {f"reference/{name}.md": f"{text.rstrip()}\n\n{_MADE}" for name, text in made.items()}


def main(folder: str) -> None:
    """Write all pages to a directory."""
    for name, text in pages().items():
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
