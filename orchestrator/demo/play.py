"""Show a task's journal as it grows."""

import json
from collections.abc import Callable
from typing import Any, Final

from envelopes.counted import counted
from orchestrator.client import TaskHandle
from orchestrator.demo.stage import Seen, Stage
from orchestrator.view import State, TaskView

ACT_WITHIN_S: Final = 120
_SHOWN: Final = {
    "publish": "cyan",
    "envelope": "green",
    "lost": "red",
    "handoff": "yellow",
    "hop_cap": "bold yellow",
    "no_plan_left": "bold yellow",
    "conclude": "bold",
}


def play(
    stage: Stage, task: TaskHandle, meanwhile: Callable[[TaskView], None] = lambda _: None
) -> Seen:
    """Show a task's journal until the task has ended or waits for a person, and how it ended."""
    with stage.console.status("") as status:
        shown = 0
        for now in task.watch(ACT_WITHIN_S):
            status.update(_status(now))
            shown = show_journal(stage, now, shown)
            if shown:
                meanwhile(now)
            if now.state is State.ON_DESK:
                break
    ended = task.status()
    if not ended.final and ended.state is not State.ON_DESK:
        raise SystemExit(f"the demo's task {task.id} has not ended within {ACT_WITHIN_S} s")
    return seen(stage, task)


def seen(stage: Stage, task: TaskHandle) -> Seen:
    """Return a task and its journal as they are now."""
    return Seen(task.status(), [json.loads(raw) for raw in stage.buckstop.store.journal(task.id)])


def show_journal(stage: Stage, now: TaskView, shown: int) -> int:
    """Print a journal's lines but those that were shown; return how many there are."""
    journal = stage.buckstop.store.journal(now.id)
    for raw in journal[shown:]:
        stage.console.print(_line(json.loads(raw), now), no_wrap=True, overflow="ellipsis")
    return len(journal)


def title(stage: Stage, number: int, text: str) -> None:
    """Announce an act."""
    stage.console.print(f"\n[bold]Act {number}[/]: {text}")


def _status(now: TaskView) -> str:
    ledger = now.ledger
    return (
        f"hop {now.hop}/{now.hops_max} · {counted(now.subtasks, 'subtask')} · "
        f"{ledger.spent.tokens:,} of {ledger.ceiling.tokens or 0:,} tokens spent, "
        f"{ledger.reserved.tokens:,} reserved"
    )


def _line(note: dict[str, Any], now: TaskView) -> str:
    seconds = (note["at_ms"] - now.accepted_ms) / 1000
    style = _SHOWN.get(note["why"], "dim")
    where = f"{note['step']} at {note['agent']}, hop {note['hop']}" if note["step"] else ""
    subtask = f"#{note['subtask']} " if note["subtask"] else ""
    spent = counted(note["spent"]["tokens"], "token")
    what = " ".join(filter(None, [note["status"], note["text"]]))
    why = f"[{style}]{note['why']:<12}[/]"
    return f"  {seconds:5.1f} s {spent:>13}  {why} {subtask:<3}{where:<26} {what}"
