"""The version after this one: a copy of the tree whose records have one more field each.

Every new field has a value that is always written, so whoever speaks only this version refuses it
(headers, envelopes, requests, decisions) or would lose it (tasks): mixing both without the rules of
envelopes/versions.py breaks something at once.
"""

import os
import shutil
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
NEXT: Final = 2
_CHANGES: Final = (
    ("envelopes/versions.py", "SCHEMA_VERSION: Final = 1", "SCHEMA_VERSION: Final = 2"),
    ("envelopes/versions.py", '    "headers": {},', '    "headers": {"colour": 2},'),
    ("envelopes/versions.py", '    "envelope": {},', '    "envelope": {"mood": 2},'),
    ("envelopes/versions.py", '    "request": {},', '    "request": {"flavour": 2},'),
    ("envelopes/versions.py", '    "decision": {},', '    "decision": {"tone": 2},'),
    ("envelopes/versions.py", '    "head": {},', '    "head": {"weather": 2},'),
)
_FIELDS: Final = (
    ("envelopes/headers.py", "    lease_ms: Span = limits.LEASE_MS", '    colour: str = "none"'),
    ("envelopes/envelope.py", "    progress: bool | None = None", '    mood: str = "fine"'),
    (
        "envelopes/request.py",
        "    traceparent: Traceparent | None = None",
        '    flavour: str = "plain"',
    ),
    ("envelopes/decision.py", "class Decision(Frozen):", '    tone: str = "kind"'),
    ("orchestrator/core/task.py", "    stalls: int = 0", '    weather: str = "sunny"'),
    ("orchestrator/wire.py", '            "nonce": self._nonce,', '            "colour": "blue",'),
)
"""Behind which line of which file a line is put."""


def make_next(folder: Path) -> Path:
    """Make the copy; return where it is."""
    for package in ("envelopes", "orchestrator", "workers"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, folder / package, ignore=ignored)
    (folder / "tests").symlink_to(ROOT / "tests")
    for name, old, new in _CHANGES:
        _replace(folder / name, old, new)
    for name, line, added in _FIELDS:
        _replace(folder / name, line, _behind(line, added))
    return folder


def environ_of(tree: Path) -> dict[str, str]:
    """Return the environment of a process that runs from this tree."""
    return {**os.environ, "PYTHONPATH": str(tree)}


def _behind(line: str, added: str) -> str:
    """Put a line behind another; a class begins with its docstring."""
    if line.startswith("class "):
        return f"{line}\n{added}\n"
    return f"{line}\n{added}"


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    lines = [line for line in text.splitlines() if line == old]
    assert len(lines) == 1, f"{path.name} has {len(lines)} lines {old!r}"
    path.write_text(text.replace(f"{old}\n", f"{new}\n", 1))
