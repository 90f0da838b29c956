"""What Flower costs a worker: its CPU time per subtask with events asked for, and without.

    python bench/events.py --count 1500 --rounds 6

One worker runs no-op agents, whose messages a test's post office publishes. Rounds alternate
between nobody listening and somebody who has asked for events, as Flower does every five seconds.
What is compared is the worker's own CPU time, since whoever listens takes some of this machine too.
A no-op is the worst case: an agent that waits seconds for a model pays the same microseconds once.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from celery import Celery
from redis import Redis

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from envelopes.keys import Keys  # noqa: E402
from orchestrator.embedded import EmbeddedServer  # noqa: E402
from tests.shop import Office, Worker  # noqa: E402
from tests.until import until  # noqa: E402

KEYS = Keys()
WARM_UP = 300


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--pool", default="threads", choices=["threads", "prefork"])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        off, on = measured(Path(folder), args)
    for name, spent in (("nobody listens", off), ("events are sent", on)):
        print(f"{name:16} {median(spent):6.0f} us of CPU per subtask")
    ratio = median(b / a for a, b in zip(off, on, strict=True))
    print(f"{'ratio':16} {ratio:6.2f}")


def measured(folder: Path, args: argparse.Namespace) -> tuple[list[float], list[float]]:
    """Return what each round cost, without events and with them."""
    off: list[float] = []
    on: list[float] = []
    arguments = ("--pool", args.pool, "-c", "8")
    with (
        EmbeddedServer(folder / "server") as server,
        Redis.from_url(server.url) as client,
        Worker(server.url, KEYS, folder, "bench.agents", arguments) as worker,
    ):
        worker.wait_ready()
        assert worker.process is not None
        pid, control = worker.process.pid, Celery(broker=server.url).control
        cpu_us_per_subtask(client, pid, WARM_UP)
        for _ in range(args.rounds):
            control.broadcast("disable_events", reply=True)
            off.append(cpu_us_per_subtask(client, pid, args.count))
            control.broadcast("enable_events", reply=True)
            with listening(client):
                on.append(cpu_us_per_subtask(client, pid, args.count))
    return off, on


def cpu_us_per_subtask(client: Redis, pid: int, count: int) -> float:
    """Let the worker run so many no-ops; return its CPU time for each, in microseconds."""
    office = Office(client, KEYS)
    messages = [office.message("noop") for _ in range(count)]
    before = cpu_s(pid)
    office.publish(*messages)
    until("all reports", lambda: client.llen(KEYS.mail(office.task)) == count, 120)
    return (cpu_s(pid) - before) / count * 1e6


def cpu_s(pid: int) -> float:
    """Return a process's CPU time, with that of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def listening(client: Redis) -> Iterator[None]:
    """Take events and do nothing with them."""
    with client.pubsub() as ear:
        ear.psubscribe("/0.celeryev*")
        yield


if __name__ == "__main__":
    main()
