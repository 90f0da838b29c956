"""A real HTTP receiver on this machine, which answers as a test tells it to."""

import ssl
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.until import PATIENCE_S

OK = 204
HANG = -1
"""Instead of a status: no answer until the test lets go."""


@dataclass(frozen=True)
class Heard:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes
    answered: int

    @property
    def id(self) -> str:
        """Return what a receiver tells messages apart by."""
        return self.headers["webhook-id"]


class Receiver(ThreadingHTTPServer):
    """Hears requests; each path answers with the statuses it was given, the last one for ever."""

    daemon_threads = True
    request_queue_size = 512

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.heard: list[Heard] = []
        self.answers: dict[str, list[int]] = defaultdict(lambda: [OK])
        self.headers: dict[str, str] = {}
        self.let_go = threading.Event()
        self.changed = threading.Condition()

    @property
    def port(self) -> int:
        """Return where it listens."""
        return int(self.server_address[1])

    def url(self, path: str = "/") -> str:
        """Return where a path is."""
        return f"http://127.0.0.1:{self.port}{path}"

    def hear(self, request: Any, body: bytes) -> int:
        """Note a request, and return the status to answer with."""
        with self.changed:
            answers = self.answers[request.path]
            status = answers.pop(0) if len(answers) > 1 else answers[0]
            headers = {name.lower(): value for name, value in request.headers.items()}
            self.heard.append(Heard(request.path, headers, body, status))
            self.changed.notify_all()
        return status

    def wait_for(self, count: int) -> list[Heard]:
        """Wait until so many requests have come."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.heard) >= count, timeout=PATIENCE_S)
            return list(self.heard)

    def taken(self, path: str = "/") -> Counter[str]:
        """Count by id what was answered well."""
        heard = [one for one in self.heard if one.path == path]
        return Counter(one.id for one in heard if one.answered == OK)


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        """Hear it, and answer."""
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        status = self.server.hear(self, body)
        if status == HANG:
            self.server.let_go.wait(PATIENCE_S)
            return
        self.send_response(status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- its name there
        """Say nothing."""


@contextmanager
def receiving(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """Run a receiver."""
    server = Receiver(tls)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.let_go.set()
        server.shutdown()
        thread.join()
        server.server_close()
