"""Flower beside everything else that `buckstop up --flower` runs.

Flower is Celery's own window: queues, workers, tasks. It may control workers and send tasks, so it
listens on this machine only and asks for a login, its pages and its API alike. The login is made
once for each directory and stands in `.buckstop/flower_login`, readable by its owner only, in the
form in which curl takes it:

    curl -u "$(cat .buckstop/flower_login)" http://127.0.0.1:5555/api/workers

In docker-compose.yml Flower is told the same by deploy/flower/flower.py.
"""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

PORT: Final = 5555
"""Flower's own; people know it."""
LOGIN: Final = "flower_login"
COLUMNS: Final = "name,args,state,result,kwargs,received,runtime,worker,uuid"
"""What the page of tasks shows: agent, goal, where in the task, and how it ended."""
_HOST: Final = "127.0.0.1"
_USER: Final = "buckstop"


@dataclass(frozen=True, slots=True)
class Flower:
    """Where Flower is to listen, and whom it lets in."""

    port: int
    login: str = field(repr=False)
    """User and password, with a colon between them."""

    @property
    def url(self) -> str:
        """Return where a browser finds it."""
        return f"http://{_HOST}:{self.port}"

    def environ(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return what its process is told; what a user has set of its looks stays so."""
        return {
            "FLOWER_TASKS_COLUMNS": COLUMNS,
            **environ,
            "FLOWER_ADDRESS": _HOST,
            "FLOWER_PORT": str(self.port),
            "FLOWER_BASIC_AUTH": self.login,
        }


def ensure_login(directory: Path) -> str:
    """Return the login of this directory, which is made at the first call."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = directory / LOGIN
    if path.exists() and (kept := path.read_text(encoding="ascii").strip()):
        return kept
    login, draft = f"{_USER}:{secrets.token_urlsafe(18)}", directory / f"{LOGIN}.new"
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as new:
        new.write(login + "\n")
    draft.replace(path)  # whole or not at all: without a login Flower lets everybody in
    return login
