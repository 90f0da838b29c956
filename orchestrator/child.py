"""One process that `buckstop up` keeps running: start it, notice its end, say why it ended.

Whoever dies is started again, at once and then with longer and longer pauses (Lives). Its last
words stand in its log: the line that it wrote last, which names what is to be mended.
"""

import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from envelopes.limits import LAST_WORDS_BYTES, LAST_WORDS_CHARS, LOG_BYTES_MAX
from envelopes.shortened import shortened
from orchestrator.children import Program
from orchestrator.leash import leashed

PAUSES_S: Final = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Before a child is started again: at once, then slower the more often it died in a row."""
STEADY_AFTER_S: Final = 30.0
"""A child that ran this long has proved itself; its next death counts as the first."""


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

    program: Program
    log: Path
    process: subprocess.Popen[bytes] | None = None
    lives: Lives = field(default_factory=Lives)
    log_began: int = 0
    """Where in the log its present life begins."""

    @classmethod
    def of(cls, program: Program, logs: Path) -> "Child":
        """Give it a log to append to; a large one from before is put aside."""
        log = logs / f"{program.name}.log"
        if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
            log.replace(log.with_suffix(".log.1"))
        return cls(program, log)

    @property
    def name(self) -> str:
        """Return its name: its kind and its number."""
        return self.program.name

    @property
    def pid(self) -> int | None:
        """Return its process id while it runs."""
        return None if self.process is None else self.process.pid

    def start(self) -> None:
        """Start it in a session of its own: Ctrl-C in the terminal is its owner's to hear."""
        with open(self.log, "ab", opener=_private) as log:
            self.log_began = log.tell()
            self.process = subprocess.Popen(  # noqa: S603 -- our own programs
                leashed(self.program.command),
                env=self.program.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=self.program.inherits,
            )
        self.lives.began()

    def died(self) -> int | None:
        """Return its exit code if it has just died."""
        if self.process is None or (code := self.process.poll()) is None:
            return None
        self.process = None
        return code

    def last_words(self) -> str:
        """Return what it said last in this life; empty where it said nothing."""
        with self.log.open("rb") as log:
            end = log.seek(0, 2)
            log.seek(max(self.log_began, end - LAST_WORDS_BYTES))
            lines = log.read().decode(errors="replace").split("\n")
        last = next((line for line in reversed(lines) if line.strip()), "")
        words = _said(last.strip()).removeprefix("buckstop worker: ").partition("\n")[0]
        return shortened(words, LAST_WORDS_CHARS)

    def why_it_ended(self, code: int) -> str:
        """Say how it ended and, in its own words, why.

        Whoever is SIGKILLed has no last words: what stands last in the log is of something else.
        """
        words = "" if code == -signal.SIGKILL else self.last_words()
        return ": ".join(part for part in (how_it_ended(code), words) if part)

    def ask_to_stop(self) -> None:
        """Send SIGTERM."""
        if self.process is not None:
            self.process.terminate()

    def kill(self) -> None:
        """Wait for it no longer."""
        if self.process is not None:
            self.process.kill()

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


def _private(path: str, flags: int) -> int:
    """Open what nobody else may read: agents say in their logs what they work on."""
    return os.open(path, flags, 0o600)


def how_it_ended(code: int) -> str:
    """Say in words what an exit code says in figures."""
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _said(line: str) -> str:
    """Take the words out of a line of a log, with the error that it tells of."""
    fields: object = None
    with suppress(ValueError):  # then it is no line of a log, but words as they are
        fields = json.loads(line)
    if not isinstance(fields, dict) or "said" not in fields:
        return line
    return ": ".join(str(fields[name]) for name in ("said", "error") if fields.get(name))
