"""Say what happens, one JSON object per line, on stderr; on a terminal, one line to read.

    log = logging.getLogger("buckstop.serve")
    log.info("decided", extra={"task": "7f3a", "why": "plan_done"})

    {"at": "2026-02-03T04:05:06.789Z", "level": "info", "log": "buckstop.serve", "said": "decided",
     "task": "7f3a", "why": "plan_done"}

How a line is made is the same for workers: envelopes/lines.py.
"""

import logging
import re
import sys
from typing import TextIO
from urllib.parse import urlsplit

from envelopes import lines


def start(level: int = logging.INFO, stream: TextIO | None = None, **always: object) -> None:
    """Send all logging of this process to one stream; `always` stands in every line."""
    lines.start(level, stream or sys.stderr, always)


def without_password(url: str) -> str:
    """Return a server's URL as it may stand in a log or on a screen."""
    url = re.sub(r"(?<=[?&]password=)[^&]*", "***", url)
    parts = urlsplit(url)
    if parts.password is None:
        return url
    at = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{parts.username or ''}:***@{at}").geturl()
