"""The server itself: fit at all, its file kept small, its replicas, its clock."""

import time
from collections.abc import Iterator
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from envelopes.connection import ask
from envelopes.limits import CLOCK_SKEW_MS
from orchestrator import checks
from orchestrator.checks import Finding, Verdict
from orchestrator.doctor.deployment import Deployment, some


def fitness(d: Deployment) -> Iterator[Finding]:
    """Look at what `buckstop check` looks at."""
    yield from checks.inspect(d.client)


def rewrite(d: Deployment) -> Iterator[Finding]:
    """See whether the append-only file could be made small again the last time."""
    info = d.client.info("persistence")
    if info.get("aof_last_bgrewrite_status", "ok") != "ok":
        yield Finding(
            "rewrite",
            Verdict.FAULT,
            "the append-only file could not be rewritten the last time, so it only grows",
            "free space on the server's disk and memory to fork, then: redis-cli BGREWRITEAOF",
        )
    else:
        yield Finding("rewrite", Verdict.GOOD, "the append-only file can be made small again")


def replicas(d: Deployment) -> Iterator[Finding]:
    """See whether a write is acknowledged that no replica has seen."""
    count = int(d.client.info("replication").get("connected_slaves", 0))
    asked = _replicas_asked_for(d)
    if count and not asked:
        yield Finding(
            "replicas",
            Verdict.NOTE,
            f"{some(count, 'replica')}, and writes go on where none follows: a primary that "
            "is cut off goes on acknowledging what a fail-over then loses",
            "CONFIG SET min-replicas-to-write 1, and CONFIG SET min-replicas-max-lag 10",
        )
    elif asked > count:
        yield Finding(
            "replicas",
            Verdict.REFUSED,
            f"{some(count, 'replica')} of {asked} that must follow; writes are turned down",
            "start a replica, or: CONFIG SET min-replicas-to-write 0",
        )
    else:
        yield Finding("replicas", Verdict.GOOD, some(count, "replica"))


def _replicas_asked_for(d: Deployment) -> int:
    found, _ = checks.setting(d.client, "min-replicas-to-write")
    return int(found or 0)


def sentinels(d: Deployment) -> Iterator[Finding]:
    """Ask each Sentinel whether they could put another server in the place of this one."""
    if d.kept is None:
        yield Finding("sentinels", Verdict.GOOD, "none are named, so nobody takes over")
        return
    asked: Any = ask(d.kept).sentinels
    said = [_quorum(each, d.kept.service) for each in asked]
    silent, against = said.count(None), [each for each in said if each]
    if against or silent == len(said):
        yield Finding(
            "sentinels",
            Verdict.FAULT,
            "nobody would take over if the primary were lost: "
            + (against[0] if against else "no Sentinel answers"),
            "start the Sentinels that are down; a majority of all must see one another",
        )
    elif silent:
        yield Finding(
            "sentinels",
            Verdict.NOTE,
            f"no answer from {silent} of {some(len(said), 'Sentinel')}; the others are enough",
            "start them again, before more are missing",
        )
    else:
        yield Finding("sentinels", Verdict.GOOD, f"ready to take over: {len(said)} of {len(said)}")


def _quorum(sentinel: Any, service: str) -> str | None:
    """Return what stands against a fail-over, which may be nothing; None where nobody answers."""
    try:
        sentinel.execute_command("SENTINEL", "CKQUORUM", service)
    except ResponseError as error:
        return str(error)
    except (RedisConnectionError, RedisTimeoutError):
        return None
    finally:
        sentinel.close()
    return ""


def clock(d: Deployment) -> Iterator[Finding]:
    """Compare this machine's clock, and each worker's, with the server's."""
    clocks = {"this machine": int(time.time() * 1000) - d.now_ms}
    beats = dict(d.client.zrange(d.keys.workers, 0, -1, withscores=True))
    for name, said in d.workers.items():
        if "at_ms" in said and name.encode() in beats:
            clocks[f"worker {name}"] = int(said["at_ms"]) - int(beats[name.encode()])
    wrong = {name: ms for name, ms in clocks.items() if abs(ms) > CLOCK_SKEW_MS}
    for name, ms in wrong.items():
        yield Finding(
            "clock",
            Verdict.NOTE,
            f"the clock of {name} is {abs(ms) / 1000:,.1f} s {'ahead of' if ms > 0 else 'behind'} "
            "the server's; times are the server's, so only logs look wrong",
            "let NTP set it there: timedatectl set-ntp true",
        )
    if not wrong:
        yield Finding(
            "clock",
            Verdict.GOOD,
            f"no clock here differs from the server's: {some(len(clocks), 'clock')}",
        )
