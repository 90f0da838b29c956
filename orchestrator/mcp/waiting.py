"""Wait for a task, and tell how it goes meanwhile.

It listens to the task's events (http/live.py) instead of asking again and again: what happens is
heard at once, and one call counts against the caller's rate, however long it takes.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import anyio

from envelopes.counted import counted
from orchestrator.mcp.asking import Api, NotDone

Report = Callable[[float, str], Awaitable[None]]
"""Tells the client: a number that grows, and a line."""
_MATTERS: Final = frozenset({"on_desk", "completed", "partial", "aborted"})
"""States in which nothing happens unless somebody does something, or nothing at all."""
_AGAIN_S: Final = 1.0
"""Before a server that went away is asked again."""


async def until_it_matters(api: Api, task: str, seconds: float, report: Report) -> None:
    """Return once a task has ended, waits for a person, or the time is over; or raise NotDone.

    A server that is away meanwhile is waited for; one that leaves ends the waiting.
    """
    await api.get(f"/v1/tasks/{task}")  # there is one, and the caller may see it
    with anyio.move_on_after(seconds):
        while True:
            try:
                return await _heard(api, task, seconds, report)
            except NotDone as away:
                if away.problem:
                    raise
            await anyio.sleep(_AGAIN_S)


async def _heard(api: Api, task: str, seconds: float, report: Report) -> None:
    async with api.events(f"/v1/tasks/{task}/events", for_s=seconds) as events:
        told = 0
        async for event, about in events:
            if event == "task":
                told += 1
                await report(told, _line(about))
                if about["state"] in _MATTERS:
                    return


def _line(task: dict[str, Any]) -> str:
    done = sum(step["phase"] == "done" for step in task["steps"])
    steps = counted(len(task["steps"]), "step")
    return f"{task['state']}: hop {task['hop']}, {done} of {steps} done"
