"""The note that `buckstop up` leaves in its directory, so that other commands find its server.

`.buckstop/run.json`, readable by its owner only: the URL in it holds the server's password.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

DIRECTORY = ".buckstop"
_FILE = "run.json"
_NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


@dataclass(frozen=True, slots=True)
class Running:
    """What is running in a directory, or was when its owner was killed."""

    url: str
    started: str
    """ISO 8601, for people."""
    pids: Mapping[str, int] = field(default_factory=dict)
    """By name: "up" (or whoever owns the server), "server", "orchestrator-1", "worker" ..."""
    console: str | None = None
    """Where the console is, if it runs."""

    @classmethod
    def read(cls, directory: Path) -> Self | None:
        """Read a directory's note; None where there is none."""
        try:
            note = json.loads((directory / _FILE).read_text())
            pids = dict(note["pids"])
            return cls(str(note["url"]), str(note["started"]), pids, note.get("console"))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{directory / _FILE} cannot be read ({error!r}); remove it, or start again with: "
                "buckstop up"
            ) from None

    def write(self, directory: Path) -> None:
        """Put the note down in one step, so that nobody ever reads half of it."""
        draft = directory / f"{_FILE}.{os.getpid()}"
        try:
            with os.fdopen(os.open(draft, _NEW, 0o600), "w") as file:
                json.dump(asdict(self), file)
            draft.replace(directory / _FILE)
        except OSError:
            draft.unlink(missing_ok=True)
            raise


def forget(directory: Path) -> None:
    """Take the note away: nothing runs here any more."""
    (directory / _FILE).unlink(missing_ok=True)


def find(start: Path) -> tuple[Path, Running] | None:
    """Find the nearest directory, from here upwards, in which something is running."""
    for place in (start, *start.parents):
        if (running := Running.read(place / DIRECTORY)) is not None:
            return place / DIRECTORY, running
    return None
