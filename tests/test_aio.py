"""The asynchronous client on a real server and a real loop: one connection, however many wait."""

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from envelopes import Amounts, Envelope, Refused, limits
from envelopes.decision import Decision, Verb
from orchestrator.aio import AsyncBuckstop, AsyncTaskHandle
from orchestrator.announcements import Announcements
from orchestrator.answers import NotFound, Result, TimedOut
from orchestrator.checks import Unfit
from orchestrator.client import Buckstop, TaskHandle
from orchestrator.embedded import EmbeddedServer
from orchestrator.settings import Settings
from orchestrator.view import State
from orchestrator.wanted import ALL
from tests.conftest import Fresh
from tests.hands import Hand
from tests.until import soon
from tests.web import TASK, orchestrating

T = TypeVar("T")
pytestmark = pytest.mark.timeout(300)
WITHIN_S = 200
"""What anything here may take at most; it takes a fraction of it."""
SOON = {**TASK, "timeout": 0.001, "at_cap": "abort"}
"""Over as soon as an orchestrator looks at it."""
OUR_OWN = {"accept", "read_events"}
"""What other parts of Buckstop call, and users need not."""


def run(fresh: Fresh, story: Callable[[AsyncBuckstop], Awaitable[T]]) -> T:
    """Tell a story on one client, and leave nothing of it behind."""

    async def told() -> T:
        settings = Settings(fresh.url, "the test", fresh.keys.prefix)
        async with asyncio.timeout(WITHIN_S), AsyncBuckstop(settings=settings) as buckstop:
            return await story(buckstop)

    return asyncio.run(told())


def followed(fresh: Fresh) -> list[bytes]:
    """Return the channels of tasks that the server has listeners for."""
    stem = fresh.keys.events("")
    return sorted({*fresh.client.pubsub_channels(f"{stem}*")} - {stem.encode()})


def answering(fresh: Fresh) -> threading.Thread:
    """Do one task's work, beside the story."""

    def work() -> None:
        hand = Hand(fresh.client, fresh.keys, "greet")
        while not (jobs := hand.take()):
            threading.Event().wait(0.01)
        hand.answer(jobs[0], Envelope.success({"said": "hello"}, 0.9), Amounts(7, 0, 1))

    thread = threading.Thread(target=work)
    thread.start()
    return thread


# --- the same client -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plain", "asynchronous"), [(Buckstop, AsyncBuckstop), (TaskHandle, AsyncTaskHandle)]
)
def test_whatever_the_plain_client_can_the_asynchronous_one_can(
    plain: type, asynchronous: type
) -> None:
    """The issue: "Python client, sync and async": the same names, taking the same."""
    public = [name for name, _ in inspect.getmembers(plain, callable) if name[0] != "_"]
    for name in {*public} - OUR_OWN:
        theirs, ours = (inspect.signature(getattr(each, name)) for each in (plain, asynchronous))
        assert list(theirs.parameters.values()) == list(ours.parameters.values()), name


def test_a_task_is_submitted_followed_and_awaited(fresh: Fresh) -> None:
    """The issue: "with `submit().result()`, events, cancel"."""

    async def story(buckstop: AsyncBuckstop) -> tuple[list[State], list[str], Result]:
        task = await buckstop.submit(TASK)
        worker = answering(fresh)
        states = [view.state async for view in task.watch(timeout=WITHIN_S)]
        whys = [event.why async for event in task.events()]
        worker.join()
        assert [each.name for each in await buckstop.agents()] == ["greet"]
        return states, whys, await task.result(timeout=WITHIN_S)

    with orchestrating(fresh):
        states, whys, result = run(fresh, story)
    assert states[-1] is State.COMPLETED
    assert (whys[0], whys[-1]) == ("publish", "conclude")
    assert (result.outcome, result.result) == (State.COMPLETED, {"said": "hello"})
    assert result.ledger.spent == Amounts(7, 0, 1)


def test_errors_are_of_the_same_classes(fresh: Fresh) -> None:
    """Whoever changes from one client to the other keeps their `except`."""

    async def story(buckstop: AsyncBuckstop) -> None:
        with pytest.raises(Refused, match="budget: "):
            await buckstop.submit(TASK, budget={})
        with pytest.raises(NotFound, match="buckstop tasks"):
            await buckstop.task("nothing")
        task = await buckstop.submit(TASK)
        with pytest.raises(TimedOut, match=r"still submitted after 0\.1 s; it goes on"):
            await task.result(timeout=0.1)
        assert [view.state async for view in task.watch(timeout=0)] == [State.SUBMITTED]
        fresh.client.config_set("maxmemory-policy", "allkeys-lru")

    run(fresh, story)

    async def unfit(buckstop: AsyncBuckstop) -> None:
        with pytest.raises(Unfit, match="CONFIG SET maxmemory-policy noeviction"):
            await buckstop.submit(TASK)

    run(fresh, unfit)


