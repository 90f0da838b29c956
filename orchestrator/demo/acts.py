"""Three acts: a crash, a ceiling, a pair that never ends."""

import os
import signal
import time
from collections.abc import Callable
from typing import Final

from orchestrator.client import TaskHandle
from orchestrator.demo.play import ACT_WITHIN_S, play, title
from orchestrator.demo.stage import Seen, Stage
from orchestrator.view import TaskView

DONE: Final = {"kind": "plan_done"}
_PLAN: Final = [
    *({"id": name, "agent": "research", "goal": name} for name in ("Otters", "Herons", "Eels")),
    {"id": "write", "agent": "write", "needs": ["Otters", "Herons", "Eels"]},
    {"id": "review", "agent": "review", "needs": ["write"]},
]


def crash(stage: Stage) -> Seen:
    """Run a plan with parallel steps, and kill a worker in the middle of one."""
    title(stage, 1, "a plan over three agents; one worker is SIGKILLed in the middle of a step")
    task = stage.buckstop.submit(
        goal="The river at night", plan=_PLAN, budget={"tokens": 20_000}, timeout=90, until=DONE
    )
    return play(stage, task, _killer(stage, task))


def overspend(stage: Stage) -> Seen:
    """Let an agent loose that never stops calling its model."""
    title(stage, 2, "an agent that never stops spending, under a ceiling of 5,000 tokens")
    task = stage.buckstop.submit(
        goal="Draft it again", agent="spender", budget={"tokens": 5_000}, timeout=60, until=DONE
    )
    return play(stage, task)


def ping_pong(stage: Stage) -> Seen:
    """Give a task to two agents that each think it is the other's."""
    title(stage, 3, "two agents that hand a task to each other, for ever")
    task = stage.buckstop.submit(
        goal="Whose is this?",
        agent="pinger",
        budget={"tokens": 50_000},
        timeout=60,
        until=DONE,
        holders_min=0,  # else it would end at the sixth hop, and the cap would not be seen
    )
    return play(stage, task)


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
