"""What one process of a worker has: a name, a connection, a line, a beat, a loop.

After a fork the child makes its own: a parent's threads do not exist there, and its locks may be
held for ever. Only the name stays, so that a pool
is one worker to the outside.
"""

import json
import os
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from uuid import uuid4

from redis import Redis

from envelopes import exports
from envelopes.exports import Exports
from envelopes.scripts import Arg, Call, Scripts, connect
from envelopes.versions import SCHEMA_VERSION
from workers.beat import Beat
from workers.claims import LUA, Claims, Ended
from workers.context import Grant
from workers.line import Line
from workers.loop import Loop
from workers.runtime import Run
from workers.settings import Settings

_MADE = ("client", "scripts", "direct", "line", "claims", "beat", "loop")
_CONNECTIONS_MAX = 8
"""The line sends by one at a time; the rest are for beats, fetches and the ending."""


class Station:
    """One process's share of the worker."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.worker = f"{socket.gethostname()}.{os.getpid()}.{uuid4().hex[:8]}"
        self.about: dict[str, Any] = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "version": _version(),
            "schema": SCHEMA_VERSION,
        }
        """What the list of workers says of this one."""
        self.runs: dict[str, Run] = {}
        """What runs in this process now, by subtask."""
        self._exports: Exports | None = None
        os.register_at_fork(after_in_child=self._after_fork)

    @cached_property
    def client(self) -> Redis:
        """Return this process's connections to the server."""
        return connect(self.settings.url, max_connections=_CONNECTIONS_MAX)

    @cached_property
    def scripts(self) -> Scripts:
        """Return the workers' scripts."""
        return Scripts(self.client, LUA, self.settings.keys)

    @cached_property
    def direct(self) -> Claims:
        """Return the claims as fetch and beat use them: an error is raised at once."""
        return Claims(self.scripts, self.settings.keys, self.worker)

    @cached_property
    def line(self) -> Line:
        """Return the line in which all else is sent."""
        return Line(self.scripts)

    @cached_property
    def claims(self) -> Claims:
        """Return the claims as running agents use them: in line, and through an outage."""
        return Claims(self.line, self.settings.keys, self.worker)

    def post_report(
        self, grant: Grant, settled: Ended, envelope: bytes, then: Callable[[Any], object]
    ) -> None:
        """Report without waiting for the reply, which goes to the callback."""
        call = _Written()
        Claims(call, self.settings.keys, self.worker).report(
            grant.subtask, grant.token, settled, envelope
        )
        self.line.post(call.call, then)

    @cached_property
    def beat(self) -> Beat:
        """Return the process's sign of life."""
        return Beat(self.direct, self._said)

    def _said(self) -> str:
        """Say what there is to know of this worker, with its own clock: it may be wrong."""
        return json.dumps(self.about | {"at_ms": time.time_ns() // 1_000_000})

    @cached_property
    def loop(self) -> Loop:
        """Return the event loop of async agents."""
        return Loop()

    def export(self) -> None:
        """Let OpenTelemetry have what this process does, if its environment names a collector."""
        self._exports = exports.start("buckstop.worker")

    def close_exports(self) -> None:
        """Send what still waits to be exported."""
        waiting, self._exports = self._exports, None
        if waiting is not None:
            waiting.close()

    def make(self) -> None:
        """Make everything now, before there are threads that could make a thing twice."""
        for name in _MADE:
            getattr(self, name)

    def _after_fork(self) -> None:
        self.runs = {}
        self._exports = None
        _forget(self, _MADE)


def _version() -> str:
    try:
        return version("buckstop")
    except PackageNotFoundError:
        return "a checkout"


class _Written:
    """Takes a script call down instead of sending it."""

    call: Call

    def run(self, name: str, keys: Sequence[str], args: Sequence[Arg]) -> bytes:
        self.call = (name, keys, args)
        return b"ok"


def _forget(station: Station, names: Iterable[str]) -> None:
    for name in names:
        vars(station).pop(name, None)
