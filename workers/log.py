"""Say what happens in a worker, one JSON object per line, on stderr.

Celery's own lines and the agents' (`ctx.log`, warnings, anything sent to `logging`) go the same
way. What an agent prints becomes a line too: a stray `print` must not break whoever reads the log.

Celery says two lines for each message at `info`; the runtime says one, with the outcome, so those
two are only heard at `debug`.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "data"}
"""What every record has, and Celery's copy of it; all else came in `extra`."""
_PER_MESSAGE = ("celery.worker.strategy", "celery.app.trace")


class JsonLines(logging.Formatter):
    """Write a log record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {
            "at": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "log": record.name,
            "said": record.getMessage(),
            **{name: value for name, value in vars(record).items() if name not in _PLAIN},
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = repr(record.exc_info[1])
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def start(level: int = logging.WARNING, stream: TextIO | None = None) -> None:
    """Send all logging of this process to one stream."""
    lines = logging.StreamHandler(stream or sys.__stderr__)
    lines.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [lines]
    root.setLevel(level)
    logging.captureWarnings(capture=True)
    if level > logging.DEBUG:
        for name in _PER_MESSAGE:
            logging.getLogger(name).setLevel(max(level, logging.WARNING))
