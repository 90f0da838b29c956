"""Time the desk while very many letters lie on it: list, filter, count, decide.

    python bench/letters.py --letters 100000 --json

Half of the letters are tasks that were escalated, half are messages that nobody could run; reasons,
agents and tenants are drawn with a long tail, as causes are. All are filed by the scripts that file
them in earnest. What is decided are real tasks on the same desk, and an orchestrator acts on each.
"""

import argparse
import json
import secrets
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, Final

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from envelopes.decision import Decision, Verb  # noqa: E402
from envelopes.letter import Facet, LetterKind  # noqa: E402
from envelopes.scripts import Scripts, connect  # noqa: E402
from envelopes.seal import Signer  # noqa: E402
from orchestrator.client import Buckstop  # noqa: E402
from orchestrator.embedded import EmbeddedServer  # noqa: E402
from orchestrator.serve import Orchestrator  # noqa: E402
from orchestrator.settings import Settings  # noqa: E402
from orchestrator.store import Commit, LetterFiled, Submission  # noqa: E402
from orchestrator.wanted import ALL, Stage, TasksWanted, Wanted  # noqa: E402
from orchestrator.wire import Wire  # noqa: E402
from workers.claims import LUA, Claims  # noqa: E402

BATCH: Final = 500
REASONS: Final = ("hop_cap", "budget", "no_plan_left", "deadline", "stalled", "gate", "replan_cap")
GATE: Final = ("undecodable", "unsigned", "wrong-queue", "edited-body", "unknown-task", "shape")
KINDS: Final = (LetterKind.UNDELIVERABLE, LetterKind.FORGED)
AGENTS: Final = tuple(f"agent{number}" for number in range(50))
TENANTS: Final = tuple(f"tenant{number}" for number in range(200))
STORY: Final = json.dumps({"text": "x" * 1_000}).encode()
IN_A_YEAR_MS: Final = 365 * 24 * 3600 * 1000
SOON: Final = {
    "goal": "be late",
    "agent": "nobody",
    "budget": {"calls": 10},
    "timeout": 0.001,
    "at_cap": "escalate",
    "until": {"kind": "plan_done"},
}


def main() -> None:
    """Fill a desk, measure, and print."""
    args = arguments()
    with tempfile.TemporaryDirectory() as folder, EmbeddedServer(Path(folder)) as server:
        settings = Settings.read({"BUCKSTOP_URL": server.url}, Path(folder))
        with Buckstop(settings=settings) as buckstop:
            fill(buckstop, args.letters - args.runs)
            with serving(settings):
                letters = [escalated(buckstop) for _ in range(args.runs)]
                on_desk = buckstop.store.count_letters()
                ms = measured(buckstop, letters)
    report = {"letters": on_desk, "runs": args.runs, "ms": ms}
    print(json.dumps(report) if args.json else table(report))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--letters", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


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


def escalated(buckstop: Buckstop) -> str:
    """Submit a task that is late at once, and return its letter."""
    for now in buckstop.submit(SOON).watch(timeout=30):
        if now.letter is not None:
            return now.letter
    raise RuntimeError("a task did not come to the desk within 30 s")


# --- the desk fills ------------------------------------------------------------------------------


