"""Which processes a deployment on one machine has, and what each is told.

Pure: from what is wanted to commands and environments. Run and looked after by up.py.

Signing keys go to those that sign and to nobody else: a worker, the way in over HTTP and the
courier can none of them mint budget.
"""

import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.flower import Flower
from orchestrator.keyfile import KeyPair

HTTP_HOST: Final = "127.0.0.1"
"""Of this machine alone: who wants more puts a proxy with TLS in front."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to run."""

    directory: Path
    modules: Sequence[str] = ()
    """With agents; none means no worker."""
    url: str | None = None
    """A server of the user's own; None starts the embedded one."""
    orchestrators: int = 1
    workers: int = 1
    concurrency: int = 8
    pool: str = "threads"
    grace_s: float = 25.0
    http: socket.socket | None = None
    """Where the API and the console are asked for; None runs neither. It listens already: whoever
    comes while their process starts, or starts again, waits a moment and is not sent away."""
    flower: Flower | None = None

    @property
    def http_url(self) -> str | None:
        """Return where the console is, if it runs."""
        return f"http://{HTTP_HOST}:{self.http.getsockname()[1]}" if self.http else None


@dataclass(frozen=True, slots=True)
class Program:
    """One process that is to run."""

    name: str
    command: Sequence[str]
    environ: Mapping[str, str]
    inherits: tuple[int, ...] = ()
    """Open files that it takes over."""


def programs(
    wanted: Wanted, url: str, pair: KeyPair, environ: Mapping[str, str]
) -> Iterator[Program]:
    """Yield what is to run, in the order in which it is started."""
    shared = {**without_keys(environ), "BUCKSTOP_URL": url}
    signing = {**shared, "BUCKSTOP_SIGNING_KEY_FILE": str(pair.private)}
    for number in range(1, wanted.orchestrators + 1):
        yield Program(f"orchestrator-{number}", _module("orchestrator.serve"), signing)
    if wanted.http is not None:
        public = {"BUCKSTOP_PUBLIC_URL": wanted.http_url or "", **shared}
        fd = wanted.http.fileno()
        yield Program("http-1", _module("orchestrator.http", "--fd", str(fd)), public, (fd,))
        yield Program("courier-1", _module("orchestrator.courier"), public)
    if wanted.flower is not None:
        yield Program("flower-1", _celery("flower"), wanted.flower.environ(shared))
    trusting = {**shared, "BUCKSTOP_PUBLIC_KEYS_FILE": str(pair.public)}
    for number in range(1, wanted.workers + 1 if wanted.modules else 1):
        name = f"worker-{number}"
        command, more = worker_command(wanted.modules, wanted.concurrency, wanted.pool, name)
        yield Program(name, command, {**trusting, **more})


def worker_command(
    modules: Sequence[str], concurrency: int, pool: str, name: str
) -> tuple[list[str], dict[str, str]]:
    """Return the command of an ordinary Celery worker that runs these modules' agents."""
    command = _celery("worker")
    command += ["--pool", pool, "--concurrency", str(concurrency), "--hostname", f"{name}@%h"]
    return command, {"BUCKSTOP_AGENTS": ",".join(modules)}


def without_keys(environ: Mapping[str, str]) -> dict[str, str]:
    """Leave keys out of what children inherit: a worker must not be able to mint budget."""
    ours = ("BUCKSTOP_SIGNING_KEY", "BUCKSTOP_PUBLIC_KEYS")
    return {name: value for name, value in environ.items() if not name.startswith(ours)}


def _celery(subcommand: str) -> list[str]:
    return _module("celery", "-A", "workers.app", subcommand)


def _module(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", name, *arguments]
