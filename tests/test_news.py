"""What happens is told, once, by the script that makes it happen; and a journal's places stay.

Every test runs on the simulated store and on a real server.
"""

import pytest

from envelopes import Refused, limits
from orchestrator.news import START, News
from orchestrator.store import LetterClosed, LetterFiled, MessageDecision
from tests.worlds import (
    KINDS,
    RealWorld,
    World,
    commit,
    make,
    message,
    once,
    publish,
    refuses,
    running,
    submission,
)

LETTER = LetterFiled(
    "L1", "escalation", "the hop cap was reached", 2_000_000_000_000, b"{}", "hop_cap", "write"
)


@pytest.fixture(params=KINDS)
def world(request: pytest.FixtureRequest) -> World:
    """Give an empty world of each kind."""
    return make(request)


def told(world: World) -> list[News]:
    return world.store.news(START, 1_000)


def events(world: World) -> list[str]:
    return [line.event for line in told(world)]


def about(line: News) -> dict[str, str]:
    """Return what a line says but for when."""
    assert int(line.fields["at_ms"]) > 10**12
    return {name: value for name, value in line.fields.items() if name != "at_ms"}


# --- what is told -----------------------------------------------------------------------------


def test_nothing_has_happened_yet(world: World) -> None:
    assert told(world) == []
    assert world.store.last_news() == START


def test_an_accepted_task_is_told_once(world: World) -> None:
    """A lost reply and a retry are as if once."""
    once(world, lambda: world.store.submit(submission(tenant="acme", key="k")))
    world.store.submit(submission("t2", tenant="acme", key="k"))
    [line] = told(world)
    assert (line.event, about(line)) == ("task.accepted", {"task": "t1", "tenant": "acme"})


def test_an_end_is_told_with_its_outcome_and_why(world: World) -> None:
    world.store.submit(submission())
    end = commit(1, "end", outcome="aborted", stop_reason="cancelled")
    once(world, lambda: world.store.commit([end]))
    _, line = told(world)
    assert line.event == "task.ended"
    expected = {"task": "t1", "tenant": "default", "outcome": "aborted", "stop_reason": "cancelled"}
    assert about(line) == expected


def test_a_refused_commit_tells_nothing(world: World) -> None:
    world.store.submit(submission())
    before = told(world)
    assert world.store.commit([commit(9, "late", outcome="aborted", letter=LETTER)]) == [False]
    assert told(world) == before


def test_a_letter_is_told_when_it_is_filed_and_when_it_is_decided(world: World) -> None:
    world.store.submit(submission())
    once(world, lambda: world.store.commit([commit(1, "ask", letter=LETTER)]))
    closed = LetterClosed("L1", "approve", "ada", "good enough")
    once(world, lambda: world.store.commit([commit(2, "close", letter_closed=closed)]))
    _, filed, decided = told(world)
    it = {"letter": "L1", "task": "t1", "tenant": "default", "kind": "escalation"}
    it |= {"reason": "hop_cap", "agent": "write"}
    assert (filed.event, decided.event) == ("letter.filed", "letter.decided")
    assert about(filed) == it | {"why": "the hop cap was reached"}
    assert about(decided) == it | {"verb": "approve", "by": "ada"}


def test_a_message_nobody_can_run_is_told_at_the_fetch_and_again_with_its_reason(
    world: World,
) -> None:
    """No message disappears silently: told at once, though its worker may die before it looks."""
    queue = world.keys.queue("a", "acme")
    world.push(queue, b"not ours")
    [fetched] = once(world, lambda: world.worker("w").fetch([queue], 1))[1]
    once(
        world,
        lambda: world.worker("w").quarantine(
            "forged", "forged", queue, b"not ours", "nobody signed it", None, fetched.letter
        ),
    )
    filed, refiled = told(world)
    it = {"letter": fetched.letter, "task": "", "tenant": "acme", "agent": "a"}
    assert (filed.event, refiled.event) == ("letter.filed", "letter.refiled")
    why = "its worker has not said yet what is wrong with it"
    assert about(filed) == it | {"kind": "undeliverable", "reason": "unread", "why": why}
    assert about(refiled) == it | {"kind": "forged", "reason": "forged", "why": "nobody signed it"}


def test_a_decision_about_a_message_is_told(world: World) -> None:
    worker, token = running(world)
    letter = worker.quarantine(
        "expired", "expired", world.keys.queue("a"), message("t1", 1), "late", ("t1/1", token)
    )
    decision = MessageDecision(letter, "discard", "ada", "no use")
    once(world, lambda: world.store.settle_message(decision, "op1"))
    assert events(world) == ["task.accepted", "letter.filed", "letter.decided"]
    line = told(world)[-1]
    assert (line.fields["task"], line.fields["verb"], line.fields["by"]) == ("t1", "discard", "ada")


