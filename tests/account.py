"""The account that agents in real processes keep of their paid calls: an append-only file.

A line when an agent begins, and three for each paid call: when it is meant, when it was booked and
is made, when it is answered. It is what the auditor compares the ledgers with.
"""

import json
import os
import time
from pathlib import Path

FIRST = 3
"""Calls that a spender makes before the test has said a word."""
MODEL = "thirsty"
"""By whose name spenders' calls are booked."""


def note(what: str, **more: object) -> None:
    """Write one line, at once and whole, whoever else writes."""
    file = os.open(os.environ["EFFECTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, json.dumps({"what": what, **more}).encode() + b"\n")
    os.close(file)


def wait_for(word: str) -> None:
    """Stand still until the test says this word."""
    while not _said(Path(os.environ["EFFECTS"]), word).exists():
        time.sleep(0.02)


def say(file: Path, word: str) -> None:
    """Let all go on who wait for this word."""
    _said(file, word).touch()


def _said(file: Path, word: str) -> Path:
    return file.with_name(f"{file.name}.{word}")


def now_ms() -> int:
    """Return the time of this machine, which is the server's too."""
    return time.time_ns() // 1_000_000


def read(file: Path) -> list[dict]:
    """Read all lines so far."""
    return [json.loads(line) for line in file.read_text().splitlines()]
