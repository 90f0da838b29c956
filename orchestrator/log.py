"""Say what happens, one JSON object per line, on stderr.

    log = logging.getLogger("buckstop.serve")
    log.info("decided", extra={"task": "7f3a", "why": "plan_done"})

    {"at": "2026-02-03T04:05:06.789Z", "level": "info", "log": "buckstop.serve", "said": "decided",
     "task": "7f3a", "why": "plan_done"}

Whatever is passed in `extra` becomes a field of the line. A line break inside a field is escaped by
JSON, so one record is always one line, exceptions with their traces included.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, TextIO
from urllib.parse import urlsplit

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""What every record has; all else came in `extra`."""


class JsonLines(logging.Formatter):
    """Write a log record as one line of JSON."""

    def __init__(self, **always: object) -> None:
        super().__init__()
        self._always = always

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {
            "at": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "log": record.name,
            "said": record.getMessage(),
            **self._always,
            **{name: value for name, value in vars(record).items() if name not in _PLAIN},
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = repr(record.exc_info[1])
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def start(level: int = logging.INFO, stream: TextIO | None = None, **always: object) -> None:
    """Send all logging of this process to one stream; `always` stands in every line."""
    lines = logging.StreamHandler(stream or sys.stderr)
    lines.setFormatter(JsonLines(**always))
    root = logging.getLogger()
    root.handlers[:] = [lines]
    root.setLevel(level)


def without_password(url: str) -> str:
    """Return a server's URL as it may stand in a log or on a screen."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    at = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{parts.username or ''}:***@{at}").geturl()
