"""One http process in front of a server, with a token for it; ended with the `with` block."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from redis import Redis

from envelopes.keys import Keys
from orchestrator.embedded import free_port
from orchestrator.leash import leashed
from orchestrator.tokens import Scope, Tokens

ROOT = Path(__file__).parents[1]
READY_WITHIN_S = 30


class Front:
    """A process that serves the app, with such limits as a test can wait for."""

    def __init__(self, url: str, client: Redis, keys: Keys, log: Path, **limits: float) -> None:
        self.tokens = Tokens(client, keys)
        self.token = self.new_token()
        self.port = free_port()
        self.log = log
        environ = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "BUCKSTOP_URL": url,
            "BUCKSTOP_PREFIX": keys.prefix,
            "BUCKSTOP_GRACE": "20",
        }
        command = [sys.executable, "-m", "tests.live_server", json.dumps(limits)]
        with log.open("ab") as said:
            self.process = subprocess.Popen(
                leashed([*command, "--port", str(self.port)]),
                env=environ,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )
        self._wait()

    def new_token(self, tenant: str | None = None, *scopes: Scope) -> str:
        """Make a token that may call often."""
        return self.tokens.new("tester", scopes or [Scope.READ], tenant=tenant, per_minute=600_000)

    def memory_kb(self) -> int:
        """Return the most memory that the process has had so far."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()

    def _wait(self) -> None:
        give_up = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < give_up and self.process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        self.process.kill()
        raise RuntimeError(f"the app does not answer: {self.log.read_text()}")
