"""Following the news from Python and from the command line."""

from collections import deque
from itertools import islice

from orchestrator.cli.desk import _wanted_of
from orchestrator.client import Buckstop
from orchestrator.news import News
from orchestrator.settings import Settings
from orchestrator.wanted import ALL, Wanted


def of(fresh) -> Buckstop:
    return Buckstop(settings=Settings(url=fresh.url, found_in="a test", prefix=fresh.keys.prefix))


def tell(fresh, event: str, **fields: str) -> str:
    return fresh.client.xadd(fresh.keys.news, {"event": event, "at_ms": 1, **fields}).decode()


def test_news_begin_with_the_call_and_go_on_behind_a_place(fresh):
    """Issue: services follow what happens; `news` is the same for Python."""
    with of(fresh) as buckstop:
        before = tell(fresh, "task.accepted", task="a")
        news = buckstop.news()
        told = [tell(fresh, "task.ended", task=each) for each in "bc"]
        assert [each.id for each in islice(news, 2)] == told
        again = buckstop.news(before)
        assert [(each.event, each.fields["task"]) for each in islice(again, 2)] == [
            ("task.ended", "b"),
            ("task.ended", "c"),
        ]


def test_news_that_are_gone_are_said_to_be(fresh):
    """README: «no message disappears silently»."""
    with of(fresh) as buckstop:
        old = tell(fresh, "task.accepted", task="a")
        kept = [tell(fresh, "task.accepted", task=each) for each in "bc"][1:]
        fresh.client.xtrim(fresh.keys.news, 1, approximate=False)
        told = list(islice(buckstop.news(old), 2))
    assert [each.event for each in told] == ["gap", "task.accepted"]
    assert told[1].id == kept[0]


def test_a_restart_of_the_server_loses_no_news(fresh, server):
    """Issue: «server restart ... (it recovers by itself)»."""
    with of(fresh) as buckstop:
        news = buckstop.news()
        first = tell(fresh, "task.accepted", task="a")
        assert next(news).id == first
        server.kill()
        server.restart()
        second = tell(fresh, "task.accepted", task="b")
        assert next(news).id == second


def test_a_watched_letter_is_told_once_and_only_where_it_is_wanted():
    """Issue: «`letters watch`»: new ones as they come, by kind, agent, tenant or reason."""
    told: deque[str] = deque(maxlen=10)
    filed = News("1-0", "letter.filed", {"letter": "x", "kind": "forged", "reason": "unread"})
    known = News("2-0", "letter.refiled", {"letter": "x", "kind": "forged", "reason": "unsigned"})
    decided = News("3-0", "letter.decided", {"letter": "y", "kind": "forged"})
    assert [_wanted_of(each, ALL, told) for each in (filed, known, decided)] == ["x", None, None]
    told.clear()
    unsigned = Wanted(kind="forged", reason="unsigned")
    assert [_wanted_of(each, unsigned, told) for each in (filed, known)] == [None, "x"]
