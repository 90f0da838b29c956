"""Ctrl-C, whatever the moment: no command that is interrupted shows a trace.

A command that is still being loaded, or has said all it has to say, has nothing to finish: Ctrl-C
ends it on the spot. Raised as KeyboardInterrupt in the middle of an import it would be swallowed by
some libraries, and shown with a trace by others. In between, the command hears it as
KeyboardInterrupt, or as whatever it has asked the system for itself (`up`, `serve`).

What a shell runs in the background is started with SIGINT ignored, and goes on ignoring it.

Imported before anything else, so it imports what is in every Python already, and no more.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.cli.exits import Exit


def end_at_once() -> None:
    """From now on, end on the spot: nothing is under way."""
    if not _is_ignored():
        signal.signal(signal.SIGINT, _leave)


def let_finish() -> None:
    """From now on, raise KeyboardInterrupt: something is under way, and may tidy up."""
    if not _is_ignored():
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def loading() -> Iterator[None]:
    """End on the spot while a command imports what only it needs."""
    before = signal.getsignal(signal.SIGINT)
    end_at_once()
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _is_ignored() -> bool:
    return signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def _leave(number: int, frame: object) -> None:
    """End without what Python does at its end: an interrupt in there is shown with a trace too."""
    del number, frame
    os._exit(Exit.INTERRUPTED)
