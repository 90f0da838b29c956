"""One http process in front of a server, with a token for it; ended with the `with` block."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
from redis import Redis

from envelopes.keys import Keys
from orchestrator.leash import leashed
from orchestrator.tokens import Scope, Tokens
from tests.until import PATIENCE_S, until

ROOT = Path(__file__).parents[1]


class Front:
    """A process that serves the app, with such limits as a test can wait for."""

    def __init__(self, url: str, client: Redis, keys: Keys, log: Path, **limits: float) -> None:
        self.tokens = Tokens(client, keys)
        self.token = self.new_token()
        self.log = log
        environ = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "BUCKSTOP_URL": url,
            "BUCKSTOP_PREFIX": keys.prefix,
            "BUCKSTOP_GRACE": "20",
        }
        command = [sys.executable, "-m", "tests.limited", json.dumps(limits), "orchestrator.http"]
        with log.open("ab") as said, socket.create_server(("127.0.0.1", 0)) as listening:
            self.port = listening.getsockname()[1]
            self.process = subprocess.Popen(
                leashed([*command, "--fd", str(listening.fileno())]),
                env=environ,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                pass_fds=[listening.fileno()],
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
        try:
            until("the app answers", self._answers)
        except BaseException:
            self.process.kill()
            raise

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        url = f"http://127.0.0.1:{self.port}/healthz"
        return httpx.get(url, timeout=PATIENCE_S).is_success
