"""The demo: three things that kill agent systems in production, done to this one, live.

Everything is real: an embedded server, two orchestrators, three Celery workers, all started by
`buckstop up`. Only the agents are scripted (workers/demo/agents.py). What is claimed at the end is
read from the ledgers and journals, not from what this script expects.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from redis import Redis
from rich.console import Console
from rich.table import Table

from envelopes.keys import Keys
from envelopes.scripts import connect
from orchestrator.client import Buckstop, TaskHandle
from orchestrator.running import Running
from orchestrator.settings import Settings
from orchestrator.view import TaskView

AGENTS: Final = "workers.demo.agents"
READY_WITHIN_S: Final = 30
ACT_WITHIN_S: Final = 60
_PLAN: Final = [
    *({"id": name, "agent": "research", "goal": name} for name in ("Otters", "Herons", "Eels")),
    {"id": "write", "agent": "write", "needs": ["Otters", "Herons", "Eels"]},
    {"id": "review", "agent": "review", "needs": ["write"]},
]
_DONE: Final = {"kind": "plan_done"}


@dataclass(frozen=True)
class Stage:
    """What the acts are played on."""

    console: Console
    buckstop: Buckstop
    client: Redis
    keys: Keys


@dataclass(frozen=True)
class Seen:
    """How one act ended."""

    task: TaskView
    journal: list[dict[str, Any]]


@dataclass(frozen=True)
class Promise:
    """A line of the closing table."""

    promised: str
    seen: str
    kept: bool


def main(*, as_json: bool = False) -> int:
    """Play the demo; return 0 if every promise was kept. As JSON, the story goes to stderr."""
    width = None if sys.stdout.isatty() else 120
    console = Console(highlight=False, width=width, stderr=as_json)
    with tempfile.TemporaryDirectory(prefix="buckstop-demo-") as folder:
        console.print("[bold]Buckstop[/]: starting a server, 2 orchestrators and 3 workers ...")
        with everything(Path(folder), console) as stage:
            seen = [act(stage) for act in (crash, overspend, ping_pong)]
    kept = promises(*seen)
    if as_json:
        print(json.dumps([asdict(promise) for promise in kept]))  # noqa: T201
    else:
        console.print(closing_table(kept))
    return 0 if all(promise.kept for promise in kept) else 1


@contextmanager
def everything(folder: Path, console: Console) -> Iterator[Stage]:
    """Run `buckstop up` for as long as the block lasts."""
    command = [sys.executable, "-m", "orchestrator.cli", "up", AGENTS, "--dir", str(folder)]
    command += ["--workers", "3", "-c", "1", "--orchestrators", "2", "--grace", "3"]
    environ = {name: value for name, value in os.environ.items() if name != "BUCKSTOP_URL"}
    with (folder / "up.log").open("w") as log:
        running = subprocess.Popen(command, env=environ, stdout=log, stderr=log)  # noqa: S603
    try:
        settings = Settings.read(environ, url=_url(folder, running))
        with Buckstop(settings=settings) as buckstop, connect(settings.url) as client:
            stage = Stage(console, buckstop, client, settings.keys)
            _wait_for_workers(stage)
            yield stage
    finally:
        running.terminate()
        running.wait()


# --- the acts ------------------------------------------------------------------------------------


def crash(stage: Stage) -> Seen:
    """Run a plan with parallel steps, and kill a worker in the middle of one."""
    _title(stage, 1, "a plan over three agents; one worker is SIGKILLed in the middle of a step")
    task = stage.buckstop.submit(
        goal="The river at night", plan=_PLAN, budget={"tokens": 20_000}, timeout=90, until=_DONE
    )
    return _play(stage, task, _killer(stage, task))


def overspend(stage: Stage) -> Seen:
    """Let an agent loose that never stops calling its model."""
    _title(stage, 2, "an agent that never stops spending, under a ceiling of 5,000 tokens")
    task = stage.buckstop.submit(
        goal="Draft it again", agent="spender", budget={"tokens": 5_000}, timeout=60, until=_DONE
    )
    return _play(stage, task)


def ping_pong(stage: Stage) -> Seen:
    """Give a task to two agents that each think it is the other's."""
    _title(stage, 3, "two agents that hand a task to each other, for ever")
    task = stage.buckstop.submit(
        goal="Whose is this?",
        agent="pinger",
        budget={"tokens": 50_000},
        timeout=60,
        until=_DONE,
        holders_min=0,  # else it would end at the sixth hop, and the cap would not be seen
    )
    return _play(stage, task)


def _play(
    stage: Stage,
    task: TaskHandle,
    meanwhile: Callable[[TaskView], None] = lambda _: None,
) -> Seen:
    """Show a task's journal as it grows, until the task has ended."""
    lines = 0
    with stage.console.status("") as status:
        for now in task.watch(ACT_WITHIN_S):
            status.update(_status(now))
            journal = stage.buckstop.store.journal(task.id)
            for raw in journal[lines:]:
                stage.console.print(_line(json.loads(raw), now), no_wrap=True, overflow="ellipsis")
            lines = len(journal)
            if lines:
                meanwhile(now)
    ended = task.status()
    if not ended.final:
        raise SystemExit(f"the demo's task {task.id} has not ended within {ACT_WITHIN_S} s")
    return Seen(ended, [json.loads(raw) for raw in stage.buckstop.store.journal(task.id)])


def _killer(stage: Stage, task: TaskHandle) -> Callable[[TaskView], None]:
    """Kill the worker of the second step, once it has charged something."""
    done = False

    def look(_: TaskView) -> None:
        nonlocal done
        if done:
            return
        done = True
        pid = _worker_in_the_middle(stage, f"{task.id}/2")
        os.kill(pid, signal.SIGKILL)
        stage.console.print(
            f"  [bold red]          SIGKILL[/] worker {pid}, while it runs subtask 2"
        )

    return look


