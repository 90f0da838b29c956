"""Time live events with very many clients: from the commit to each of them.

    python bench/live.py --clients 1000 --json

One http process; the clients are bare sockets in another one (bench/live_clients.py). Tasks are
submitted and end at once, which an orchestrator sees to; each is two news and a few hints to every
client. It is done in turns: with clients that all read, and with two more, of whom one never reads
and one reads 10 KB/s, both with thousands of old news before them. What counts is the ratio: what
the slow ones cost all others. A delay is from the server's clock in the news to the client's
socket, in whole milliseconds.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, Self

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from envelopes.limits import LIVE_STREAMS_TOKEN_MAX  # noqa: E402
from envelopes.scripts import connect  # noqa: E402
from envelopes.seal import Signer  # noqa: E402
from orchestrator import intake  # noqa: E402
from orchestrator.client import Buckstop  # noqa: E402
from orchestrator.embedded import EmbeddedServer  # noqa: E402
from orchestrator.serve import Orchestrator  # noqa: E402
from orchestrator.settings import Settings  # noqa: E402
from orchestrator.tokens import Scope, Tokens  # noqa: E402
from orchestrator.wire import Wire  # noqa: E402
from tests.front import Front  # noqa: E402

TURNS: Final = ("reading", "slow") * 3
NEWS_EACH: Final = 2
OLD_NEWS: Final = 5_000
"""What the slow ones are behind from the start: far more than all buffers on the way hold."""
SOON: Final = {
    "goal": "be late",
    "agent": "nobody",
    "budget": {"calls": 10},
    "timeout": 0.001,
    "at_cap": "abort",
    "until": {"kind": "plan_done"},
}


def main() -> None:
    """Open the streams, let things happen, and print."""
    args = arguments()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
        server = running.enter_context(EmbeddedServer(folder / "server"))
        settings = Settings.read({"BUCKSTOP_URL": server.url}, folder)
        buckstop = running.enter_context(Buckstop(settings=settings))
        client = connect(server.url)
        grow_old(buckstop)
        running.enter_context(serving(settings))
        front = running.enter_context(Front(server.url, client, settings.keys, folder / "http.log"))
        tokens = make_tokens(Tokens(client, settings.keys), args.clients)
        report = measured(buckstop, front, running.enter_context(Clients(front.port, tokens)), args)
    print(json.dumps(report) if args.json else table(report))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=1_000)
    parser.add_argument("--tasks", type=int, default=60, help="in each turn")
    parser.add_argument("--rate", type=float, default=4.0, help="tasks in a second")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def grow_old(buckstop: Buckstop) -> None:
    """Let there be news that nobody has read."""
    with connect(buckstop.settings.url).pipeline(transaction=False) as pipe:
        for _ in range(OLD_NEWS):
            about: dict[Any, Any] = {"event": "task.accepted", "at_ms": 1, "task": "x" * 32}
            pipe.xadd(buckstop.settings.keys.news, {**about, "tenant": "default"})
        pipe.execute()


def make_tokens(tokens: Tokens, clients: int) -> list[str]:
    """Make as many as there must be for so many streams, and one for the slow ones."""
    count = -(-clients // LIVE_STREAMS_TOKEN_MAX) + 1
    return [tokens.new("bench", [Scope.READ], per_minute=600_000) for _ in range(count)]


@contextmanager
def serving(settings: Settings) -> Iterator[None]:
    """Run one orchestrator in a thread."""
    wire = Wire(Signer(bytes(range(32))), settings.keys)
    loop = Orchestrator(Buckstop(settings=settings).store, wire)
    thread = threading.Thread(target=loop.run, daemon=True)
    thread.start()
    yield
    loop.stop()
    thread.join(30)


class Clients:
    """The process with the clients; it does one thing after the other, as it is told."""

    def __init__(self, port: int, tokens: list[str]) -> None:
        command = [sys.executable, str(ROOT / "bench" / "live_clients.py")]
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(  # noqa: S603 -- our own file
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ, text=True
        )
        self._where = {"port": port, "tokens": tokens}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def do(self, what: str, **more: Any) -> Any:
        """Have something done, and return what came of it."""
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps({"do": what, **self._where, **more}), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())


def measured(
    buckstop: Buckstop, front: Front, clients: Clients, args: argparse.Namespace
) -> dict[str, Any]:
    """Let the same happen in turns, without and with the slow ones."""
    began = time.perf_counter()
    clients.do("open", count=args.clients)
    opened_s, memory = time.perf_counter() - began, {"open": front.memory_kb()}
    for number, turn in enumerate(TURNS, start=1):
        clients.do("turn", turn=turn)
        for _ in range(args.tasks):
            buckstop.store.submit(intake.submission(SOON))
            time.sleep(1 / args.rate)
        clients.do("await", news=number * args.tasks * NEWS_EACH)
        memory[turn] = front.memory_kb()
    report: dict[str, Any] = clients.do("report")
    quiet, slow = report["ms"]["reading"], report["ms"]["slow"]
    ratios = {name: round(slow[name] / max(1, quiet[name]), 2) for name in quiet}
    peak_mb = {when: round(kb / 1024) for when, kb in memory.items()}
    return {
        "clients": args.clients,
        "opened_s": round(opened_s, 1),
        "peak_mb": peak_mb,
        "ratios": ratios,
        **report,
    }


def table(report: dict[str, Any]) -> str:
    """Lay the figures out for a person."""
    lines = [
        f"{report['clients']:,} clients, open after {report['opened_s']} s",
        f"{report['told']:,} news told, all to all in order; {report['resets']} cut off",
        f"memory of the process at its peak, MB: {report['peak_mb']}",
        "",
    ]
    names = list(report["ratios"])
    lines.append(f"{'commit to receipt':24}" + "".join(f"{name:>10}" for name in names))
    for turn, ms in report["ms"].items():
        lines.append(f"{turn + ', ms':24}" + "".join(f"{ms[name]:>10}" for name in names))
    ratios = report["ratios"]
    lines.append(f"{'ratio':24}" + "".join(f"{ratios[name]:>10}" for name in names))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
