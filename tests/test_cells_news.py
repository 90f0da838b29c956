"""The news of several cells as one stream, as `buckstop letters watch` and programs follow it."""

import asyncio
from contextlib import suppress
from itertools import islice

import pytest
from redis import Redis

from envelopes import limits
from envelopes.strict import Refused
from orchestrator.http.access import Caller
from orchestrator.http.follow import Follows
from orchestrator.http.hub import Hub
from orchestrator.http.hubs import Hubs
from orchestrator.http.sources import NewsSource
from orchestrator.tokens import Scope, Token
from tests.several import KEYS, TASK, TENANTS, Several
from tests.until import PATIENCE_S, until


def test_whoever_keeps_the_last_place_misses_nothing_of_any_cell(several: Several) -> None:
    """Promise of Buckstop.news: "whoever keeps the last one misses nothing"."""
    with several.cells() as cells:
        place = cells.store.last_news()
        order = ("east", "west", "west", "east")
        sent = [cells.submit(TASK, tenant=TENANTS[cell]).id for cell in order]
        told = list(islice(cells.news(place), 2))
        several.servers["west"].kill()
        several.servers["west"].restart()
        told += islice(cells.news(told[-1].id), 2)
        assert sorted(each.fields["task"] for each in told) == sorted(sent)
        assert {each.fields["cell"] for each in told} == {"east", "west"}
        assert cells.store.news(told[-1].id, 10) == [], "and nothing is told twice"
        with pytest.raises(Refused, match="a place in the news is like east=1-0,west=2-0"):
            next(cells.news("1-0"))


def test_a_cell_that_is_away_when_one_begins_is_told_from_when_it_is_back(
    several: Several,
) -> None:
    """The page: "what happened in it meanwhile is told when it is `back`", and not what was."""
    with several.cells() as cells:
        cells.submit(TASK, tenant=TENANTS["west"])
        several.servers["west"].kill()
        place = cells.store.last_news()
        assert place.endswith("west=?")
        east = cells.submit(TASK, tenant=TENANTS["east"]).id
        news = cells.news(place)
        first = next(news)
        assert (first.fields["task"], first.fields["cell"]) == (east, "east")
        several.servers["west"].restart()
        cells.cells["west"].note_back()
        cells.submit(TASK, tenant=TENANTS["east"])
        assert next(news).fields["cell"] == "east"
        west = cells.submit(TASK, tenant=TENANTS["west"]).id
        assert next(news).fields["task"] == west


def test_a_stream_that_is_cut_off_while_a_cell_is_slow_loses_no_other_cells_news(
    several: Several,
) -> None:
    """The page: "what was missed meanwhile is told first", of each cell."""
    ada = Token(id="t", name="ada", scopes=(Scope.READ,), hash="", created_ms=0, per_minute=60)

    async def cut_off(source: NewsSource, slow: Hub) -> None:
        """Let all who may read a cell at once be busy, until the stream's patience is over."""
        for _ in range(limits.LIVE_READERS):
            await slow._readers.acquire()
        with suppress(TimeoutError):
            await asyncio.wait_for(source.chunk(), 0.5)
        for _ in range(limits.LIVE_READERS):
            slow._readers.release()

    async def heard(place: str) -> list[int]:
        async with Hubs(list(cells.cells.values()), KEYS, Follows(cells.store)) as hubs:
            for hub in hubs.parts.values():
                await asyncio.to_thread(until, "its cell is heard", lambda hub=hub: hub.last)
            told = []
            for slow in hubs.parts.values():
                async with NewsSource(hubs, Caller(ada), None, place) as source:
                    await cut_off(source, slow)
                    told.append((await source.chunk() or b"").count(b"event: task.accepted"))
            return told

    with several.cells() as cells:
        place = cells.store.last_news()
        for tenant in TENANTS.values():
            cells.submit(TASK, tenant=tenant)
        assert asyncio.run(heard(place)) == [2, 2]


def test_news_that_went_with_an_outage_of_one_cell_are_a_gap(several: Several) -> None:
    """The page: "`gap`: news before here are gone", whichever cell's they were."""
    ada = Token(id="t", name="ada", scopes=(Scope.READ,), hash="", created_ms=0, per_minute=60)

    def cut_and_trim(west: Redis) -> None:
        """Cut the listener off, and let what it has not heard be gone when it comes again."""
        until("the listener waits for news", lambda: west.info("clients")["blocked_clients"])
        with west.pipeline(transaction=True) as all_at_once:
            all_at_once.client_kill_filter(_type="normal")
            for _ in range(3):
                all_at_once.xadd(KEYS.news, {"event": "task.accepted", "tenant": TENANTS["west"]})
            all_at_once.xtrim(KEYS.news, 1, approximate=False)
            all_at_once.execute()

    async def heard(only: str | None) -> bytes:
        async with Hubs(list(cells.cells.values()), KEYS, Follows(cells.store)) as hubs:
            await hubs.begun()
            async with NewsSource(hubs, Caller(ada), cell=only) as source:
                await asyncio.to_thread(cut_and_trim, west)
                told = b""
                while b"event: task.accepted" not in told:
                    chunk = await asyncio.wait_for(source.chunk(), PATIENCE_S)
                    told += chunk or b""
                return told

    with several.cells() as cells, Redis.from_url(several.servers["west"].url) as west:
        cells.submit(TASK, tenant=TENANTS["west"])
        assert b"event: gap" in asyncio.run(heard(None))
        assert b"event: gap" in asyncio.run(heard("west"))