def _worker_in_the_middle(stage: Stage, subtask: str) -> int:
    """Wait until the subtask's worker has paid for a call; return its process id."""
    key = stage.keys.claim(subtask)
    give_up = time.monotonic() + ACT_WITHIN_S
    while time.monotonic() < give_up:
        worker, calls = stage.client.hmget(key, "worker", "c")
        if isinstance(worker, bytes) and int(calls or 0):
            return int(worker.decode().split(".")[-2])
        time.sleep(0.05)
    raise SystemExit(f"no worker took subtask {subtask} within {ACT_WITHIN_S} s")


# --- what was promised, what was seen ------------------------------------------------------------


def promises(plan: Seen, spender: Seen, pair: Seen) -> list[Promise]:
    """Hold what happened against what is promised."""
    lost = [note for note in plan.journal if note["why"] == "lost"]
    again = [n for n in _published(plan) if lost and n["step"] == lost[0]["step"]]
    gap_s = (again[-1]["at_ms"] - again[0]["at_ms"]) / 1000 if len(again) > 1 else 0
    published = Counter(note["subtask"] for note in _published(plan))
    spent, ceiling = spender.task.ledger.spent.tokens, spender.task.ledger.ceiling.tokens
    drafts = spender.task.result["drafts"] if spender.task.result else 0
    return [
        Promise(
            "a killed worker's step runs again elsewhere",
            f"{len(lost)} lost, re-issued {gap_s:.1f} s after it began; {plan.task.state}",
            bool(lost) and plan.task.state == "completed",
        ),
        Promise(
            "a subtask id runs at most once",
            f"{len(published)} ids, each published once",
            max(published.values()) == 1,
        ),
        Promise(
            "paid work of the killed worker is booked",
            f"{lost[0]['charged']['tokens'] if lost else 0} tokens settled from its meter",
            bool(lost) and lost[0]["charged"]["tokens"] > 0,
        ),
        Promise(
            "no call that could overrun is made",
            f"{spent:,} of {ceiling:,} tokens spent, {drafts} drafts kept; {spender.task.state}",
            spent <= (ceiling or 0) and spender.task.state == "partial",
        ),
        Promise(
            "twelve hops, then the owner decides",
            f"{pair.task.hop} hops, stopped by {pair.task.stop_reason}; {pair.task.state}",
            pair.task.hop == pair.task.hops_max and pair.task.stop_reason == "hop_cap",
        ),
        Promise(
            "what was produced is delivered",
            json.dumps(pair.task.result),
            pair.task.state == "partial" and pair.task.result is not None,
        ),
        Promise(
            "every task ends in exactly one outcome, with nothing reserved",
            ", ".join(seen.task.state for seen in (plan, spender, pair)),
            all(
                seen.task.final and seen.task.ledger.reserved.tokens == 0
                for seen in (plan, spender, pair)
            ),
        ),
    ]


def _published(seen: Seen) -> list[dict[str, Any]]:
    return [note for note in seen.journal if note["why"] == "publish"]


def closing_table(kept: list[Promise]) -> Table:
    """Lay the promises out."""
    table = Table(title="\nWhat was promised, and what was seen", title_justify="left")
    table.add_column("promised")
    table.add_column("seen")
    table.add_column("")
    for promise in kept:
        table.add_row(
            promise.promised, promise.seen, "[green]kept[/]" if promise.kept else "[red]BROKEN[/]"
        )
    return table


# --- what is printed -----------------------------------------------------------------------------

_SHOWN: Final = {
    "publish": "cyan",
    "envelope": "green",
    "lost": "red",
    "handoff": "yellow",
    "hop_cap": "bold yellow",
    "no_plan_left": "bold yellow",
    "conclude": "bold",
}


def _title(stage: Stage, number: int, text: str) -> None:
    stage.console.print(f"\n[bold]Act {number}[/]: {text}")


def _status(now: TaskView) -> str:
    ledger = now.ledger
    return (
        f"hop {now.hop}/{now.hops_max} · {now.subtasks} subtasks · "
        f"{ledger.spent.tokens:,} of {ledger.ceiling.tokens or 0:,} tokens spent, "
        f"{ledger.reserved.tokens:,} reserved"
    )


def _line(note: dict[str, Any], now: TaskView) -> str:
    seconds = (note["at_ms"] - now.accepted_ms) / 1000
    style = _SHOWN.get(note["why"], "dim")
    where = f"{note['step']} at {note['agent']}, hop {note['hop']}" if note["step"] else ""
    subtask = f"#{note['subtask']} " if note["subtask"] else ""
    spent = f"{note['spent']['tokens']:,} tokens"
    what = " ".join(filter(None, [note["status"], note["text"]]))
    why = f"[{style}]{note['why']:<12}[/]"
    return f"  {seconds:5.1f} s {spent:>13}  {why} {subtask:<3}{where:<26} {what}"


# --- starting ------------------------------------------------------------------------------------


def _url(folder: Path, running: "subprocess.Popen[bytes]") -> str:
    """Wait until the server is there; return its URL."""
    give_up = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < give_up and running.poll() is None:
        if note := Running.read(folder):
            return note.url
        time.sleep(0.05)
    raise SystemExit(f"`buckstop up` did not start: {(folder / 'up.log').read_text()}")


def _wait_for_workers(stage: Stage) -> None:
    give_up = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < give_up:
        if stage.client.zcard(stage.keys.workers) >= 3:  # noqa: PLR2004
            return
        time.sleep(0.05)
    raise SystemExit(f"the workers did not start within {READY_WITHIN_S} s")


if __name__ == "__main__":
    sys.exit(main())
