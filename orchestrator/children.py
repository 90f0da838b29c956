"""Which processes a deployment on one machine has, and what each is told.

Pure: from what is wanted to commands and environments. Run and looked after by up.py.

Signing keys go to those that sign and to nobody else: a worker, the way in over HTTP and the
courier can none of them mint budget.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

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
    http_port: int | None = None
    """Of the API and the console; None runs neither."""

    @property
    def http_url(self) -> str | None:
        """Return where the console is, if it runs."""
        return None if self.http_port is None else f"http://{HTTP_HOST}:{self.http_port}"


@dataclass(frozen=True, slots=True)
class Plan:
    """One process that is to run."""

    name: str
    command: Sequence[str]
    environ: Mapping[str, str]


def planned(wanted: Wanted, url: str, pair: KeyPair, environ: Mapping[str, str]) -> Iterator[Plan]:
    """Yield what is to run, in the order in which it is started."""
    shared = {**without_keys(environ), "BUCKSTOP_URL": url}
    signing = {**shared, "BUCKSTOP_SIGNING_KEY_FILE": str(pair.private)}
    for number in range(1, wanted.orchestrators + 1):
        yield Plan(f"orchestrator-{number}", _module("orchestrator.serve"), signing)
    if wanted.http_url is not None:
        public = {"BUCKSTOP_PUBLIC_URL": wanted.http_url, **shared}
        where = ("--host", HTTP_HOST, "--port", str(wanted.http_port))
        yield Plan("http-1", _module("orchestrator.http", *where), public)
        yield Plan("courier-1", _module("orchestrator.courier"), public)
    trusting = {**shared, "BUCKSTOP_PUBLIC_KEYS_FILE": str(pair.public)}
    for number in range(1, wanted.workers + 1 if wanted.modules else 1):
        name = f"worker-{number}"
        command, more = worker_command(wanted.modules, wanted.concurrency, wanted.pool, name)
        yield Plan(name, command, {**trusting, **more})


def worker_command(
    modules: Sequence[str], concurrency: int, pool: str, name: str
) -> tuple[list[str], dict[str, str]]:
    """Return the command of an ordinary Celery worker that runs these modules' agents."""
    command = _module("celery", "-A", "workers.app", "worker")
    command += ["--pool", pool, "--concurrency", str(concurrency), "--hostname", f"{name}@%h"]
    return command, {"BUCKSTOP_AGENTS": ",".join(modules)}


def without_keys(environ: Mapping[str, str]) -> dict[str, str]:
    """Leave keys out of what children inherit: a worker must not be able to mint budget."""
    ours = ("BUCKSTOP_SIGNING_KEY", "BUCKSTOP_PUBLIC_KEYS")
    return {name: value for name, value in environ.items() if not name.startswith(ours)}


def _module(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", name, *arguments]
