"""Say what happens in a worker, one JSON object per line, on stderr; on a terminal, to be read.

Celery's own lines and the agents' (`ctx.log`, warnings, anything sent to `logging`) go the same
way. What an agent prints becomes a line too: a stray `print` must not break whoever reads the log.

Celery says two lines for each message at `info`; the runtime says one, with the outcome, so those
two are only heard at `debug`.
"""

import logging
import sys
from typing import TextIO

from envelopes import lines

_PER_MESSAGE = ("celery.worker.strategy", "celery.app.trace")


def start(level: int = logging.WARNING, stream: TextIO | None = None) -> None:
    """Send all logging of this process to one stream."""
    to = stream or sys.__stderr__
    assert to is not None, "a worker has a stderr"
    lines.start(level, to, {"process": "worker"})
    if level > logging.DEBUG:
        for name in _PER_MESSAGE:
            logging.getLogger(name).setLevel(max(level, logging.WARNING))
