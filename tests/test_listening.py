"""Whoever listens in an event loop: what a lost cancellation does to it, which is nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis import Redis
from redis.asyncio import Redis as Asynchronous
from redis.asyncio.client import PubSub

from orchestrator.announcements import Announcements
from orchestrator.http.hub import HINT, Hub, connect
from orchestrator.http.ring import Item
from tests.conftest import Fresh
from tests.until import soon

WITHIN_S = 60
"""What anything here may take at most; it takes a fraction of it."""
NEWS, HINTS = "xread", "psubscribe"
"""The two connections of a hub, by what they have said to the server."""
IS: dict[str, Callable[[dict[str, str]], bool]] = {
    NEWS: lambda line: line["cmd"] == NEWS,
    HINTS: lambda line: line["psub"] != "0",  # it says "ping" too, once it was quiet for long
}


class Heard:
    """Whoever looks at tasks by itself."""

    def __init__(self) -> None:
        self.tasks: list[str] = []
        self.turns: list[bool] = []

    def hint(self, task: str) -> None:
        self.tasks.append(task)

    def turn(self, *, away: bool) -> None:
        self.turns.append(away)


def losing(call: Callable[..., Any], lost: list[str], instead: object) -> Callable[..., Any]:
    """Wrap a call as `wait_for` of Python 3.11 does: a cancellation that meets a reply is lost."""

    async def called(*args: Any, **options: Any) -> Any:
        try:
            return await call(*args, **options)
        except asyncio.CancelledError:
            lost.append(call.__name__)
            return instead

    return called


def lines(client: Redis, which: str) -> list[dict[str, str]]:
    return [line for line in client.client_list() if IS[which](line)]


async def break_line(client: Redis, which: str) -> None:
    """Break one of the two connections."""
    [line] = await soon("it listens", lambda: lines(client, which))
    client.client_kill_filter(_id=line["id"])


@asynccontextmanager
async def hearing(fresh: Fresh, heard: Heard) -> AsyncIterator[Hub]:
    """Run a hub, once both of its listeners wait for the server."""
    async with asyncio.timeout(WITHIN_S), Hub(lambda: fresh.url, fresh.keys, heard) as hub:
        await soon("both listen", lambda: all(lines(fresh.client, which) for which in IS))
        yield hub


@pytest.mark.parametrize("broken", [NEWS, HINTS])
def test_a_listener_whose_cancellation_is_lost_does_not_go_on_alone(
    fresh: Fresh, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """ARCHITECTURE: an outage loses no news, and whoever follows a task is told to look."""
    lost, heard = list[str](), Heard()
    if broken == NEWS:
        monkeypatch.setattr(PubSub, "get_message", losing(PubSub.get_message, lost, None))
    else:
        monkeypatch.setattr(Asynchronous, "xread", losing(Asynchronous.xread, lost, []))

    async def follow() -> list[Item]:
        """Hear one thing on each connection, in whatever order the two bring them."""
        async with hearing(fresh, heard) as hub:
            begun = hub.ring.end
            await break_line(fresh.client, broken)
            await soon("the other was told to end", lambda: lost)
            fresh.client.xadd(fresh.keys.news, {"event": "missed", "at_ms": 1})
            await soon("it was away, and is back", lambda: heard.turns == [True, False])
            fresh.client.publish(fresh.keys.events("t1"), "{}")
            await soon("both are heard", lambda: hub.ring.end == begun + 2)
            return hub.ring.after(begun, 10) or []

    assert {item.event for item in asyncio.run(follow())} == {"missed", HINT}
    assert heard.tasks == ["t1"]


@pytest.mark.parametrize("listener", ["hub", "announcements"])
def test_who_leaves_while_it_subscribes_is_gone_though_the_cancellation_is_lost(
    fresh: Fresh, monkeypatch: pytest.MonkeyPatch, listener: str
) -> None:
    """ARCHITECTURE: nobody waits for a listener that was told to leave."""
    subscribed, lost = asyncio.Event(), list[str]()

    def slow(subscribe: Callable[..., Any]) -> Callable[..., Any]:
        async def subscribing(*args: Any) -> None:
            await subscribe(*args)
            subscribed.set()
            await asyncio.Event().wait()

        return losing(subscribing, lost, None)

    for name in ("subscribe", "psubscribe"):
        monkeypatch.setattr(PubSub, name, slow(getattr(PubSub, name)))

    async def leave() -> None:
        async with asyncio.timeout(WITHIN_S):
            if listener == "hub":
                async with Hub(lambda: fresh.url, fresh.keys, Heard()):
                    await subscribed.wait()
            else:
                await follow_and_leave(fresh, subscribed)

    asyncio.run(leave())
    assert lost == ["subscribing"]


async def follow_and_leave(fresh: Fresh, subscribed: asyncio.Event) -> None:
    async with connect(fresh.url) as client:

        async def connected() -> Asynchronous:
            return client

        announcements = Announcements(connected, fresh.keys)
        with announcements.of("t1"):
            await subscribed.wait()
            await announcements.close()


def test_what_is_not_understood_ends_nothing(fresh: Fresh) -> None:
    """ARCHITECTURE: every subscription that is confirmed rings, one after a stranger's line too."""

    async def follow() -> bool:
        async with asyncio.timeout(WITHIN_S), connect(fresh.url) as client:

            async def connected() -> Asynchronous:
                return client

            announcements, never = Announcements(connected, fresh.keys), float("inf")
            with announcements.of("t1") as ear:
                assert await ear.rings(never), "the first subscription"
                fresh.client.publish(fresh.keys.events("t1"), "{")
                rung = await ear.rings(never)
            await announcements.close()
            return rung

    assert asyncio.run(follow())
