"""What /metrics says is what is so, in a bounded number of series, at a bounded cost."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from envelopes import Amounts, limits
from envelopes.letter import LetterKind
from orchestrator.books import Spend
from orchestrator.figures import Figures
from orchestrator.http.figure import OTHER, Seen
from orchestrator.http.metrics import ALL
from orchestrator.store import LetterClosed, LetterFiled, catalogue
from tests.conftest import Fresh
from tests.worlds import (
    RealWorld,
    commit,
    message,
    outgoing,
    publish,
    running,
    settled,
    submission,
)

ROOT = Path(__file__).parents[1]
HOUR_S = 3_600
LABELS = {
    *("agent", "model", "kind", "reason", "outcome", "stage", "queue", "state", "check"),
    *("what", "why", "how", "verdict"),
}
"""All labels of the deployment's figures: each has a closed set of values, or few, or a bound."""
ELSEWHERE = {
    *("concluded_", "escalated", "subscriptions_disabled"),
    *("messages_defaulted", "messages_replayed_bytes", "deliveries_"),
    *("ended:", "filed:"),
}
"""Counters whose story another figure tells, and the beginnings of names that are put together."""


@pytest.fixture
def real(fresh: Fresh) -> RealWorld:
    return RealWorld(fresh)


def letter(due_ms: int) -> LetterFiled:
    return LetterFiled("l1", "question", "which?", due_ms, b"{}", "question", "a", "s", 1)


# --- what is looked at ----------------------------------------------------------------------------


def test_the_age_of_the_oldest_message_is_told_in_whatever_lane_it_lies(real: RealWorld) -> None:
    """The brief: "queue depth and age of oldest message per queue"."""
    assert real.store.figures().agents == {}
    real.store.submit(submission())
    now_ms = real.store.claim(1).now_ms
    lane = real.keys.queue("a", "north")
    older = outgoing(real, 1, queue=lane, message=message("t1", 1, now_ms - 90_000))
    newer = outgoing(real, 2, message=message("t1", 2, now_ms - 30_000))
    assert real.store.commit([commit(1, "op", publish=(older, newer))]) == [True]
    agent = real.store.figures().agents["a"]
    assert (agent.waiting, agent.in_flight) == (2, 2)
    assert 90 <= agent.oldest_s < 150
    real.client.delete(lane)
    assert 30 <= real.store.figures().agents["a"].oldest_s < 90
    real.client.delete(real.keys.queue("a"))
    assert real.store.figures().agents["a"].oldest_s == 0


def test_a_strangers_message_has_no_age(real: RealWorld) -> None:
    """A message that names no time says nothing, and breaks nothing."""
    real.worker("w").register({"a": {}})
    real.push(real.keys.queue("a"), b'\xff "issued_ms": soon')
    agent = real.store.figures().agents["a"]
    assert (agent.waiting, agent.oldest_s) == (1, 0)


def test_an_agent_that_may_have_nothing_in_flight_has_a_cap(real: RealWorld) -> None:
    """The figure: "the agent's cap, where it has one"; that it may have none is one."""
    real.worker("w").register({"a": {}})
    assert real.store.figures().agents["a"].cap is None
    for cap in (0, 3):
        real.store.set_cap("agent", "a", cap)
        assert real.store.figures().agents["a"].cap == cap


def test_a_worker_that_fell_silent_is_told_apart_from_one_that_was_stopped(
    real: RealWorld,
) -> None:
    """The brief: "re-issues/lost workers"."""
    publish(real, 1, 2)
    real.worker("w").fetch([real.keys.queue("a")], 2)
    real.store.look("t1", [1], [1])
    real.pass_time(limits.LEASE_MS + 1)
    for _ in range(2):
        real.store.look("t1", [1, 2], [1, 2])
    counted = real.store.figures().counters
    assert (counted["claims_stopped"], counted["claims_lost"]) == (1, 1)


