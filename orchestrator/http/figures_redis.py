"""The figures of the Redis server, as its own INFO tells them; see figures.py for the others.

Not an exporter's worth of them: what says whether the promises hold, and how much room is left.
"""

from collections.abc import Callable
from typing import Any, Final

from orchestrator.http.figure import Figure, Row, Seen


def _info(name: str, look: Callable[[Any], float]) -> Callable[[Seen], list[Row]]:
    """Show a field of INFO, where this server has it."""
    return lambda seen: [((), look(seen.info[name]))] if name in seen.info else []


def _says_ok(word: Any) -> float:
    return float(word == "ok")


REDIS: Final = (
    Figure("redis_memory_bytes", "Memory that is used.", _info("used_memory", float)),
    Figure("redis_memory_max_bytes", "Its bound; 0 for none.", _info("maxmemory", float)),
    Figure("redis_clients", "Connections.", _info("connected_clients", float)),
    Figure("redis_uptime_seconds", "Since it was started.", _info("uptime_in_seconds", float)),
    Figure(
        "redis_commands",
        "Commands it has done.",
        _info("total_commands_processed", float),
        kind="counter",
    ),
    Figure(
        "redis_rejected_connections",
        "Connections it had no room for.",
        _info("rejected_connections", float),
        kind="counter",
    ),
    Figure(
        "redis_aof_enabled", "Whether it keeps an append-only file.", _info("aof_enabled", float)
    ),
    Figure(
        "redis_aof_write_ok",
        "Whether that file could be written the last time.",
        _info("aof_last_write_status", _says_ok),
    ),
    Figure(
        "redis_aof_rewrite_ok",
        "Whether that file could be written anew, short, the last time.",
        _info("aof_last_bgrewrite_status", _says_ok),
    ),
    Figure("redis_aof_bytes", "How long that file is.", _info("aof_current_size", float)),
    Figure(
        "redis_aof_delayed_fsync",
        "Times that the disk was slower than a second.",
        _info("aof_delayed_fsync", float),
        kind="counter",
    ),
    Figure("redis_replicas", "Replicas that are connected.", _info("connected_slaves", float)),
    Figure(
        "check_passed",
        "Whether the server can keep what Buckstop promises, by check; see: buckstop check",
        lambda seen: [((check,), int(passed)) for check, passed in seen.checks.items()],
        ("check",),
    ),
)
