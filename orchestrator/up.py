"""Run everything on one machine: server, orchestrators, workers, console. What `buckstop up` does.

One process owns all the others (children.py says which). It starts them, starts again what dies
(soon at first, then with longer and longer pauses), and stops them in the order in which nothing is
lost: the way in; then workers, which finish or hand back what they have; then orchestrators, which
take in what the workers reported; then the courier, which tells of that; then the server. Each
child is on a leash (leash.py), so all end even if the owner is SIGKILLed.

It says ready once all is at work (readiness.py). Until then it looks often; from then on it sleeps
until a signal comes or a pause is over: a child's death is a signal too (SIGCHLD). Who says before
that time that it cannot start as it was asked to, with a module that cannot be imported, ends all.

Children log to files in `.buckstop/log/`; what happens to them is told to `say`.
"""

import os
import select
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

from envelopes.limits import DISK_FREE_MIN_BYTES
from envelopes.scripts import connect
from orchestrator import keyfile, login
from orchestrator.child import Child, Lives
from orchestrator.children import Wanted, programs
from orchestrator.embedded import EmbeddedError, EmbeddedServer
from orchestrator.readiness import LOOK_EVERY_S, TELL_EVERY_S, Readiness
from orchestrator.settings import Settings, person
from orchestrator.tokens import Tokens

STOP_EXTRA_S = 5.0
"""Beyond the grace time children give themselves, before they are killed."""
_REFUSED = 2
"""The exit code of a child that cannot start as it was asked to."""
_STOPPED_IN_TURN = ("http", "flower", "worker", "orchestrator", "courier")

Say = Callable[[str, Mapping[str, object]], None]
"""Told what happened, in one word, and to whom."""


class NotStarted(Exception):
    """A child cannot start as things are; the message names what is to be mended."""


class Up:
    """Everything that runs, and the loop that keeps it so."""

    def __init__(self, wanted: Wanted, say: Say) -> None:
        self._wanted = wanted
        self._say = say
        self._server: EmbeddedServer | None = None
        self._server_lives = Lives()
        self._children: list[Child] = []
        self._readiness: Readiness | None = None
        """Until all are at work."""
        self._tell_at = 0.0
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
        logs = directory / "log"
        logs.mkdir(exist_ok=True)
        settings = Settings.read(url=self._url)
        pair = keyfile.ensure(directory)
        client = connect(settings.url)
        self._readiness = Readiness(client, settings.keys, ours=self._server is not None)
        self._tell_at = time.monotonic() + TELL_EVERY_S
        for program in programs(self._wanted, self._url, pair, os.environ):
            if self._stops:
                return
            self._children.append(Child.of(program, logs))
            self._start_child(self._children[-1])
        self._note()

    @property
    def _url(self) -> str:
        return self._wanted.url or (self._server.url if self._server else "")

    def _start_child(self, child: Child) -> None:
        child.start()
        assert child.process is not None
        self._say("started", {"name": child.name, "pid": child.process.pid, "log": str(child.log)})

    def _note(self) -> None:
        """Keep the note up to date, so that others can see (and tests kill) who runs."""
        if self._server is None or not self._server.alive:
            return
        pids = {c.name: c.process.pid for c in self._children if c.process}
        try:
            self._server.note(pids, self._wanted.http_url)
        except OSError as error:  # a disk that is full; the note before names the same server
            self._say("unnoted", {"why": str(error)})

    # --- until all are at work -------------------------------------------------------------------

    def _look_whether_ready(self) -> None:
        """Say ready once all are at work; until then, now and then, whom it waits for."""
        if self._readiness is None:
            return
        if missing := self._readiness.missing(self._children):
            self._tell_of(missing)
            return
        self._readiness.close()
        self._readiness = None
        self._say("ready", {"directory": str(self._wanted.directory)})
        if self._wanted.http is not None:
            self._say("console", {"link": self._login_link()})
        if (flower := self._wanted.flower) is not None:
            self._say("flower", {"link": flower.url, "login": flower.login})

    def _tell_of(self, missing: list[Child]) -> None:
        if time.monotonic() >= self._tell_at:
            waits = [{"name": each.name, "log": str(each.log)} for each in missing]
            self._say("waiting", {"for": waits})
            self._tell_at = time.monotonic() + TELL_EVERY_S

    def _login_link(self) -> str:
        settings = Settings.read(url=self._url)
        with connect(settings.url) as client:
            return login.link(Tokens(client, settings.keys), f"{self._wanted.http_url}/", person())

    # --- keep running ----------------------------------------------------------------------------

    def _look_after(self) -> None:
        """Start again what died, once its pause is over."""
        if self._stops:
            return
        changed = self._look_after_server()
        for child in self._children:
            if (code := child.died()) is not None:
                self._child_died(child, code)
            if child.lives.due:
                self._start_child(child)
                changed = True
        if changed:
            self._note()
        self._look_whether_ready()

    def _child_died(self, child: Child, code: int) -> None:
        """Note it; who cannot start as it was asked to is not started again before all are ready.

        Later it is: what was edited into a mistake while all runs is edited again.
        """
        if code == _REFUSED and self._readiness is not None:
            raise NotStarted(f"{child.name} cannot start: {child.last_words()}. Nothing runs now")
        self._died(child.name, child.lives, f"{child.why_it_ended(code)}; log: {child.log}")

    def _look_after_server(self) -> bool:
        """Start the server again under the same URL; everybody else reconnects by themselves."""
        server, lives = self._server, self._server_lives
        if server is None:
            return False
        if server.alive:
            if lives.start_at is None:
                return False
            self._server_started(server)  # it had a large file to read, and was given up too soon
            return True
        if lives.start_at is None:
            self._died("server", lives, self._why_it_died(server))
        if not lives.due:
            return False
        try:
            server.restart()
        except EmbeddedError as error:
            self._died("server", lives, str(error))
            return False
        except OSError as error:
            self._died("server", lives, f"{self._why_it_died(server)}; {error}")
            return False
        self._server_started(server)
        return True

    def _why_it_died(self, server: EmbeddedServer) -> str:
        """Say that the disk is full, where it is: then the server's own log says nothing."""
        free = shutil.disk_usage(server.directory).free
        if free < DISK_FREE_MIN_BYTES:
            return f"no space is left on the disk of {server.directory}; free some"
        return f"see {server.log}"

    def _server_started(self, server: EmbeddedServer) -> None:
        self._server_lives.began()
        self._say("server", {"pid": server.pid, "port": server.port, "log": str(server.log)})

    def _died(self, name: str, lives: Lives, why: str) -> None:
        self._say("died", {"name": name, "why": why, "again_in_s": lives.ended()})

    def _next_pause(self) -> float | None:
        """Return how long nothing has to be done, unless a signal comes."""
        all_lives = [self._server_lives, *(child.lives for child in self._children)]
        due = [lives.start_at for lives in all_lives if lives.start_at is not None]
        if self._readiness is not None:
            due.append(time.monotonic() + LOOK_EVERY_S)
        return max(0.0, min(due) - time.monotonic()) if due else None

    # --- stop ------------------------------------------------------------------------------------

    def _on_signal(self) -> None:
        """Stop at the first signal; at a second one, do not wait for anybody."""
        self._stops += 1
        if self._stops > 1:
            for child in self._children:
                child.kill()

    def _stop(self) -> None:
        if self._readiness is not None:
            self._readiness.close()
        if self._server is None and not self._children:
            return  # it never began, and why is said by whoever asked for it
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
