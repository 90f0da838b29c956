"""The server itself: fit at all, its file kept small, its replicas, its clock."""

import time
from collections.abc import Iterator

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
