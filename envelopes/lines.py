"""How a log line looks, on either side: one JSON object, or, on a terminal, a line to read.

    {"at": "2026-02-03T04:05:06.789Z", "level": "info", "log": "buckstop.serve", "said": "decided",
     "task": "7f3a", "hop": 2, "trace_id": "4bf9..."}

    04:05:06.789 info    buckstop.serve: decided  task=7f3a hop=2 trace_id=4bf9...

Whatever is passed in `extra` becomes a field of the line. A line break inside a field is escaped by
JSON, so one record is always one line, exceptions with their traces included. What is logged while
a subtask runs says which one, whoever says it (`about`).

BUCKSTOP_LOG   `json` or `text`; left out, text where the stream is a terminal, else JSON
"""

import json
import logging
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, TextIO

_COPIES: Final = {"data", "color_message"}
"""Celery's copy of a record, and uvicorn's of its message for a terminal."""
_PLAIN: Final = (
    frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"} | _COPIES
)
"""What every record has; all else came in `extra`."""
_FIRST: Final = ("at", "level", "log", "said")
_LAST: Final = ("error", "trace")
_VARIABLE: Final = "BUCKSTOP_LOG"

_about: ContextVar[Mapping[str, object] | None] = ContextVar("about", default=None)


@contextmanager
def about(fields: Mapping[str, object]) -> Iterator[None]:
    """Let every line that is said inside carry these fields; the event loop carries them on."""
    token = _about.set(fields)
    try:
        yield
    finally:
        _about.reset(token)


class JsonLines(logging.Formatter):
    """Write a log record as one line of JSON."""

    def __init__(self, **always: object) -> None:
        super().__init__()
        self._always = always

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return json.dumps(self.fields(record), ensure_ascii=False, default=str)

    def fields(self, record: logging.LogRecord) -> dict[str, Any]:
        """Return everything that a record says, by name."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {
            "at": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "log": record.name,
            "said": record.getMessage(),
            "pid": record.process,
            **self._always,
            **(_about.get() or {}),
            **{name: value for name, value in vars(record).items() if name not in _PLAIN},
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = repr(record.exc_info[1])
            line["trace"] = self.formatException(record.exc_info)
        return line


class TextLines(JsonLines):
    """Write a log record for a person at a terminal; only an exception takes more than a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and below it the trace of an exception."""
        line = self.fields(record)
        named = (name for name in line if name not in {*_FIRST, *_LAST, "pid", *self._always})
        more = " ".join(f"{name}={_short(line[name])}" for name in named)
        said = " ".join(str(line["said"]).split("\n"))
        text = f"{line['at'][11:23]} {line['level']:<7} {line['log']}: {said}  {more}".rstrip()
        return f"{text}\n{line['trace']}" if "trace" in line else text


def start(
    level: int,
    stream: TextIO,
    always: Mapping[str, object],
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Send all logging of this process to one stream; `always` stands in every line.

    Warnings go there too, and what kills the process: a bare trace is no line that can be read by
    whoever reads JSON.
    """
    lines = logging.StreamHandler(stream)
    lines.setFormatter(formatter(stream, always, environ))
    root = logging.getLogger()
    root.handlers[:] = [lines]
    root.setLevel(level)
    logging.captureWarnings(capture=True)
    sys.excepthook = _died
    threading.excepthook = _thread_died


def formatter(
    stream: TextIO, always: Mapping[str, object], environ: Mapping[str, str] = os.environ
) -> JsonLines:
    """Return what writes the lines of this stream."""
    asked = environ.get(_VARIABLE, "")
    text = asked == "text" or (asked != "json" and stream.isatty())
    return TextLines(**always) if text else JsonLines(**always)


def _died(kind: type[BaseException], error: BaseException, trace: TracebackType | None, /) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    logging.getLogger("buckstop").critical("the process dies", exc_info=(kind, error, trace))


def _thread_died(died: threading.ExceptHookArgs, /) -> None:
    if died.exc_value is None or isinstance(died.exc_value, SystemExit):
        return
    name = died.thread.name if died.thread else ""
    exc_info = (died.exc_type, died.exc_value, died.exc_traceback)
    log = logging.getLogger("buckstop")
    log.error("a thread has died", extra={"thread_name": name}, exc_info=exc_info)


def _short(value: object) -> str:
    """Write a field without line breaks; text without blanks needs no quotes."""
    if isinstance(value, str) and value and value.isprintable() and " " not in value:
        return value
    return json.dumps(value, ensure_ascii=False, default=str)
