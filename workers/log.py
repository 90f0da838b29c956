"""Say what happens in a worker, one JSON object per line, on stderr; on a terminal, to be read.

Celery's own lines and the agents' (`ctx.log`, warnings, anything sent to `logging`) go the same
way. What an agent prints becomes a line too: a stray `print` must not break whoever reads the log.

Celery says two lines for each message at `info`; the runtime says one, with the outcome, so those
two are only heard at `debug`.
"""

import logging
import os
import sys
from typing import Any, Final, TextIO

from celery.apps import worker as celery_worker

from envelopes import lines

_PER_MESSAGE: Final = ("celery.worker.strategy", "celery.app.trace")
_ALWAYS: Final = {"process": "worker"}


def start(level: int = logging.WARNING, stream: TextIO | None = None) -> None:
    """Send all logging of this process to one stream."""
    lines.start(level, stream or _stderr(), _ALWAYS)
    if level > logging.DEBUG:
        for name in _PER_MESSAGE:
            logging.getLogger(name).setLevel(max(level, logging.WARNING))


def tame(worker: Any) -> None:
    """Let Celery print no banner, and make lines of what its signal handlers say.

    At a terminal both are left as they are: there somebody reads them.
    """
    if isinstance(lines.formatter(_stderr(), _ALWAYS), lines.TextLines):
        return
    worker.quiet = True
    celery_worker.safe_say = _say


def _say(said: str, _stream: TextIO | None = None) -> None:
    """Write one line past `logging`, whose locks a signal handler must not wait for."""
    record = logging.makeLogRecord(
        {"name": "celery.worker", "levelname": "INFO", "msg": said.strip()}
    )
    line = lines.JsonLines(**_ALWAYS).format(record)
    os.write(_stderr().fileno(), f"{line}\n".encode())


def _stderr() -> TextIO:
    assert sys.__stderr__ is not None, "a worker has a stderr"
    return sys.__stderr__
