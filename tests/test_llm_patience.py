"""When a server is asked again: what it says of the time, and what is left to chance."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from random import Random

import pytest

from envelopes.limits import LLM_BACKOFF_MAX_S
from tests.llm_server import Bench, ask, refusal
from workers.llm import Patience, ServerAway, patience
from workers.llm.patience import retry_after_s


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "1"}, 1),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 -0000"}, 0),
        ({}, None),
        *(({"retry-after": text}, None) for text in ("", "soon", "-3", "nan", "inf", "1e999")),
        ({"retry-after": f"Wed, 21 Oct {10**20} 07:28:00 GMT"}, None),
    ],
)
def test_a_servers_wish_is_read_in_every_spelling(headers, seconds):
    """Retry-After respected: seconds, or a date; what is neither says nothing."""
    assert retry_after_s(headers) == seconds


def test_a_date_is_a_wish_until_then():
    """Retry-After may be a date."""
    later = datetime.now(UTC) + timedelta(days=2)
    seconds = retry_after_s({"retry-after": format_datetime(later, usegmt=True)})
    assert timedelta(days=1).total_seconds() < seconds <= timedelta(days=2).total_seconds()


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"retry_after_ms": "90000"}, "asks for 90 s"),
        ({"retry_after": "Fri, 31 Dec 9998 23:59:59 GMT"}, r"asks for \d{9,} s"),
    ],
)
def test_the_wish_is_read_from_the_wire(fresh, headers, said):
    """A server that wants more time than a slot is worth is left alone."""
    with Bench(fresh) as bench:
        bench.said(refusal(429, **headers))
        with pytest.raises(ServerAway, match=said):
            ask(bench.chat(), bench.open().context)
        assert len(bench.server.seen) == 1


@pytest.mark.parametrize(
    ("attempt", "bound_s"), [(1, 1), (2, 2), (3, 4), (5, 16), (6, LLM_BACKOFF_MAX_S)]
)
def test_pauses_are_drawn_from_nothing_up_to_a_bound_that_doubles(monkeypatch, attempt, bound_s):
    """Full jitter: a thousand agents refused at once do not come back at once."""
    monkeypatch.setattr(patience, "_dice", Random(7))
    pauses = [Patience(9, 1.0).pause_s(attempt, None) for _ in range(500)]
    assert 0 <= min(pauses) < bound_s * 0.1
    assert bound_s * 0.9 < max(pauses) <= bound_s


def test_no_pause_is_shorter_than_the_server_wishes():
    """Where the server says how long, never sooner; and then not all at the same moment."""
    pauses = [Patience(9, 1.0).pause_s(1, 5.0) for _ in range(100)]
    assert 5 <= min(pauses) < max(pauses) <= 6
