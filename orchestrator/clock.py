"""The one clock of a deployment: the server's. What machines believe of the time is not asked."""

from typing import Any


def server_ms(client: Any) -> int:
    """Return the server's time in milliseconds, as its scripts read it."""
    seconds, micros = client.time()
    return int(seconds) * 1000 + int(micros) // 1000
