"""The way to the server: every client of ours is made here, whatever its URL looks like.

    redis://host:6379/0                          a server
    unix:///run/redis.sock                       the same, on this machine
    redis+sentinel://host:26379,host/service/0   whichever server the Sentinels call the primary
    rediss://..., rediss+sentinel://...          by TLS

Behind Sentinels a client asks them whenever it has to connect, so after a fail-over it finds the
new primary by the same reconnecting that brings it through a restart. A primary that was demoted
refuses the first write, and then the connection counts as lost.

Here and in scripts.py is all that envelopes knows of Redis.
"""

from pathlib import Path
from typing import Any

from redis import Redis, asyncio, exceptions, sentinel
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.retry import Retry

from envelopes import limits
from envelopes.address import Sentinels

_NO_WRITES = ("OOM", "MISCONF", "NOREPLICAS", "READONLY")
"""How a server begins to say that it is there and takes no writes now; it may recover."""


def takes_no_writes(error: object) -> bool:
    """Say whether a server has refused a write for its own reasons: full, alone, or a replica."""
    full = exceptions.OutOfMemoryError, exceptions.ReadOnlyError
    return isinstance(error, full) or (
        isinstance(error, exceptions.ResponseError) and str(error).startswith(_NO_WRITES)
    )


def trouble_with(error: object) -> str:
    """Say what is wrong with a server that has failed us, for a line in a log."""
    if isinstance(error, exceptions.OutOfMemoryError):
        return "the server is out of memory"
    return "the server takes no writes" if takes_no_writes(error) else "the server is away"


def connect(url: str, **more: Any) -> Redis:
    """Make a client that notices a dead connection and tries again a few times."""
    patient = Retry(
        ExponentialWithJitterBackoff(cap=0.5, base=0.01),
        limits.RETRIES_MAX,
        (exceptions.ConnectionError, exceptions.TimeoutError),
    )
    settings = _noticing(url) | {"retry": patient, "decode_responses": False} | more
    kept = Sentinels.of(url)
    if kept is None:
        return Redis.from_url(url, **settings)
    asked: Any = ask(kept)
    found: Redis = asked.master_for(kept.service, **_entrance(kept), **settings)
    return found


def connect_async(url: str, **more: Any) -> asyncio.Redis:
    """Make a client for an event loop; it does not try again unless it is told how."""
    settings = _noticing(url) | more
    kept = Sentinels.of(url)
    if kept is None:
        return asyncio.Redis.from_url(url, **settings)
    once = asking(kept) | {"retry": AsyncRetry(NoBackoff(), 0)}
    asked: Any = AsyncSentinel(kept.hosts, sentinel_kwargs=once)  # type: ignore[no-untyped-call]
    found: asyncio.Redis = asked.master_for(kept.service, **_entrance(kept), **settings)
    return found


def ask(kept: Sentinels) -> sentinel.Sentinel:
    """Make what asks the Sentinels where their server is: each once, one after the other.

    By itself redis-py would ask a dead one four times, for seconds, before it asks the next.
    """
    once = asking(kept) | {"retry": Retry(NoBackoff(), 0)}
    return sentinel.Sentinel(kept.hosts, sentinel_kwargs=once)  # type: ignore[no-untyped-call]


def _noticing(url: str) -> dict[str, Any]:
    """Let silence count as death."""
    settings: dict[str, Any] = {
        "socket_timeout": limits.SOCKET_TIMEOUT_S,
        "socket_connect_timeout": limits.SOCKET_TIMEOUT_S,
        "socket_keepalive": True,
        "health_check_interval": limits.SOCKET_TIMEOUT_S,
    }
    if url.startswith("unix:"):
        del settings["socket_keepalive"]  # there is no TCP to keep alive
    return settings


def _entrance(kept: Sentinels) -> dict[str, Any]:
    return {"db": kept.db, "username": kept.username, "password": kept.password, **_tls(kept)}


def asking(kept: Sentinels) -> dict[str, Any]:
    """Say how the Sentinels themselves are connected to, in redis-py's words."""
    file = kept.password_file
    return {
        "socket_timeout": limits.SENTINEL_TIMEOUT_S,
        "socket_connect_timeout": limits.SENTINEL_TIMEOUT_S,
        "password": Path(file).read_text(encoding="utf-8").strip() if file else None,
        **_tls(kept),
    }


def _tls(kept: Sentinels) -> dict[str, Any]:
    return {"ssl": True, **kept.tls_settings} if kept.tls else {}
