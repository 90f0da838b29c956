"""The one clock of a deployment, the server's, and how a person reads it.

What machines believe of the time is not asked.
"""

from datetime import UTC, datetime
from typing import Any


def server_ms(client: Any) -> int:
    """Return the server's time in milliseconds, as its scripts read it."""
    seconds, micros = client.time()
    return int(seconds) * 1000 + int(micros) // 1000


def moment(at_ms: int) -> str:
    """Write a moment in the reader's own time."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
