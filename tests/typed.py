"""A command line typed within this process: what it writes and how it ends, without its start.

It goes through the same `main` as a process of its own, in a directory and surroundings of its own.
Where the process is the point (a signal, a stream that closes, what is imported, the exit code that
a shell sees) a test starts one: `started`.
"""

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orchestrator import cli
from tests.pages import ROOT


@dataclass(frozen=True)
class Said:
    """How a command ended and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        [line] = self.out.splitlines()
        return json.loads(line)


Run = Callable[..., Said]


def environ(**more: str) -> dict[str, str]:
    """Return surroundings that name no server, and a terminal that is wide."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("BUCKSTOP_")}
    return {**clean, "PYTHONPATH": str(ROOT), "COLUMNS": "200", **more}


def typed(directory: Path, *arguments: str, text: str = "", **more: str) -> Said:
    """Run a command in this process."""
    out, err = _stream(), _stream()
    surroundings = environ(**more)
    with pytest.MonkeyPatch.context() as patched:
        for name in os.environ.keys() - surroundings.keys():
            patched.delenv(name)
        for name, value in surroundings.items():
            patched.setenv(name, value)
        patched.chdir(directory)
        for name, stream in {"stdin": _stream(text), "stdout": out, "stderr": err}.items():
            patched.setattr(sys, name, stream)
        patched.setattr(sys, "argv", ["buckstop", *arguments])
        with ending() as ended:
            cli.main()
    return Said(int(ended.value.code or 0), _read(out), _read(err))


@contextmanager
def ending() -> Iterator[pytest.ExceptionInfo[SystemExit]]:
    """Expect a command to end, and take back Ctrl-C, which its end makes its own."""
    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(SystemExit) as ended:
            yield ended
    finally:
        signal.signal(signal.SIGINT, before)


def started(directory: Path, *arguments: str, text: str = "", **more: str) -> Said:
    """Run a command as a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator.cli", *arguments],
        cwd=directory,
        env=environ(**more),
        input=text,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return Said(done.returncode, done.stdout, done.stderr)


def _stream(text: str = "") -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8", write_through=True)


def _read(stream: io.TextIOWrapper) -> str:
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode()