def test_an_alarm_that_nobody_hears_grows_old(real: RealWorld) -> None:
    """The brief: "orchestrator wake lag (oldest due alarm overdue seconds)"."""
    real.store.submit(submission())
    real.pass_time(60_000)
    seen = real.store.figures()
    assert (seen.alarms_rung, seen.serving) == (1, False)
    assert 60 <= seen.alarm_overdue_s < 120
    real.store.claim(1)
    seen = real.store.figures()
    assert (seen.alarms_rung, seen.alarm_overdue_s, seen.serving) == (0, 0, True)


def test_letters_are_told_by_age_and_before_their_default_applies(real: RealWorld) -> None:
    """The brief: "letters open by kind and age of the oldest", "letters overdue soon"."""
    real.store.submit(submission())
    due_ms = real.store.claim(1).now_ms + 2 * HOUR_S * 1000
    assert real.store.commit([commit(1, "op", letter=letter(due_ms))]) == [True]
    seen = real.store.figures()
    assert seen.letters[LetterKind.QUESTION].open == 1
    assert (seen.letters_soon, seen.letters_overdue) == (0, 0)
    real.pass_time(HOUR_S * 1000 + 5_000)
    seen = real.store.figures()
    assert HOUR_S <= seen.letters[LetterKind.QUESTION].oldest_s < 2 * HOUR_S
    assert (seen.letters_soon, seen.letters_overdue) == (1, 0)
    real.pass_time(HOUR_S * 1000)
    assert real.store.figures().letters_overdue == 1
    closed = LetterClosed("l1", "abort", "ann", "")
    assert real.store.commit([commit(2, "close", letter_closed=closed)]) == [True]
    seen = real.store.figures()
    assert (seen.letters_soon, seen.letters[LetterKind.QUESTION].oldest_s) == (0, 0)


def test_news_that_no_courier_reads_grow_old_where_somebody_is_to_be_told(real: RealWorld) -> None:
    """The brief: "news/courier backlog and failing subscriptions"."""
    real.store.submit(submission())
    real.catch_up()  # news are dated by the server's own clock
    real.pass_time(60_000)
    assert real.store.figures().courier.behind_s == 0, "nobody is to be told"
    real.client.hset(real.keys.subscriptions, "s1", "{}")
    assert 60 <= real.store.figures().courier.behind_s < 120
    real.client.hset(real.keys.courier, "place", real.store.last_news())
    assert real.store.figures().courier.behind_s == 0
    real.client.hset(real.keys.disabled, "s1", "0 gone")
    assert real.store.figures().courier.disabled == 1


def test_what_other_services_submit_is_counted_at_every_priority(real: RealWorld) -> None:
    """The brief: "queue depth"; a queue of Celery's is several lists."""
    for each in real.keys.submission_lists:
        real.client.lpush(each, b"x")
    assert real.store.figures().queues[real.keys.submissions] == len(real.keys.submission_lists)


def test_why_a_task_ended_is_one_of_a_few_words(real: RealWorld) -> None:
    """The brief: "task outcomes by stop reason class"; a person's name is no label."""
    for at, why in enumerate(("decided: approve by Ada", "confidence>=0.85", "1984")):
        real.store.submit(submission(f"t{at}"))
        ended = commit(1, "op", f"t{at}", outcome="completed", stop_reason=why)
        assert real.store.commit([ended]) == [True]
    named = {name for name in real.store.stats() if name.startswith("ended:")}
    assert named == {f"ended:completed:{word}" for word in ("decided", "confidence", "other")}


def test_a_message_is_counted_by_what_was_wrong_with_it(real: RealWorld) -> None:
    """The brief: "gate refusals by reason": FETCH files before anybody has said it."""
    real.push(real.keys.queue("a"), b"garbage")
    _, [fetched] = real.worker("w").fetch([real.keys.queue("a")], 1)
    said = "undecodable", "undeliverable", real.keys.queue("a"), b"garbage", "not JSON", None
    real.worker("w").quarantine(*said, fetched.letter)
    filed = {n: c for n, c in real.store.stats().items() if n.startswith("filed:")}
    assert filed == {"filed:undeliverable:undecodable": 1}


