"""How a log line looks, on either side: one JSON object.

Whatever is passed in `extra` becomes a field of the line. A line break inside a field is escaped by
JSON, so one record is always one line, exceptions with their traces included.
"""

import json
import logging
from datetime import UTC, datetime
from typing import Any

_COPIES = {"data", "color_message"}
"""Celery's copy of a record, and uvicorn's of its message for a terminal."""
_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"} | _COPIES
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
