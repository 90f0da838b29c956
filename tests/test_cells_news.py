"""The news of several cells as one stream, as `buckstop letters watch` and programs follow it."""

from collections.abc import Iterator
from itertools import islice

import pytest

from envelopes.strict import Refused
from tests.several import TASK, TENANTS, Several


@pytest.fixture
def several(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Several]:
    several = Several(tmp_path_factory.mktemp("cells"))
    several.add("east")
    several.add("west")
    yield several
    several.stop()


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