def fill(buckstop: Buckstop, count: int) -> None:
    """File so many letters; only while they are measured must each write reach the disk at once."""
    random, client = Random(5), connect(buckstop.settings.url)
    client.config_set("appendfsync", "everysec")
    scripts = Scripts(client, LUA, buckstop.settings.keys)
    claims = Claims(scripts, buckstop.settings.keys, "bench")
    for first in range(0, count // 2, BATCH):
        size = min(BATCH, count // 2 - first)
        file_tasks(buckstop, [draw(random) for _ in range(size)])
    for number in range(count - count // 2):
        _, agent, tenant = draw(random)
        queue = buckstop.settings.keys.queue(agent, tenant)
        kind, reason = random.choice(KINDS), tail(random, GATE)
        claims.quarantine(reason, kind, queue, b"x" * 400, "cannot be run", None)
        if number % 10_000 == 0:
            print(f"{buckstop.store.count_letters():,} letters", file=sys.stderr)
    client.config_set("appendfsync", "always")


Drawn = tuple[str, str, str]


def draw(random: Random) -> Drawn:
    """Draw reason, agent and tenant of a letter."""
    return tail(random, REASONS), tail(random, AGENTS), tail(random, TENANTS)


def tail(random: Random, names: tuple[str, ...]) -> str:
    """Draw a name: the first are the most frequent, each is there."""
    return names[int(len(names) * random.random() ** 2)]


def file_tasks(buckstop: Buckstop, drawn: list[Drawn]) -> None:
    """Accept tasks and escalate each, as COMMIT does it."""
    due_ms = int(time.time() * 1000) + IN_A_YEAR_MS
    commits = []
    for reason, agent, tenant in drawn:
        task = secrets.token_hex(8)
        request = Submission(task, b"{}", {}, tenant, None, IN_A_YEAR_MS, IN_A_YEAR_MS)
        buckstop.store.submit(request)
        letter = LetterFiled(
            f"{task}.1", "escalation", f"{reason} reached", due_ms, STORY, reason, agent, "only", 3
        )
        commits.append(escalation(task, letter))
    if not all(buckstop.store.commit(commits)):
        raise RuntimeError("somebody else has decided a task of the bench")


def escalation(task: str, letter: LetterFiled) -> Commit:
    """Write the commit that files a letter and does nothing else."""
    return Commit(
        task_id=task,
        version=1,
        op=secrets.token_hex(8),
        fields={},
        dropped=(),
        mail_read=0,
        alarm_ms=letter.due_ms,
        journal=(),
        settled=(),
        publish=(),
        letter=letter,
        letter_closed=None,
        event=b"",
        outcome=None,
        retention_ms=IN_A_YEAR_MS,
    )


# --- what is measured ----------------------------------------------------------------------------


def measured(buckstop: Buckstop, letters: list[str]) -> dict[str, dict[str, float]]:
    """Time every question a person asks of the desk, and the answer."""
    one, three = Wanted(agent="agent7"), Wanted("escalation", "hop_cap", "agent0")
    rare = Wanted("forged", "shape", "agent49", "tenant199")
    cause = Wanted("escalation", "hop_cap")
    old = Wanted(kind="escalation", least_age_ms=1_000)
    store, runs = buckstop.store, len(letters)
    *_, far = store.find_letters(count=50_000)
    asked: dict[str, Callable[[], Any]] = {
        "list": lambda: buckstop.letters(20),
        "list, page 2,500": lambda: buckstop.letters(20, far),
        "filter by agent": lambda: buckstop.letters(20, wanted=one),
        "filter by kind, reason, agent": lambda: buckstop.letters(20, wanted=three),
        "the same, from page 2,500": lambda: buckstop.letters(20, far, three),
        "filter that hardly fits any": lambda: buckstop.letters(20, wanted=rare),
        "filter by kind and age": lambda: buckstop.letters(20, wanted=old),
        "count three facets": lambda: store.count_letters(three),
        "group all by reason": lambda: store.group_letters(Facet.REASON, ALL),
        "group one kind by reason": lambda: store.group_letters(Facet.REASON, old),
        "group one cause by agent": lambda: store.group_letters(Facet.AGENT, cause),
        "all in a few figures": buckstop.overview,
        "list tasks on the desk": lambda: store.find_tasks(TasksWanted(Stage.ON_DESK), 20, far),
    }
    times = {name: timed([ask] * runs) for name, ask in asked.items()}
    abort = [Decision(letter=each, verb=Verb.ABORT, by="bench") for each in letters]
    return times | {"decide": timed([lambda d=d: buckstop.decide(d) for d in abort])}


def timed(calls: list[Callable[[], Any]]) -> dict[str, float]:
    """Make each call; return the median and the 95th percentile in milliseconds."""
    spent = []
    for call in calls:
        began = time.perf_counter()
        call()
        spent.append((time.perf_counter() - began) * 1_000)
    spent.sort()
    return {"p50": round(spent[len(spent) // 2], 2), "p95": round(spent[int(len(spent) * 0.95)], 2)}


def table(report: dict[str, Any]) -> str:
    """Lay the figures out for a person."""
    lines = [f"{report['letters']:,} open letters, {report['runs']} calls each", ""]
    lines.append(f"{'':32}{'p50 ms':>10}{'p95 ms':>10}")
    for name, ms in report["ms"].items():
        lines.append(f"{name:32}{ms['p50']:>10.2f}{ms['p95']:>10.2f}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
