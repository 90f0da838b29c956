"""Is this server fit to keep promises on? Asked before any work is taken.

    server          Redis 6.2 or newer, or Valkey; one server, not a cluster; not a replica
    appendonly      yes: without it a restart forgets accepted tasks
    appendfsync     always; `everysec` is allowed, and noted: a power cut may take the last second
    last write      the append-only file could be written: a full disk turns every write down
    eviction        noeviction: any other policy throws tasks away when memory is short
    memory          not nearly full: work under way must find room to end in
    desk            letters that wait for a person: noted at half of what the desk holds

`inspect` gathers and judges, `require_fit` refuses. What the server's user may not ask is reported
as not checked; almost all of it stands in INFO, which few forbid.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, repeat
from typing import Any

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from envelopes.counted import doing
from envelopes.limits import LETTERS_MAX, LETTERS_WARN, MEMORY_SHARE_MAX
from orchestrator.embedded import VERSION_MIN

log = logging.getLogger("buckstop.checks")

_MEMORY = "memory"
_PAUSES_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Between two looks at a server that is away or unfit: soon at first, then not a nuisance."""


class Verdict(StrEnum):
    """What a check came to."""

    GOOD = "good"
    NOTE = "note"
    """It works, but somebody should know."""
    UNKNOWN = "unknown"
    """The server would not say."""
    FAULT = "fault"
    """Work is taken, and something is not done: only the doctor finds such."""
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    check: str
    verdict: Verdict
    found: str
    fix: str = ""
    """What to do, as a command where there is one."""

    def __str__(self) -> str:
        return f"{self.check}: {self.found}" + (f". Fix: {self.fix}" if self.fix else "")


Check = Callable[[Mapping[str, Any]], Finding]
"""Judges one thing by what the server's INFO says."""


