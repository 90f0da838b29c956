"""The asynchronous client of several cells, on real servers: what Cells promises."""

import asyncio
import os
import signal
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import pytest

from envelopes import limits
from envelopes.decision import Decision, Verb
from orchestrator.aio import AsyncBuckstop
from orchestrator.answers import NotFound, Result
from orchestrator.cells import ranking
from orchestrator.cells.cell import CellAway
from orchestrator.cells.where import noting
from orchestrator.running import DIRECTORY, Running
from orchestrator.view import State
from orchestrator.wanted import ALL
from tests.several import KEYS, TASK, TENANTS, Several, orchestrated, work
from tests.until import soon

T = TypeVar("T")
pytestmark = pytest.mark.timeout(300)
WITHIN_S = 200
"""What anything here may take at most; it takes a fraction of it."""
SOON = {**TASK, "timeout": 0.001, "at_cap": "abort"}
"""Over as soon as an orchestrator looks at it."""
MOVES = next(
    tenant
    for tenant in map(str, range(999))
    if ranking.highest(tenant, ["east", "west", "north"]) == "north"
)
"""A tenant whose tasks go to north, once that is there."""


@pytest.fixture
def several(several: Several, monkeypatch: pytest.MonkeyPatch) -> Several:
    """Let one that was away rest briefly."""
    monkeypatch.setattr(limits, "CELL_REST_S", 0.2)
    return several


def run(several: Several, story: Callable[[AsyncBuckstop], Awaitable[T]]) -> T:
    """Tell a story on one client of what is listed now, and leave nothing of it behind."""

    async def told() -> T:
        async with asyncio.timeout(WITHIN_S), AsyncBuckstop(cells=several.path) as buckstop:
            return await story(buckstop)

    return asyncio.run(told())


def followed(several: Several, cell: str) -> int:
    """Count the tasks of a cell that its server has listeners for."""
    stem = KEYS.events("")
    with several.client(cell) as client:
        return len({*client.pubsub_channels(f"{stem}*")} - {stem.encode()})


def subscribers(several: Several, cell: str) -> int:
    """Count the connections that listen."""
    with several.client(cell) as client:
        return sum(bool(int(each["sub"])) for each in client.client_list())