def test_a_line_is_short_whatever_was_said(world: World) -> None:
    """Fields are bounded, and cut between two characters."""
    worker, token = running(world)
    queue, why = world.keys.queue("a"), "€" * 1_000
    worker.quarantine("expired", "expired", queue, message("t1", 1), why, ("t1/1", token))
    text = told(world)[-1].fields["why"]
    assert set(text) == {"€"}
    assert limits.DEAD_LETTER_WHY_BYTES - 3 < len(text.encode()) <= limits.DEAD_LETTER_WHY_BYTES


# --- reading it -------------------------------------------------------------------------------


def test_a_reader_goes_on_behind_what_it_has_read(world: World) -> None:
    for number in range(5):
        world.store.submit(submission(f"t{number}"))
    first = world.store.news(START, 2)
    rest = world.store.news(first[-1].id, 10)
    assert [line.fields["task"] for line in (*first, *rest)] == ["t0", "t1", "t2", "t3", "t4"]
    assert world.store.last_news() == rest[-1].id
    assert world.store.news(rest[-1].id, 10) == []
    assert world.store.news(START, 0) == []


def test_waiting_for_news_ends_by_itself(world: World) -> None:
    assert world.store.news(START, 10, block_ms=1) == []


@pytest.mark.parametrize("after", ["", "$", "yesterday", "1-2-3", "9" * 40, "-1", "٣-٤"])
def test_a_place_in_the_news_is_an_id_of_it(world: World, after: str) -> None:
    """A browser says where it left off; it may say anything."""
    for asked in (lambda: world.store.news(after, 1), lambda: world.store.news_gap(after)):
        with pytest.raises(Refused, match="after"):
            asked()


def test_a_reader_who_was_away_too_long_is_told_that_lines_are_gone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bounded stream drops its oldest lines; whoever has missed them must know."""
    world.store.submit(submission("first"))
    read = world.store.last_news()
    assert not world.store.news_gap(START)
    assert not world.store.news_gap(read)
    _drop_all_but(world, monkeypatch, kept=2)
    assert world.store.news_gap(read)
    assert not world.store.news_gap(world.store.last_news())
    assert [line.fields["task"] for line in world.store.news(read, 10)] == ["t3", "t4"]


def _drop_all_but(world: World, monkeypatch: pytest.MonkeyPatch, kept: int) -> None:
    """Submit five more and let the stream keep few; the server drops whole blocks only, so help."""
    monkeypatch.setattr(limits, "NEWS_MAX", kept)
    for number in range(5):
        world.pass_time(2)
        world.store.submit(submission(f"t{number}"))
    if isinstance(world, RealWorld):
        world.client.xtrim(world.keys.news, maxlen=kept, approximate=False)


# --- a journal's places -----------------------------------------------------------------------


def lines(*numbers: int) -> tuple[bytes, ...]:
    return tuple(f'{{"line":{number}}}'.encode() for number in numbers)


def test_a_journal_is_read_from_a_place_on(world: World) -> None:
    publish(world, 1)
    assert world.store.journal_from("t1", None, 10) == ([], None)
    world.store.commit([commit(2, "a", journal=lines(0, 1, 2))])
    first, after = world.store.journal_from("t1", None, 2)
    assert first == list(enumerate(lines(0, 1)))
    assert after == 1
    assert world.store.journal_from("t1", after, 2) == ([(2, lines(2)[0])], None)
    assert world.store.journal_from("t1", 2, 2) == ([], None)
    assert world.store.journal_from("t1", 99, 2) == ([], None)
    assert world.store.journal_from("t1", None, 0) == ([], None)


def test_a_line_keeps_its_place_when_older_ones_are_dropped(world: World) -> None:
    """Whoever resumes behind line n gets neither a line twice nor none."""
    publish(world, 1)
    most = limits.JOURNAL_MAX
    world.store.commit([commit(2, "a", journal=lines(*range(most)))])
    once(world, lambda: world.store.commit([commit(3, "b", journal=lines(most, most + 1))]))
    assert world.store.journal("t1")[0] == lines(2)[0]
    assert world.store.journal_from("t1", None, 1) == ([(2, lines(2)[0])], 2)
    assert world.store.journal_from("t1", 0, 1) == ([(2, lines(2)[0])], 2)
    last = list(enumerate(lines(most, most + 1), most))
    assert world.store.journal_from("t1", most - 1, 5) == (last, None)


def test_the_journal_of_no_task_is_empty(world: World) -> None:
    assert world.store.journal_from("nobody", None, 10) == ([], None)
    assert world.store.journal_from("nobody", 7, 10) == ([], None)


@pytest.mark.parametrize(("after", "count"), [(-2, 1), (None, -1), (10**15, 1)])
def test_a_place_in_a_journal_is_a_figure(world: World, after: int | None, count: int) -> None:
    publish(world, 1)
    refuses(world, lambda: world.store.journal_from("t1", after, count))


def test_the_count_of_lines_is_the_stores_own(world: World) -> None:
    with pytest.raises(AssertionError, match="noted"):
        world.store.submit(submission(fields={"noted": b"9"}))