def test_what_is_booked_is_told_by_agent_and_model(real: RealWorld) -> None:
    """The brief: "spend (tokens, usd, calls; by agent? model?)"."""
    claims, token = running(real)
    cost = Amounts(5, 900, 1)
    assert claims.charge("t1/1", token, "op1", cost, [], "gpt-5-mini") == "ok"
    claims.report("t1/1", token, [("op1", cost)], b"{}")
    done = commit(2, "done", settled=settled(1, verdict="ok"), mail_read=1)
    assert real.store.commit([done]) == [True]
    shown = rows(real.store.figures())
    assert shown["spent_tokens", ("a", "gpt-5-mini")] == 5
    assert shown["spent_usd", ("a", "gpt-5-mini")] == pytest.approx(0.0009)
    assert shown["spent_calls", ("a", "gpt-5-mini")] == 1
    assert shown["subtasks_settled", ("a", "ok")] == 1
    real.pass_time(24 * HOUR_S * 1000)
    tomorrow = rows(real.store.figures())
    assert tomorrow["spent_tokens", ("a", "gpt-5-mini")] == 0, "and not gone: what comes next rises"


# --- what is shown --------------------------------------------------------------------------------


def rows(figures: Figures) -> dict[tuple[str, tuple[str, ...]], float]:
    seen = Seen(figures, {}, {}, str)
    return {
        (figure.name, tuple(sample.labels.values())): sample.value
        for figure in ALL
        for sample in figure.family(seen).samples
    }


def test_labels_are_bounded_and_nothing_is_left_out_of_the_sum(real: RealWorld) -> None:
    """The brief: "a cap and `other` after N"."""
    known = limits.SERIES_MAX + 50
    real.worker("w").register({f"agent{n:04}": {} for n in range(known)})
    publish(real, 1, agent=f"agent{known - 1:04}")
    figures = real.store.figures()
    assert len(figures.agents) == known
    day = [Spend("2026-07-19", f"t{n}", "a", f"m{n:04}", 1, 1, 1, 1, 0, 0) for n in range(known)]
    agents = {name: replace(one, workers=1) for name, one in figures.agents.items()}
    shown = rows(replace(figures, spend=day, agents=agents))
    by_agent = {labels: n for (name, labels), n in shown.items() if name == "agent_in_flight"}
    assert len(by_agent) == limits.SERIES_MAX + 1
    assert by_agent[OTHER,] == 1
    tokens = {labels: n for (name, labels), n in shown.items() if name == "spent_tokens"}
    assert len(tokens) == limits.SERIES_MAX + 1
    assert sum(tokens.values()) == known
    workers = {labels: n for (name, labels), n in shown.items() if name == "agent_workers"}
    assert workers[OTHER,] == 1, "not the sum: one process runs them all"


def test_no_label_is_one_that_strangers_fill() -> None:
    """Each value of a label is a series that is kept for weeks: tenants and tasks are none."""
    assert {label for figure in ALL for label in figure.labels} <= LABELS
    assert len({figure.name for figure in ALL}) == len(ALL)


def test_every_counter_that_scripts_keep_is_shown(real: RealWorld) -> None:
    """A counter that nobody can read is a write for nothing."""

    class Asked(dict[str, int]):
        def get(self, name: str, default: int = 0) -> int:  # type: ignore[override]
            asked.add(name)
            return default

    asked: set[str] = set()
    rows(replace(real.store.figures(), counters=Asked()))
    told = catalogue.__doc__ or ""
    named = set(re.findall(r"\w+", told.partition("counters: ")[2].partition("last:")[0]))
    written = {
        name
        for folder in ("orchestrator", "workers", "envelopes")
        for script in (ROOT / folder / "lua").glob("*.lua")
        for name in re.findall(r"'(\w+_\w+|\w+ed|\w+s)'", script.read_text())
        if name in named
    }
    assert len(written) > 20
    assert written - asked == ELSEWHERE & written
