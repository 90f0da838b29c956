"""Submit eight tasks and wait for all of them: one connection, and no thread for a wait."""

import asyncio
from collections import Counter

from orchestrator.aio import AsyncBuckstop


async def ask(buckstop: AsyncBuckstop, number: int) -> str:
    """Submit one task, and return how it ended."""
    task = await buckstop.submit(
        goal=f"otter number {number}",
        agent="research",
        budget={"tokens": 5_000},
        timeout="5m",
        until={"kind": "plan_done"},
        idempotency_key=f"otter-{number}",  # run this twice, and they are submitted once
    )
    if number == 0:
        async for view in task.watch():  # the first one is watched,
            print(view.state)
    if number == 1:
        await task.cancel("one otter fewer")  # and the second is stopped
    return (await task.result(timeout=120)).outcome


async def main() -> None:
    """Ask for all of them side by side."""
    async with AsyncBuckstop() as buckstop:
        outcomes = await asyncio.gather(*(ask(buckstop, number) for number in range(8)))
    for outcome, count in Counter(outcomes).items():
        print(count, outcome)


asyncio.run(main())
