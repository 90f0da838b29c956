"""Write the JSON Schemas of everything that travels, for whoever is not written in Python.

    python -m envelopes.schemas docs/schemas

They say what shape a value has. What a schema cannot say (a plan without cycles, a reason with
every failure) is checked by the models themselves. tests/test_schemas.py keeps the files current.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from envelopes.decision import Cancellation, Decision
from envelopes.envelope import Envelope
from envelopes.headers import Headers
from envelopes.ledger import Ledger
from envelopes.request import TaskRequest
from envelopes.until import FinishLine

_DIALECT = "https://json-schema.org/draft/2020-12/schema"

VOCABULARY: Final[Mapping[str, TypeAdapter[Any]]] = {
    "task_request": TypeAdapter(TaskRequest),
    "headers": TypeAdapter(Headers),
    "envelope": TypeAdapter(Envelope),
    "decision": TypeAdapter(Decision),
    "cancellation": TypeAdapter(Cancellation),
    "ledger": TypeAdapter(Ledger),
    "finish_line": TypeAdapter(FinishLine),
}


def schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema of one word of the vocabulary."""
    return {"$schema": _DIALECT, **VOCABULARY[name].json_schema()}


def texts() -> dict[str, str]:
    """Return every schema file by its name."""
    return {
        f"{name}.json": json.dumps(schema(name), indent=2, ensure_ascii=False) + "\n"
        for name in VOCABULARY
    }


def write(folder: Path) -> None:
    """Write all of them into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004  the program and its one argument
        sys.exit("usage: python -m envelopes.schemas FOLDER")
    write(Path(sys.argv[1]))