def test_a_task_goes_to_its_cell_is_followed_there_and_all_cells_are_listed(
    several: Several, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise: "The CLI, API and console read across cells", and so does this client."""
    monkeypatch.setenv("BUCKSTOP_CELLS", str(several.path))

    async def story() -> None:
        async with asyncio.timeout(WITHIN_S), AsyncBuckstop() as buckstop:
            tasks = {c: await buckstop.submit(TASK, tenant=t) for c, t in TENANTS.items()}
            for cell, task in tasks.items():
                watching = asyncio.create_task(last(task.watch()))
                await asyncio.to_thread(work, several, cell)
                assert (await task.result()).result == {"said": cell}
                assert await watching is State.COMPLETED
                assert (await task.status()).cell == cell
                assert [event.why async for event in task.events()][-1] == "conclude"
                assert (await task.show()).task.cell == cell
            listed = (await buckstop.tasks()).items
            assert {task.id: task.cell for task in listed} == {
                task.id: cell for cell, task in tasks.items()
            }
            assert (await buckstop.overview()).completed == 2
            found = await buckstop.task(tasks["west"].id[:12])
            assert not await found.cancel()
            with pytest.raises(NotFound, match="no task 'none'"):
                await buckstop.task("none")

    async def last(views: object) -> State:
        return [view.state async for view in views][-1]  # type: ignore[attr-defined]

    with orchestrated(several, "east", "west"):
        asyncio.run(story())


def test_a_key_is_one_task_though_a_cell_was_added_or_drains(several: Several) -> None:
    """Promise: "must not become two tasks when a cell was added"; a cell that drains is read."""

    async def first(buckstop: AsyncBuckstop) -> str:
        return (await buckstop.submit(TASK, tenant=MOVES, idempotency_key="once")).id

    async def again(buckstop: AsyncBuckstop) -> None:
        same = await asyncio.gather(*(first(buckstop) for _ in range(8)))
        assert {*same} == {before}
        new = [buckstop.submit(TASK, tenant=MOVES, idempotency_key="new") for _ in range(8)]
        made = await asyncio.gather(*new)
        assert len({task.id for task in made}) == 1
        assert (await made[0].status()).cell == "north"

    before = run(several, first)
    several.add("north", added=1)
    run(several, again)
    several.list("north", added=1, draining=True)

    async def drained(buckstop: AsyncBuckstop) -> None:
        known = await buckstop.submit(TASK, tenant=MOVES, idempotency_key="new")
        assert (known.created, (await known.status()).cell) == (False, "north")
        assert (await (await buckstop.submit(TASK, tenant=MOVES)).status()).cell != "north"

    run(several, drained)


def test_one_cell_killed_is_named_and_whoever_waits_for_it_goes_on_when_it_is_back(
    several: Several,
) -> None:
    """Promise: "one away named and the others answered"; an outage is waited out."""

    async def story(buckstop: AsyncBuckstop) -> None:
        lost = await buckstop.submit(TASK, tenant=TENANTS["west"])
        waiting = asyncio.create_task(lost.result())
        await soon("it is followed", lambda: followed(several, "west") == 1)
        several.servers["west"].kill()
        with pytest.raises(CellAway, match="cell 'west' is away"):
            await buckstop.submit(TASK, tenant=TENANTS["west"])
        task = await buckstop.submit(TASK, tenant=TENANTS["east"])
        await asyncio.to_thread(work, several, "east")
        assert (await task.result()).outcome is State.COMPLETED
        with noting() as missing:
            assert [one.id for one in (await buckstop.tasks()).items] == [task.id]
        assert missing == {"west"}
        with pytest.raises(CellAway, match="west"):
            await buckstop.task("unknown")
        with pytest.raises(CellAway, match="west"):
            await buckstop.letter("unknown")
        assert not waiting.done()
        several.servers["west"].restart()
        with orchestrated(several, "west"):
            await asyncio.to_thread(work, several, "west")
            assert (await waiting).result == {"said": "west"}

    with orchestrated(several, "east"):
        run(several, story)


def test_calls_to_a_cell_that_hangs_take_no_room_from_another(several: Several) -> None:
    """Promise: "others unaffected": each cell has threads of its own, however many wait for one."""

    async def story(buckstop: AsyncBuckstop) -> None:
        lost = await buckstop.submit(TASK, tenant=TENANTS["west"])
        task = await buckstop.submit(TASK, tenant=TENANTS["east"])
        hung = several.servers["west"].pid
        os.kill(hung, signal.SIGSTOP)
        try:
            many = range(2 * limits.ASYNC_CALLS_MAX)
            asked = [asyncio.create_task(lost.status()) for _ in many]
            asked += [
                asyncio.create_task(buckstop.submit(TASK, tenant=TENANTS["west"])) for _ in many
            ]
            await asyncio.sleep(0)
            assert (await task.status()).cell == "east"
            assert await buckstop.submit(TASK, tenant=TENANTS["east"])
            assert await task.cancel()
            assert not any(each.done() for each in asked), "they hang, and hold up nobody"
        finally:
            os.kill(hung, signal.SIGCONT)
        await asyncio.gather(*asked)

    run(several, story)


def test_a_thousand_waits_are_one_connection_to_each_cell(several: Several) -> None:
    """The brief of the client: "1,000 tasks waited for at the same time by one process"."""
    with several.cells() as plain:
        ids = [plain.submit(SOON, tenant=t).id for _ in range(500) for t in TENANTS.values()]

    async def story(buckstop: AsyncBuckstop) -> list[Result]:
        tasks = [await buckstop.task(each) for each in ids]
        waits = [asyncio.create_task(task.result()) for task in tasks]
        await soon(
            "all are followed",
            lambda: followed(several, "east") == followed(several, "west") == 500,
        )
        assert subscribers(several, "east") == subscribers(several, "west") == 1
        threads = [each for each in threading.enumerate() if "AnyIO" in each.name]
        assert len(threads) <= 3 * limits.ASYNC_CALLS_MAX
        with orchestrated(several, "east", "west"):
            return await asyncio.gather(*waits)

    ended = run(several, story)
    assert [each.task for each in ended] == ids
    assert {each.outcome for each in ended} == {State.ABORTED}


def test_news_of_all_cells_go_on_behind_a_place_and_wait_for_one_that_is_away(
    several: Several,
) -> None:
    """Promise: "news/live events merged"; what happened in a cell meanwhile is told when back."""

    async def story(buckstop: AsyncBuckstop) -> None:
        tasks = [
            (await buckstop.submit(TASK, tenant=TENANTS[cell])).id
            for cell in ("east", "west", "east")
        ]
        everything = aiter(buckstop.news("0-0"))
        told = [await anext(everything) for _ in tasks]
        assert {(n.fields["task"], n.fields["cell"]) for n in told} == {
            (task, cell) for task, cell in zip(tasks, ("east", "west", "east"), strict=True)
        }
        missed = (await buckstop.submit(TASK, tenant=TENANTS["west"])).id
        await everything.aclose()  # type: ignore[attr-defined]
        several.servers["west"].kill()
        going_on = aiter(buckstop.news(told[-1].id))
        here = (await buckstop.submit(TASK, tenant=TENANTS["east"])).id
        assert (await anext(going_on)).fields["task"] == here
        several.servers["west"].restart()
        assert (await anext(going_on)).fields["task"] == missed

    run(several, story)


def test_news_begin_though_a_cell_is_away_and_are_of_it_once_it_is_back(several: Several) -> None:
    """A cell whose place nobody knew is told from when it is back."""

    async def story(buckstop: AsyncBuckstop) -> None:
        await buckstop.submit(TASK, tenant=TENANTS["west"])
        several.servers["west"].kill()
        coming = aiter(buckstop.news())
        first = asyncio.create_task(anext(coming))  # type: ignore[arg-type,var-annotated]
        await soon("east is listened to", lambda: busy(several, "east"))
        here = (await buckstop.submit(TASK, tenant=TENANTS["east"])).id
        assert (await first).fields["task"] == here
        several.servers["west"].restart()
        next_ = asyncio.create_task(anext(coming))  # type: ignore[arg-type,var-annotated]
        made = set[str]()
        while not next_.done():
            with suppress(CellAway):
                made.add((await buckstop.submit(TASK, tenant=TENANTS["west"])).id)
            await asyncio.sleep(0.05)
        told = await next_
        assert told.fields["task"] in made, "and not what was before"
        assert told.fields["cell"] == "west"

    run(several, story)


def busy(several: Several, cell: str) -> bool:
    """Say whether somebody waits for the news of a cell."""
    with several.client(cell) as client:
        return any(each["cmd"] == "xread" for each in client.client_list())


def test_letters_are_decided_where_they_are_and_in_all_cells_at_once(several: Several) -> None:
    """Promise: "decisions routed to the cell of the letter, bulk decisions over cells"."""
    late = {**SOON, "at_cap": "escalate"}

    async def story(buckstop: AsyncBuckstop) -> None:
        for tenant in TENANTS.values():
            for _ in range(2):
                task = await buckstop.submit(late, tenant=tenant)
                async for view in task.watch():
                    if view.letter:
                        break
        letters = (await buckstop.letters()).items
        assert {letter["cell"] for letter in letters} == {"east", "west"}
        abort = Decision(letter=letters[0]["id"], verb=Verb.ABORT, by="ada")
        assert (await buckstop.decide(abort)).first
        assert (await buckstop.preview(ALL, Verb.ABORT)).letters == 3
        assert (await buckstop.decide_all(ALL, abort)).decided == 3
        assert (await buckstop.letters()).items == []
        with pytest.raises(NotFound, match="no letter"):
            await buckstop.decide(Decision(letter="none", verb=Verb.ABORT, by="ada"))

    with orchestrated(several, "east", "west"):
        run(several, story)


def test_who_waits_finds_a_cell_that_is_started_again_elsewhere(
    several: Several, tmp_path: Path
) -> None:
    """The page: `directory` is "where `buckstop up` runs", and that may be another port later."""
    place = tmp_path / "there" / DIRECTORY
    place.mkdir(parents=True)
    Running(several.servers["west"].url, "now").write(place)
    several.list("west", directory=str(tmp_path / "there"))

    async def story(buckstop: AsyncBuckstop) -> None:
        before = await buckstop.submit(TASK, tenant=TENANTS["west"])
        waiting = asyncio.create_task(before.result())
        await soon("it is followed", lambda: followed(several, "west") == 1)
        with several.client("west") as old, several.client("north") as new:
            for key in old.scan_iter():
                new.restore(key, 0, old.dump(key))
        Running(several.servers["north"].url, "later").write(place)
        several.servers["west"].kill()
        with orchestrated(several, "north"):
            await asyncio.to_thread(work, several, "north")
            assert (await waiting).outcome is State.COMPLETED

    run(several, story)
