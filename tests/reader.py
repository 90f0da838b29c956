"""A reader of the documentation: an empty directory, Buckstop on the path, commands as pasted."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import Fresh
from tests.pages import ROOT

WITHIN_S = 180
"""What a command of a page may take at most."""


def environ(*more: Path, **settings: str) -> dict[str, str]:
    """Return the surroundings of somebody who has Buckstop installed, and has set only this."""
    path = ":".join([str(Path(sys.executable).parent), os.environ["PATH"], *map(str, more)])
    plain = {name: value for name, value in os.environ.items() if name[:9] != "BUCKSTOP_"}
    return {**plain, "PATH": path, "PYTHONPATH": str(ROOT), **settings}


def sh(lines: Sequence[str], place: Path, *more: Path, **settings: str) -> str:
    """Run lines as one terminal does, and stop at the first that fails."""
    done = subprocess.run(
        ["sh", "-e", "-c", "\n".join(lines)],
        cwd=place,
        env=environ(*more, **settings),
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def shell(fresh: Fresh, command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command as somebody would paste it, at a server of this test's own."""
    return subprocess.run(
        ["sh", "-c", command],
        cwd=folder,
        env=environ(BUCKSTOP_URL=fresh.url, BUCKSTOP_PREFIX=fresh.keys.prefix),
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )


@contextmanager
def running(
    command: str, place: Path, ready: Callable[[str], bool], **settings: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command in a terminal of its own, from when its log says so; then one Ctrl-C."""
    log, surroundings = place / f"{re.sub(r'[ /]', '-', command)}.log", environ(**settings)
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["sh", "-c", f"exec {command}"], cwd=place, env=surroundings, stdout=out, stderr=out
        )
    try:
        _wait_ready(process, log, ready)
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(WITHIN_S)


def _wait_ready(process: subprocess.Popen[bytes], log: Path, ready: Callable[[str], bool]) -> None:
    give_up = time.monotonic() + WITHIN_S
    while not ready(said := log.read_text()):
        assert process.poll() is None, said
        assert time.monotonic() < give_up, said
        time.sleep(0.05)


@contextmanager
def up(command: str, place: Path) -> Iterator[None]:
    """Run `buckstop up ...` in a first terminal, until the block ends."""
    with running(command, place, lambda said: "console: " in said) as process:
        yield
    assert process.returncode == 0
