"""Run everything on one machine: server, orchestrators, workers, console. What `buckstop up` does.

One process owns all the others (children.py says which). It starts them, starts again what dies
(soon at first, then with longer and longer pauses), and stops them in the order in which nothing is
lost: the way in; then workers, which finish or hand back what they have; then orchestrators, which
take in what the workers reported; then the courier, which tells of that; then the server. Each
child is on a leash (leash.py), so all end even if the owner is SIGKILLed.

It sleeps until a signal comes or a pause is over: a child's death is a signal too (SIGCHLD).

Children log to files in `.buckstop/log/`; what happens to them is told to `say`.
"""

import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from envelopes.scripts import connect
from orchestrator import keyfile, login
from orchestrator.children import Plan, Wanted, planned
from orchestrator.embedded import EmbeddedError, EmbeddedServer
from orchestrator.leash import leashed
from orchestrator.settings import Settings, person

PAUSES_S = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Before a child is started again: at once, then slower the more often it died in a row."""
STEADY_AFTER_S = 30.0
"""A child that ran this long has proved itself; its next death counts as the first."""
STOP_EXTRA_S = 5.0
"""Beyond the grace time children give themselves, before they are killed."""
LOG_BYTES_MAX = 16 * 1024 * 1024
"""A larger log is put aside at the next start, one generation deep."""
_STOPPED_IN_TURN = ("http", "flower", "worker", "orchestrator", "courier")

Say = Callable[[str, Mapping[str, object]], None]
"""Told what happened, in one word, and to whom."""


@dataclass(slots=True)
class Lives:
    """When something was started and when it may be again, on the monotonic clock."""

    started: float = 0.0
    deaths: int = 0
    start_at: float | None = None

    def began(self) -> None:
        """Note a start."""
        self.started, self.start_at = time.monotonic(), None

    def ended(self) -> float:
        """Note a death; return the pause before the next start."""
        now = time.monotonic()
        self.deaths = 1 if now - self.started > STEADY_AFTER_S else self.deaths + 1
        pause_s = PAUSES_S[min(self.deaths - 1, len(PAUSES_S) - 1)]
        self.start_at = now + pause_s
        return pause_s

    @property
    def due(self) -> bool:
        """Say whether it is to be started now."""
        return self.start_at is not None and self.start_at <= time.monotonic()


@dataclass(slots=True)
class Child:
    """One process that is kept running."""

    plan: Plan
    log: Path
    process: subprocess.Popen[bytes] | None = None
    lives: Lives = field(default_factory=Lives)

    @property
    def name(self) -> str:
        """Return its name: its kind and its number."""
        return self.plan.name

    def start(self) -> None:
        """Start it in a session of its own: Ctrl-C in the terminal is its owner's to hear."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 -- our own programs
                leashed(self.plan.command),
                env=self.plan.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=self.plan.inherits,
            )
        self.lives.began()

    def died(self) -> int | None:
        """Return its exit code if it has just died."""
        if self.process is None or (code := self.process.poll()) is None:
            return None
        self.process = None
        return code

    def ask_to_stop(self) -> None:
        """Send SIGTERM."""
        if self.process is not None:
            self.process.terminate()

    def wait(self, give_up: float) -> bool:
        """Wait until it has ended, and kill it at last; say whether it ended by itself."""
        if self.process is None:
            return True
        try:
            self.process.wait(max(0.0, give_up - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return False
        finally:
            self.process = None
        return True


class Up:
    """Everything that runs, and the loop that keeps it so."""

    def __init__(self, wanted: Wanted, say: Say) -> None:
        self._wanted = wanted
        self._say = say
        self._server: EmbeddedServer | None = None
        self._server_lives = Lives()
        self._children: list[Child] = []
        self._stops = 0

    def run(self) -> None:
        """Start everything, keep it running until SIGINT or SIGTERM, stop everything."""
        with _signals(self._on_signal) as woken:
            try:
                self._start()
                while not self._stops:
                    woken(self._next_pause())
                    self._look_after()
            finally:
                self._stop()

    # --- start -----------------------------------------------------------------------------------

    def _start(self) -> None:
        directory = self._wanted.directory
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._wanted.url is None:
            self._server = EmbeddedServer(directory)
            self._server_started(self._server)
        log = directory / "log"
        log.mkdir(exist_ok=True)
        pair = keyfile.ensure(directory)
        for plan in planned(self._wanted, self._url, pair, os.environ):
            child = Child(plan, _log(log / f"{plan.name}.log"))
            self._children.append(child)
            self._start_child(child)
        self._note()
        self._say("ready", {"directory": str(directory)})
        if self._wanted.http is not None:
            self._say("console", {"link": self._login_link()})
        if self._wanted.flower is not None:
            self._say(
                "flower", {"link": self._wanted.flower.url, "login": self._wanted.flower.login}
            )

    @property
    def _url(self) -> str:
        return self._wanted.url or (self._server.url if self._server else "")

    def _start_child(self, child: Child) -> None:
        child.start()
        assert child.process is not None
        self._say("started", {"name": child.name, "pid": child.process.pid, "log": str(child.log)})

    def _note(self) -> None:
        """Keep the note up to date, so that others can see (and tests kill) who runs."""
        if self._server is not None and self._server.alive:
            pids = {c.name: c.process.pid for c in self._children if c.process}
            self._server.note(pids, self._wanted.http_url)

    # --- keep running ----------------------------------------------------------------------------

    def _look_after(self) -> None:
        """Start again what died, once its pause is over."""
        if self._stops:
            return
        changed = self._look_after_server()
        for child in self._children:
            if (code := child.died()) is not None:
                self._died(child.name, child.lives, f"exit code {code}, see {child.log}")
            if child.lives.due:
                self._start_child(child)
                changed = True
        if changed:
            self._note()

    def _login_link(self) -> str:
        settings = Settings.read(url=self._url)
        with connect(settings.url) as client:
            return login.link(client, settings.keys, f"{self._wanted.http_url}/", person())

    def _look_after_server(self) -> bool:
        """Start the server again under the same URL; everybody else reconnects by themselves."""
        server, lives = self._server, self._server_lives
        if server is None or server.alive:
            return False
        if lives.start_at is None:
            self._died("server", lives, f"see {server.log}")
        if not lives.due:
            return False
        try:
            server.restart()
        except EmbeddedError as error:
            self._died("server", lives, str(error))
            return False
        self._server_started(server)
        return True

    def _server_started(self, server: EmbeddedServer) -> None:
        self._server_lives.began()
        self._say("server", {"pid": server.pid, "port": server.port, "log": str(server.log)})

    def _died(self, name: str, lives: Lives, why: str) -> None:
        self._say("died", {"name": name, "why": why, "again_in_s": lives.ended()})

    def _next_pause(self) -> float | None:
        """Return how long nothing has to be done, unless a signal comes."""
        all_lives = [self._server_lives, *(child.lives for child in self._children)]
        due = [lives.start_at for lives in all_lives if lives.start_at is not None]
        return max(0.0, min(due) - time.monotonic()) if due else None

    # --- stop ------------------------------------------------------------------------------------

    def _on_signal(self) -> None:
        """Stop at the first signal; at a second one, do not wait for anybody."""
        self._stops += 1
        if self._stops > 1:
            for child in self._children:
                if child.process is not None:
                    child.process.kill()

    def _stop(self) -> None:
        self._say("stopping", {"grace_s": self._wanted.grace_s})
        for kind in _STOPPED_IN_TURN:
            group = [child for child in self._children if child.name.startswith(kind)]
            for child in group:
                child.ask_to_stop()
            give_up = time.monotonic() + self._wanted.grace_s + STOP_EXTRA_S
            for child in group:
                ended = child.wait(give_up)
                self._say("stopped", {"name": child.name, "killed": not ended})
        if self._server is not None:
            self._server.stop()
            self._say("stopped", {"name": "server", "killed": False})


def _log(path: Path) -> Path:
    """Return the log to append to; a large one from before is put aside."""
    if path.exists() and path.stat().st_size > LOG_BYTES_MAX:
        path.replace(path.with_suffix(".log.1"))
    return path


@contextmanager
def _signals(on_stop: Callable[[], None]) -> Iterator[Callable[[float | None], None]]:
    """Route SIGINT, SIGTERM and SIGCHLD here; give a sleep that any of them ends."""
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)

    def heard(number: int, _: FrameType | None) -> None:
        if number != signal.SIGCHLD:  # for that one, the byte that wakes the sleeper is enough
            on_stop()

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)
    before = {number: signal.signal(number, heard) for number in numbers}
    wakeup_before = signal.set_wakeup_fd(writer.fileno())

    def sleep(seconds: float | None) -> None:
        if select.select([reader], [], [], seconds)[0]:
            reader.recv(4096)

    try:
        yield sleep
    finally:
        signal.set_wakeup_fd(wakeup_before)
        for number, handler in before.items():
            signal.signal(number, handler)
        reader.close()
        writer.close()