def test_a_task_is_cancelled_and_shown(fresh: Fresh) -> None:
    async def story(buckstop: AsyncBuckstop) -> None:
        first = await buckstop.submit(TASK, idempotency_key="once")
        again = await buckstop.submit(TASK, idempotency_key="once")
        assert (first.id, first.created, again.created) == (again.id, True, False)
        found = await buckstop.task(first.id[:12])
        assert await found.cancel("changed my mind", by="ada")
        assert (await found.wait(WITHIN_S)).stop_reason == "cancelled"
        assert not await found.cancel("again")
        assert (await found.show()).journal[-1]["why"] == "conclude"
        assert (await found.status()).final
        assert [each.id for each in (await buckstop.tasks()).items] == [first.id]
        assert (await buckstop.overview()).open == 0

    with orchestrating(fresh):
        run(fresh, story)


# --- waiting -------------------------------------------------------------------------------------


def test_a_thousand_waits_share_one_connection_and_hold_no_thread(fresh: Fresh) -> None:
    """The brief of the client: "1,000 tasks waited for at the same time by one process"."""
    with Buckstop(settings=Settings(fresh.url, "the test", fresh.keys.prefix)) as plain:
        ids = [plain.submit(SOON).id for _ in range(1_000)]

    async def story(buckstop: AsyncBuckstop) -> list[Result]:
        tasks = [await buckstop.task(each) for each in ids]
        waits = [asyncio.create_task(task.result()) for task in tasks]
        await soon("all are followed", lambda: len(followed(fresh)) == len(ids))
        subscribers = [each for each in fresh.client.client_list() if int(each["sub"])]
        assert len(subscribers) == 1
        threads = [each for each in threading.enumerate() if "AnyIO" in each.name]
        assert len(threads) <= limits.ASYNC_CALLS_MAX
        with orchestrating(fresh):
            return await asyncio.gather(*waits)

    ended = run(fresh, story)
    assert [each.task for each in ended] == ids
    assert {each.outcome for each in ended} == {State.ABORTED}


@pytest.mark.parametrize("stop", ["cancel", "break"])
def test_whoever_stops_waiting_leaves_nothing_behind(fresh: Fresh, stop: str) -> None:
    """A cancelled coroutine stops waiting at once, and its channel is given up."""

    async def story(buckstop: AsyncBuckstop) -> None:
        task, other = await buckstop.submit(TASK), await buckstop.submit(TASK)
        staying = asyncio.create_task(other.result())
        if stop == "cancel":
            waiting = asyncio.create_task(task.result())
            await soon("both are followed", lambda: len(followed(fresh)) == 2)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        else:
            async for _ in task.watch():
                await soon("both are followed", lambda: len(followed(fresh)) == 2)
                break
        await soon(
            "one is followed still",
            lambda: followed(fresh) == [fresh.keys.events(other.id).encode()],
        )
        staying.cancel()

    run(fresh, story)


def test_two_who_follow_one_task_share_its_channel(fresh: Fresh) -> None:
    """The second joins a channel that is there, and the first to leave does not close it."""

    async def story(buckstop: AsyncBuckstop) -> None:
        task = await buckstop.submit(TASK)
        first, second = (asyncio.create_task(task.result()) for _ in range(2))
        await soon("it is followed", lambda: bool(followed(fresh)))
        third = asyncio.create_task(task.result())
        first.cancel()
        with orchestrating(fresh):
            await task.cancel()
            ended = await asyncio.gather(second, third)
        assert ended[0] == ended[1]
        await soon("nothing is followed", lambda: followed(fresh) == [])

    run(fresh, story)


def test_whoever_joins_a_channel_that_is_there_looks_at_once(fresh: Fresh) -> None:
    """The server confirms a subscription once; nobody may wait for that a second time."""

    async def story(buckstop: AsyncBuckstop) -> None:
        never = asyncio.get_running_loop().time() + WITHIN_S
        announcements = await buckstop.announcements_of("a")
        with announcements.of("a", only_the_end=True) as first:
            assert await first.rings(never)
            with announcements.of("a", only_the_end=True) as second:
                assert await second.rings(never)

    run(fresh, story)


def test_a_restart_of_the_server_is_waited_out(fresh: Fresh, server: EmbeddedServer) -> None:
    """Server restarts heal: whoever waits, watches or reads events goes on, and sees the end."""

    async def story(buckstop: AsyncBuckstop) -> None:
        task = await buckstop.submit(TASK)
        views = aiter(task.watch())
        assert (await anext(views)).state is State.SUBMITTED
        waiting = asyncio.create_task(task.result())
        telling = asyncio.create_task(told(task))
        await soon("it is followed", lambda: bool(followed(fresh)))
        server.kill()
        server.restart()
        with orchestrating(fresh):
            assert await task.cancel("enough")
            assert (await waiting).stop_reason == "cancelled"
            assert [view.state async for view in views][-1] is State.ABORTED
            assert (await telling)[-1] == "conclude"

    async def told(task: AsyncTaskHandle) -> list[str]:
        return [event.why async for event in task.events()]

    run(fresh, story)


