"""Many threads, few round trips; and nobody is forgotten in the line."""

import threading

import pytest
from redis import exceptions

from envelopes.scripts import Scripts
from tests.until import PATIENCE_S, until
from workers.line import BATCH_MAX, POSTED_MAX, Line

SCRIPT = "local n = redis.call('INCR', KEYS[1]) return ARGV[1] .. ':' .. n"


class Watched:
    """Scripts whose batches are counted, held up, and lost, as a test wants."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self.batches: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self.errors: list[Exception] = []
        self.lose_replies = False

    def run_many(self, calls):
        self.batches.append(len(calls))
        assert self.gate.wait(2 * PATIENCE_S)
        if self.errors and not self.lose_replies:
            raise self.errors.pop()
        replies = self._scripts.run_many(calls)
        if self.errors:
            raise self.errors.pop()
        return replies


@pytest.fixture
def watched(fresh, tmp_path) -> Watched:
    (tmp_path / "count.lua").write_text(SCRIPT)
    (tmp_path / "wrong.lua").write_text("return redis.error_reply('WRONG no')")
    return Watched(Scripts(fresh.client, tmp_path, fresh.keys))


@pytest.fixture
def line(watched) -> Line:
    return Line(watched, outage_s=PATIENCE_S)


def in_threads(count: int, work, first: int = 0) -> list[threading.Thread]:
    threads = [threading.Thread(target=work, args=(n,)) for n in range(first, first + count)]
    for thread in threads:
        thread.start()
    return threads


def behind_one(watched: Watched, count: int, work) -> list[threading.Thread]:
    """Let one call be on its way, alone, before so many more come."""
    alone = in_threads(1, work)
    until("the first is on its way", lambda: watched.batches == [1])
    return alone + in_threads(count, work, first=1)


def ended(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def test_calls_that_wait_go_together_and_each_gets_its_own_reply(line, watched, fresh) -> None:
    """Threads of one process pipeline whatever is waiting."""
    watched.gate.clear()
    replies = {}

    def work(n: int) -> None:
        replies[n] = line.run("count", ["k"], [n])

    threads = behind_one(watched, 49, work)
    until("all but the first wait", lambda: len(line._waiting) == 49)
    watched.gate.set()
    ended(threads)
    assert watched.batches == [1, 49]
    assert all(reply.startswith(f"{n}:".encode()) for n, reply in replies.items())
    assert int(fresh.client.get("k")) == 50
    assert line.idle


def test_a_batch_has_a_bound_and_the_rest_comes_next(line, watched, fresh) -> None:
    watched.gate.clear()
    threads = behind_one(watched, BATCH_MAX + 50, lambda n: line.run("count", ["k"], [n]))
    until("all but the first wait", lambda: len(line._waiting) == BATCH_MAX + 50)
    watched.gate.set()
    ended(threads)
    assert watched.batches == [1, BATCH_MAX, 50]


def test_one_that_goes_wrong_takes_no_other_with_it(line, watched) -> None:
    watched.gate.clear()
    found = {}

    def work(n: int) -> None:
        try:
            found[n] = line.run("wrong" if n == 3 else "count", ["k"], [n])
        except exceptions.ResponseError as error:
            found[n] = error

    threads = behind_one(watched, 5, work)
    until("all but the first wait", lambda: len(line._waiting) == 5)
    watched.gate.set()
    ended(threads)
    assert [n for n, reply in found.items() if isinstance(reply, Exception)] == [3]


def test_what_is_posted_is_sent_though_nobody_waits_for_it(line, fresh) -> None:
    replies = []
    for n in range(20):
        line.post(("count", ["k"], [n]), replies.append)
    until("all are answered", lambda: len(replies) == 20)
    until("the line is idle", lambda: line.idle)


def test_what_is_posted_goes_along_with_the_next_call(line, watched) -> None:
    watched.gate.clear()
    first = in_threads(1, lambda n: line.run("count", ["k"], [n]))
    until("the first is on its way", lambda: watched.batches == [1])
    replies = []
    line.post(("count", ["k"], [1]), replies.append)
    second = in_threads(1, lambda n: line.run("count", ["k"], [n]))
    until("both wait", lambda: len(line._waiting) == 2)
    watched.gate.set()
    ended([*first, *second])
    until("it is answered", lambda: len(replies) == 1)
    assert watched.batches == [1, 2]


def test_an_heir_far_back_in_the_line_is_not_forgotten(line, watched) -> None:
    """Whoever is given the turn sends its own call too."""
    watched.gate.clear()
    first = in_threads(1, lambda n: line.run("count", ["k"], [n]))
    until("the first is on its way", lambda: watched.batches == [1])
    replies: list = []
    for n in range(BATCH_MAX + 20):
        line.post(("count", ["k"], [n]), replies.append)
    last = in_threads(1, lambda n: line.run("count", ["k"], [n]))
    until("all but the first wait", lambda: len(line._waiting) == BATCH_MAX + 21)
    watched.gate.set()
    ended([*first, *last])
    until("all are answered", lambda: len(replies) == BATCH_MAX + 20)


def test_whoever_posts_too_much_waits(line, watched) -> None:
    watched.gate.clear()
    replies: list = []

    def post(_: int) -> None:
        for n in range(POSTED_MAX + 1):
            line.post(("count", ["k"], [n]), replies.append)

    (poster,) = in_threads(1, post)
    poster.join(0.5)
    assert poster.is_alive()
    watched.gate.set()
    ended([poster])
    until("all are answered", lambda: len(replies) == POSTED_MAX + 1)


def test_a_callback_that_fails_stops_nobody(line) -> None:
    replies: list = []
    line.post(("count", ["k"], [1]), lambda _: 1 / 0)
    line.post(("count", ["k"], [2]), replies.append)
    until("it is answered", lambda: len(replies) == 1)


@pytest.mark.parametrize("lose_replies", [False, True])
def test_a_lost_connection_is_waited_out(line, watched, lose_replies) -> None:
    """Lost reply and retried: every script is safe to repeat, so the line repeats it."""
    watched.errors = [exceptions.ConnectionError("gone"), exceptions.TimeoutError("slow")]
    watched.lose_replies = lose_replies
    assert line.run("count", ["k"], [7]) == (b"7:3" if lose_replies else b"7:1")
    assert len(watched.batches) == 3


def test_an_outage_that_does_not_end_is_an_error(watched) -> None:
    line = Line(watched, outage_s=0.3)
    watched.errors = [exceptions.ConnectionError("gone")] * 50
    with pytest.raises(exceptions.ConnectionError):
        line.run("count", ["k"], [1])
    assert watched.errors, "it gave up, though the server was still away"
    watched.errors = []
    assert line.run("count", ["k"], [1]) == b"1:1", "and the line goes on"


def test_a_full_server_is_waited_out(line, fresh, tmp_path) -> None:
    """Redis full: nothing lost; heals."""
    fresh.client.config_set("maxmemory", 1)
    threading.Timer(0.4, lambda: fresh.client.config_set("maxmemory", 0)).start()
    assert line.run("count", ["k"], [1]) == b"1:1"


def test_no_call_is_lost_or_made_twice_under_a_crowd(line, fresh) -> None:
    replies: list = []

    def work(n: int) -> None:
        for each in range(20):
            if (n + each) % 3:
                line.run("count", ["k"], [each])
            else:
                line.post(("count", ["k"], [each]), replies.append)

    ended(in_threads(30, work))
    until("all are answered", lambda: line.idle and len(replies) == 200)
    assert int(fresh.client.get("k")) == 600