class Unfit(Exception):
    """The server cannot keep what Buckstop promises; new work is refused."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(one for one in findings if one.verdict is Verdict.REFUSED)
        super().__init__(
            "this server is not fit for work: " + "; ".join(str(one) for one in self.findings)
        )


def require_fit(client: Redis) -> tuple[Finding, ...]:
    """Return what is to be noted about a server, or raise Unfit."""
    findings = inspect(client)
    if any(one.verdict is Verdict.REFUSED for one in findings):
        raise Unfit(findings)
    return tuple(one for one in findings if one.verdict is not Verdict.GOOD)


def require_room(client: Redis) -> None:
    """Raise Unfit where memory is nearly full. Cheap: intake asks before every submit."""
    info, _ = _info(client, "memory")
    finding = _memory(info)
    if finding.verdict is Verdict.REFUSED:
        raise Unfit([finding])


def desk(letters: int) -> Finding:
    """Judge how many letters wait for a person."""
    waiting = f"{doing(letters, 'letter', 'waits', 'wait')} for a person"
    fix = "buckstop letters --group reason, then: buckstop decide --all --reason REASON VERB"
    if letters < LETTERS_WARN:
        return Finding("desk", Verdict.GOOD, waiting)
    verdict = Verdict.NOTE if letters < LETTERS_MAX else Verdict.REFUSED
    return Finding("desk", verdict, f"{waiting}, and the desk holds {LETTERS_MAX:,}", fix)


def require_desk(letters: int) -> None:
    """Raise Unfit where the desk is full: whatever else came to it would not be seen."""
    finding = desk(letters)
    if finding.verdict is Verdict.REFUSED:
        raise Unfit([finding])


def require_copies(there: int, asked: int) -> None:
    """Raise Unfit where fewer replicas have a task than its submitter asked for."""
    if there < asked:
        found = (
            f"the task is accepted, but {there} of {asked} replicas have it, so a fail-over now "
            "could lose it"
        )
        fix = "start a replica, then submit again with the same idempotency key"
        raise Unfit([Finding("replicas", Verdict.REFUSED, found, fix)])


def wait_until_fit(client: Redis) -> None:
    """Return once the server is there and fit to run on; say what is missing until then.

    An orchestrator that left instead would have to be started again by hand when somebody has
    followed the advice. Short memory does not keep it waiting: ending work is what makes room.
    """
    for pause_s in chain(_PAUSES_S, repeat(_PAUSES_S[-1])):
        try:
            unfit = Unfit([one for one in inspect(client) if one.check != _MEMORY])
        except (RedisConnectionError, RedisTimeoutError) as error:
            why = f"the server cannot be reached: {error}"
        else:
            if not unfit.findings:
                return
            why = str(unfit)
        log.warning("not serving yet", extra={"why": why, "again_in_s": pause_s})
        time.sleep(pause_s)


def inspect(client: Redis) -> tuple[Finding, ...]:
    """Look at everything."""
    info, forbidden = _info(client)
    if forbidden:
        return (
            Finding(
                "server",
                Verdict.UNKNOWN,
                f"the server does not let us see INFO ({forbidden}), so nothing could be checked",
                "ACL SETUSER <user> +info +config|get",
            ),
        )
    fsync, why_not = setting(client, "appendfsync")
    return (
        _version(info),
        _alone(info),
        _append_only(info),
        _fsync(fsync, why_not),
        _last_write(info),
        _eviction(info),
        _memory(info),
    )


def _version(info: Mapping[str, Any]) -> Finding:
    version = str(info.get("redis_version", "0.0"))
    major, minor, *_ = (int(part) for part in f"{version}.0".split(".")[:2])
    if (major, minor) < VERSION_MIN:
        return Finding(
            "server", Verdict.REFUSED, f"version {version} is too old", "run Redis 6.2 or newer"
        )
    return Finding("server", Verdict.GOOD, f"version {version}")


def _alone(info: Mapping[str, Any]) -> Finding:
    if info.get("cluster_enabled") == 1:
        return Finding(
            "server",
            Verdict.REFUSED,
            "it is a node of a cluster, where one script cannot touch a task and its queues",
            "use a server without cluster mode (its replicas and Sentinel are fine)",
        )
    if info.get("role") == "slave":
        return Finding(
            "server",
            Verdict.REFUSED,
            "it is a read-only replica",
            f"connect to its primary, {info.get('master_host')}:{info.get('master_port')}",
        )
    return Finding("server", Verdict.GOOD, "a primary, no cluster")


def _append_only(info: Mapping[str, Any]) -> Finding:
    if info.get("aof_enabled") != 1:
        return Finding(
            "appendonly",
            Verdict.REFUSED,
            "no append-only file is kept, so a restart of the server forgets accepted tasks",
            "CONFIG SET appendonly yes (and in redis.conf: appendonly yes)",
        )
    return Finding("appendonly", Verdict.GOOD, "yes")


def _fsync(value: str | None, why_not: str) -> Finding:
    match value:
        case "always":
            return Finding("appendfsync", Verdict.GOOD, value)
        case "everysec":
            return Finding(
                "appendfsync",
                Verdict.NOTE,
                "everysec: a power cut may take the last second of acknowledged work",
                "CONFIG SET appendfsync always",
            )
        case None:
            return Finding(
                "appendfsync",
                Verdict.UNKNOWN,
                f"the server does not let us see it ({why_not}); it should be always",
                "ACL SETUSER <user> +config|get",
            )
        case _:
            return Finding(
                "appendfsync",
                Verdict.REFUSED,
                f"{value}: what is acknowledged may never reach the disk",
                "CONFIG SET appendfsync always (everysec is allowed)",
            )


def _last_write(info: Mapping[str, Any]) -> Finding:
    if info.get("aof_last_write_status", "ok") != "ok":
        return Finding(
            "last write",
            Verdict.REFUSED,
            "the server could not write its append-only file and turns writes down",
            "free space on its disk; it recovers by itself (INFO persistence shows it)",
        )
    return Finding("last write", Verdict.GOOD, "ok")


def _eviction(info: Mapping[str, Any]) -> Finding:
    policy = str(info.get("maxmemory_policy", "noeviction"))
    if policy != "noeviction":
        return Finding(
            "maxmemory-policy",
            Verdict.REFUSED,
            f"{policy} throws tasks away when memory is short",
            "CONFIG SET maxmemory-policy noeviction",
        )
    return Finding("maxmemory-policy", Verdict.GOOD, policy)


def _memory(info: Mapping[str, Any]) -> Finding:
    used, most = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    if most and used > most * MEMORY_SHARE_MAX:
        return Finding(
            _MEMORY,
            Verdict.REFUSED,
            f"{used:,} of {most:,} bytes are used; the rest is for work under way to end in",
            "wait until tasks have ended, or: CONFIG SET maxmemory <more>",
        )
    bound = f"{most:,}" if most else "what the machine has"
    return Finding(_MEMORY, Verdict.GOOD, f"{used:,} bytes of {bound}")


def _info(client: Redis, *sections: str) -> tuple[Mapping[str, Any], str]:
    """Return INFO, or why the server would not give it."""
    try:
        info: Mapping[str, Any] = client.info(*sections)
    except ResponseError as error:
        return {}, str(error)
    return info, ""


def setting(client: Redis, name: str) -> tuple[str | None, str]:
    """Return one setting, or why the server would not give it."""
    try:
        found: Mapping[Any, Any] = client.config_get(name)
    except ResponseError as error:
        return None, str(error)
    texts = {_text(key): _text(value) for key, value in found.items()}
    return texts.get(name), "" if name in texts else "it is not among its settings"


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