def test_the_end_is_seen_though_every_announcement_was_lost(
    fresh: Fresh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Announcements wake it; the task itself is what is read."""
    monkeypatch.setattr(Announcements, "_ring", lambda *_, **__: None)
    monkeypatch.setattr(limits, "LIVE_REREAD_S", 0.05)
    monkeypatch.setattr(limits, "SOCKET_TIMEOUT_S", 0.5)

    async def story(buckstop: AsyncBuckstop) -> Result:
        task = await buckstop.submit(SOON)
        return await task.result()

    with orchestrating(fresh):
        assert run(fresh, story).outcome is State.ABORTED


def test_a_server_that_stays_away_is_said_to_be(
    fresh: Fresh, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An outage has an end, for those who wait too."""
    monkeypatch.setattr(limits, "WATCH_AWAY_S", 0.1)

    async def story(buckstop: AsyncBuckstop) -> None:
        task = await buckstop.submit(TASK)
        waiting = asyncio.create_task(task.result(timeout=0.1))
        server.kill()
        with pytest.raises(RedisConnectionError):
            await waiting

    try:
        run(fresh, story)
    finally:
        server.restart()


# --- events and news -----------------------------------------------------------------------------


def test_events_go_on_behind_a_place(fresh: Fresh) -> None:
    """Events of one task, "live, resuming": nobody is told twice, and nothing is left out."""

    async def story(buckstop: AsyncBuckstop) -> None:
        task = await buckstop.submit(TASK)
        before = []
        async for event in task.events():
            before.append(event)
            break
        worker = answering(fresh)
        rest = [event async for event in task.events(after=before[-1].place)]
        whole = [event async for event in task.events()]
        worker.join()
        assert before + rest == whole
        assert [event.place for event in whole] == list(range(len(whole)))
        assert whole[0].about["agent"] == "greet"

    with orchestrating(fresh):
        run(fresh, story)


def test_news_are_followed_and_gone_on_with(fresh: Fresh) -> None:
    """News have an id each; whoever keeps the last one misses nothing, or is told of a gap."""

    async def story(buckstop: AsyncBuckstop) -> None:
        coming = aiter(buckstop.news())
        next_ = asyncio.create_task(anext(coming))
        await soon(
            "it reads the news",
            lambda: any(each["cmd"] == "xread" for each in fresh.client.client_list()),
        )
        first, second = await buckstop.submit(TASK), await buckstop.submit(TASK)
        told = [await next_, await anext(coming)]
        assert [(each.event, each.fields["task"]) for each in told] == [
            ("task.accepted", first.id),
            ("task.accepted", second.id),
        ]
        assert await anext(aiter(buckstop.news(told[0].id))) == told[1]
        fresh.client.xtrim(fresh.keys.news, 0, approximate=False)
        await buckstop.submit(TASK)
        again = aiter(buckstop.news(told[0].id))
        assert [(await anext(again)).event for _ in range(2)] == ["gap", "task.accepted"]

    run(fresh, story)


# --- the desk ------------------------------------------------------------------------------------


def test_letters_are_found_checked_and_decided(fresh: Fresh) -> None:
    """A person has the last word, in an asynchronous program too."""

    async def story(buckstop: AsyncBuckstop) -> None:
        task = await buckstop.submit(SOON, at_cap="escalate")
        letters = []
        async for view in task.watch(timeout=WITHIN_S):
            if letters := [view.letter] if view.letter else []:
                break
        [letter] = (await buckstop.letters()).items
        assert [letter["id"]] == letters
        assert await buckstop.letter_counts("kind") == {"escalation": 1}  # type: ignore[arg-type]
        assert await buckstop.check_amendment(letter["id"], {"said": "hi"}) == []
        assert (await buckstop.preview(ALL, Verb.ABORT)).letters == 1
        assert (await buckstop.letter(letter["id"]))["state"] == "open"
        amend = Decision(letter=letter["id"], verb=Verb.AMEND, by="ada", result={"said": "hi"})
        assert (await buckstop.decide(amend)).first
        assert (await task.result(WITHIN_S)).result == {"said": "hi"}

    with orchestrating(fresh):
        run(fresh, story)


def test_decisions_that_wait_for_an_orchestrator_hold_up_nobody_else(fresh: Fresh) -> None:
    """Each decision waits in a thread until somebody has acted; other calls have their own."""

    async def story(buckstop: AsyncBuckstop) -> None:
        task = await buckstop.submit(SOON, at_cap="escalate")
        with orchestrating(fresh):
            await soon("it is on the desk", lambda: fresh.client.exists(fresh.keys.letters) == 1)
        [letter] = (await buckstop.letters()).items
        abort = Decision(letter=letter["id"], verb=Verb.ABORT, by="ada")
        decide = partial(buckstop.decide, abort, timeout=WITHIN_S)
        waiting = [asyncio.create_task(decide()) for _ in range(limits.ASYNC_CALLS_MAX)]
        await soon(
            "all are decided", lambda: fresh.client.llen(fresh.keys.mail(task.id)) == len(waiting)
        )
        await asyncio.wait_for(buckstop.overview(), WITHIN_S / 2)
        assert not any(each.done() for each in waiting)
        with orchestrating(fresh):
            assert all(each.first for each in await asyncio.gather(*waiting))

    run(fresh, story)
