"""The way in and the way back: submit, follow, cancel, decide, on a real server and a real loop."""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import JsonValue
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from envelopes import Amounts, Envelope, PlanDone, Refused, Step, TaskRequest, limits
from envelopes.decision import Decision, Verb
from envelopes.request import Amount
from envelopes.seal import Signer
from orchestrator import following, intake
from orchestrator.checks import Unfit
from orchestrator.client import Buckstop, NotFound, TimedOut
from orchestrator.embedded import EmbeddedServer
from orchestrator.running import DIRECTORY
from orchestrator.serve import Orchestrator
from orchestrator.settings import Settings, SettingsError
from orchestrator.store import Store
from orchestrator.view import State
from orchestrator.wanted import Page
from orchestrator.wire import Wire
from tests.conftest import Fresh
from tests.hands import Hand
from tests.until import PATIENCE_S as WITHIN_S

FIELDS: dict[str, Any] = {
    "goal": "say hello",
    "agent": "greet",
    "budget": {"tokens": 1000},
    "timeout": "10m",
    "until": {"kind": "plan_done"},
}


@pytest.fixture
def buckstop(fresh: Fresh) -> Iterator[Buckstop]:
    settings = Settings(fresh.url, "the test", fresh.keys.prefix)
    with Buckstop(settings=settings) as connected:
        yield connected


@pytest.fixture
def loop(fresh: Fresh) -> Orchestrator:
    return Orchestrator(Store(fresh.client, fresh.keys), Wire(Signer(os.urandom(32)), fresh.keys))


@pytest.fixture
def serving(fresh: Fresh) -> Iterator[None]:
    """Run a loop in a thread, with a connection of its own."""
    with Redis.from_url(fresh.url) as connection:
        wire = Wire(Signer(os.urandom(32)), fresh.keys)
        running = Orchestrator(Store(connection, fresh.keys), wire)
        thread = threading.Thread(target=running.run)
        thread.start()
        yield
        running.stop()
        fresh.client.rpush(fresh.keys.bell, "stop")
        thread.join(WITHIN_S)
        assert not thread.is_alive()


def settle(loop: Orchestrator) -> None:
    for _ in range(50):
        if not loop.turn(idle_ms_max=1):
            return
    raise AssertionError("something is always due")


def in_background(call: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=call)
    thread.start()
    return thread


# --- submit --------------------------------------------------------------------------------------


def test_a_submitted_task_can_be_followed_to_its_result(
    buckstop: Buckstop, fresh: Fresh, serving: None
) -> None:
    """An accepted task ends in exactly one outcome, and whoever watches sees it."""
    task = buckstop.submit(**FIELDS)
    hand = Hand(fresh.client, fresh.keys, "greet")

    def work() -> None:
        while not (jobs := hand.take()):
            time.sleep(0.01)
        hand.answer(jobs[0], Envelope.success({"said": "hello"}, 0.9), Amounts(7, 0, 1))

    worker = in_background(work)
    seen = list(task.watch(timeout=86_400))  # the end ends the watching, not the time given
    worker.join()
    assert seen[-1].state is State.COMPLETED
    assert [view.version for view in seen] == sorted({view.version for view in seen})
    result = task.result(timeout=WITHIN_S)
    assert (result.outcome, result.result, result.confidence) == (
        State.COMPLETED,
        {"said": "hello"},
        0.9,
    )
    assert result.ledger.spent == Amounts(7, 0, 1)
    assert result.kept["only"].agent == "greet"
    whys = [note["why"] for note in task.show().journal]
    assert whys[0] == "publish"
    assert whys[-1] == "conclude"


def test_a_request_may_come_as_fields_as_json_or_as_itself(buckstop: Buckstop) -> None:
    """All forms of a request are one: what is stored is the same."""
    request = TaskRequest.model_validate_json(json.dumps(FIELDS))
    forms = [
        buckstop.submit(**FIELDS),
        buckstop.submit(FIELDS),
        buckstop.submit(request),
        buckstop.submit(json.dumps(FIELDS)),
        buckstop.submit(json.dumps(FIELDS).encode()),
        buckstop.submit({**FIELDS, "goal": "another"}, goal="say hello"),
        buckstop.submit(**{**FIELDS, "until": PlanDone()}),
    ]
    stored = [buckstop.store.task(task.id) for task in forms]
    assert len({each["request"] for each in stored if each}) == 1
    assert len({task.id for task in forms}) == len(forms)


def test_the_same_idempotency_key_returns_the_same_task(buckstop: Buckstop) -> None:
    """Submitting twice with the same idempotency key returns the same task."""
    first = buckstop.submit(**FIELDS, idempotency_key="once")
    again = buckstop.submit(**FIELDS, idempotency_key="once")
    other = buckstop.submit(**FIELDS, idempotency_key="once", tenant="another")
    assert again.id == first.id != other.id
    assert (first.created, again.created, other.created) == (True, False, True)


@pytest.mark.parametrize(
    ("change", "field", "says"),
    [
        ({"until": None}, "until", "should be an object"),
        ({"goal": ""}, "goal", "at least 1"),
        ({"timeout": "soon"}, "timeout", "90s"),
        ({"budget": {}}, "budget", "at least one"),
        ({"budget": {"tokens": 0}}, "budget.tokens", "greater than"),
        ({"budget": {"usd": float("nan")}}, "budget.usd", "NaN"),
        ({"budget": {"usd": Decimal("0.0000001")}}, "budget.usd", "decimal places"),
        ({"surprise": 1}, "surprise", "no such field"),
        ({"input": "x" * 200_000}, "agent.input", "by reference|a reference"),
        ({"input": object()}, "request", "JSON"),
        ({"result_schema": {"type": "nonsense"}}, "result_schema", "not a JSON Schema"),
        ({"result_schema": {"$ref": "http://elsewhere/x"}}, "result_schema", "outside"),
        ({"agent": None, "plan": [{"id": "a", "agent": "x", "needs": ["a"]}]}, "plan", "cycle"),
        (
            {"agent": None, "plan": [{"id": "a", "agent": "x", "allowance": {"tokens": 901}}]},
            "plan.0.allowance",
            "holds 900",
        ),
        (
            {"fallback_plans": [[{"id": "a", "agent": "x", "allowance": {"tokens": 901}}]]},
            "fallback_plans.0.0.allowance",
            "holds 900",
        ),
    ],
)
def test_a_request_that_could_never_end_well_is_refused_by_field(
    buckstop: Buckstop, change: dict[str, Any], field: str, says: str
) -> None:
    """Refused with an error that names the field; and nothing of it is stored."""
    with pytest.raises(Refused, match=says) as refused:
        buckstop.submit(**{**FIELDS, **change})
    assert refused.value.field == field
    assert buckstop.tasks() == Page([], None)


def test_an_allowance_that_just_fits_is_taken(buckstop: Buckstop) -> None:
    """The other side of the refusal: exactly what is free after the ending."""
    plan = [Step(id="a", agent="x", allowance={"tokens": 900})]  # type: ignore[arg-type]
    buckstop.submit(**{**FIELDS, "agent": None, "plan": plan})


def test_a_server_that_cannot_keep_promises_takes_no_work(buckstop: Buckstop, fresh: Fresh) -> None:
    """When a promise cannot be kept, new work is refused with the fix named."""
    fresh.client.config_set("maxmemory-policy", "allkeys-lru")
    with pytest.raises(Unfit, match="CONFIG SET maxmemory-policy noeviction"):
        buckstop.submit(**FIELDS)
    fresh.client.config_set("maxmemory-policy", "noeviction")
    buckstop.submit(**FIELDS)
    fresh.client.set("ballast", bytes(20_000_000))  # of which what connections need is little
    used = fresh.client.info("memory")["used_memory"]
    fresh.client.config_set("maxmemory", int(used * 1.05))
    with pytest.raises(Unfit, match="memory"):
        buckstop.submit(**FIELDS)
    fresh.client.config_set("maxmemory", 0)
    assert len(buckstop.tasks().items) == 1


# --- follow --------------------------------------------------------------------------------------


def test_waiting_gives_up_in_time_and_the_task_goes_on(buckstop: Buckstop) -> None:
    """A wait has an end of its own; the task does not notice."""
    task = buckstop.submit(**FIELDS)
    with pytest.raises(TimedOut, match=r"still submitted after 0\.3 s; it goes on"):
        task.wait(timeout=0.3)
    assert not task.status().final


def test_a_look_without_news_is_not_told(
    buckstop: Buckstop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Watching yields changes: a task on which nothing happens is seen once."""
    monkeypatch.setattr(following, "REREAD_S", 0.02)
    assert len(list(buckstop.submit(**FIELDS).watch(timeout=0.3))) == 1


def test_the_end_is_seen_even_if_every_announcement_was_lost(
    buckstop: Buckstop, fresh: Fresh, loop: Orchestrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Watching: announcements wake it, the task itself is what is read."""
    task = buckstop.submit(**FIELDS)
    deaf = fresh.keys.__class__("nobody:").events(task.id)
    monkeypatch.setattr(type(fresh.keys), "events", lambda *_: deaf)
    views = task.watch(timeout=WITHIN_S)
    assert next(views).state is State.SUBMITTED
    task.cancel("enough")
    settle(loop)
    assert [view.state for view in views] == [State.ABORTED]


def test_a_watcher_survives_a_restart_of_the_server(
    buckstop: Buckstop, fresh: Fresh, loop: Orchestrator, server: EmbeddedServer
) -> None:
    """Redis SIGKILL + restart: whoever waits for a task goes on waiting, and sees its end."""
    task = buckstop.submit(**FIELDS)
    views = task.watch(timeout=WITHIN_S)
    assert next(views).state is State.SUBMITTED
    server.kill()
    back = threading.Timer(0.5, server.restart)
    back.start()

    def end_it() -> None:
        back.join()
        task.cancel("enough")
        settle(loop)

    ender = in_background(end_it)
    assert [view.state for view in views][-1] is State.ABORTED
    ender.join()


def test_whoever_waits_for_a_server_that_is_away_waits_no_longer_than_they_said(
    buckstop: Buckstop, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wait has an end of its own, in an outage too; what ended it is said."""

    def wait_on(_: float) -> None:
        raise AssertionError("it waits on, though its time is up")

    task = buckstop.submit(**FIELDS)
    clock = SimpleNamespace(monotonic=time.monotonic, sleep=wait_on)
    monkeypatch.setattr(following, "time", clock)
    server.kill()
    try:
        with pytest.raises(RedisConnectionError):
            task.result(timeout=0)
    finally:
        server.restart()


def test_events_are_told_live_to_the_end_and_go_on_behind_a_place(
    buckstop: Buckstop, fresh: Fresh, serving: None
) -> None:
    """Issue 5: "Python client ... with `submit().result()`, events, cancel"."""
    task = buckstop.submit(**FIELDS)
    hand = Hand(fresh.client, fresh.keys, "greet")
    told = task.events(timeout=WITHIN_S)
    first = next(told)
    assert (first.place, first.why, first.about["agent"]) == (0, "publish", "greet")
    [job] = hand.take()
    hand.answer(job, Envelope.success({"said": "hello"}, 0.9), Amounts(7, 0, 1))
    rest = list(told)
    assert [event.place for event in rest] == list(range(1, len(rest) + 1))
    assert rest[-1].why == "conclude"
    assert list(task.events(after=first.place)) == rest


def test_events_survive_a_restart_of_the_server(
    buckstop: Buckstop, fresh: Fresh, loop: Orchestrator, server: EmbeddedServer
) -> None:
    """Server restarts heal: no line is told twice, and none is left out."""
    task = buckstop.submit(**FIELDS)
    settle(loop)
    told = task.events()
    first = next(told)
    server.kill()
    back = threading.Timer(0.3, server.restart)
    back.start()

    def end_it() -> None:
        back.join()
        task.cancel("enough")
        settle(loop)

    ender = in_background(end_it)
    rest = list(told)
    ender.join()
    assert [event.place for event in [first, *rest]] == list(range(len(rest) + 1))
    assert rest[-1].why == "conclude"


def test_a_task_is_found_by_the_beginning_of_its_id(buckstop: Buckstop) -> None:
    """A unique prefix of a task id is accepted where an id is."""
    ids = [buckstop.submit(**FIELDS).id for _ in range(20)]
    for each in ids:
        assert buckstop.task(each).id == each
        assert buckstop.task(each[:12]).id == each
    for wrong in ("", "no-such-task"):
        with pytest.raises(NotFound, match="buckstop tasks"):
            buckstop.task(wrong)
    shared = next(a[0] for a in ids if sum(b[0] == a[0] for b in ids) > 1)
    with pytest.raises(NotFound, match=r"beginning of \d+ task ids; write more"):
        buckstop.task(shared)


def test_a_task_that_a_newer_version_has_written_is_shown_with_its_letter(
    buckstop: Buckstop, fresh: Fresh, serving: None
) -> None:
    """Rolling upgrade: a field that is not known here keeps nobody from seeing what there is."""
    letter = on_the_desk(buckstop, fresh)
    task = buckstop.letter(letter)["task"]
    request = json.loads(fresh.client.hget(fresh.keys.task(task), "request") or b"")
    fresh.client.hset(fresh.keys.task(task), "request", json.dumps(request | {"flavour": "new"}))
    [shown] = buckstop.tasks().items
    assert (shown.id, shown.state, shown.letter) == (task, State.ON_DESK, letter)
    assert (shown.goal, shown.tenant) == ("say hello", "default")
    assert "flavour" in (shown.stop_reason or "")
    with pytest.raises(Refused, match="cannot be read here"):
        buckstop.check_amendment(letter, {"said": "h"})


def test_a_result_that_only_a_newer_version_can_read_is_refused_and_not_empty(
    buckstop: Buckstop, fresh: Fresh, loop: Orchestrator
) -> None:
    """README: «It ends in exactly one outcome»: an empty one at no cost would be another."""
    task = buckstop.submit(**FIELDS)
    settle(loop)
    hand = Hand(fresh.client, fresh.keys, "greet")
    hand.answer(hand.take()[0], Envelope.success({"said": "hello"}, 0.9), Amounts(7, 0, 1))
    settle(loop)
    newer = json.dumps({**FIELDS, "flavour": "new"})
    fresh.client.hset(fresh.keys.task(task.id), "request", newer)
    assert task.status().state is State.COMPLETED
    with pytest.raises(Refused, match=r"its record cannot be read here: .*flavour"):
        task.result()


def test_cancelling_stops_a_task_once(buckstop: Buckstop, loop: Orchestrator) -> None:
    """Cancellation: the owner stops; a task that has ended cannot be stopped again."""
    task = buckstop.submit(**FIELDS)
    settle(loop)
    assert task.status().state is State.WORKING
    assert task.cancel("changed my mind", by="ada")
    settle(loop)
    result = task.wait(WITHIN_S)
    assert (result.outcome, result.stop_reason) == (State.ABORTED, "cancelled")
    assert not task.cancel("again")


# --- decide --------------------------------------------------------------------------------------


def on_the_desk(buckstop: Buckstop, fresh: Fresh, result: JsonValue = None, **more: object) -> str:
    """Bring a task to the desk and return its letter."""
    task = buckstop.submit(**{**FIELDS, "at_cap": "escalate", **more})
    hand = Hand(fresh.client, fresh.keys, "greet")
    while not (jobs := hand.take()):
        time.sleep(0.01)
    answer = Envelope.failed("no idea")
    if result is not None:
        answer = Envelope.partial(result, 0.2, "not sure")
    hand.answer(jobs[0], answer, Amounts(7, 0, 1))
    for view in task.watch(timeout=WITHIN_S):
        if view.letter is not None:
            assert view.state is State.ON_DESK
            return view.letter
    raise AssertionError("it never came to the desk")


def test_the_first_decision_wins_and_a_later_one_is_told_whose_it_was(
    buckstop: Buckstop, fresh: Fresh, serving: None
) -> None:
    """A person has the last word: first decision wins."""
    letter = on_the_desk(buckstop, fresh)
    assert [each["id"] for each in buckstop.letters().items] == [letter]
    amend = Decision(letter=letter, verb=Verb.AMEND, by="ada", why="obvious", result={"said": "hi"})
    first = buckstop.decide(amend)
    assert first.first
    second = buckstop.decide(Decision(letter=letter, verb=Verb.ABORT, by="bob"))
    assert not second.first
    assert (second.verb, second.by, second.why) == ("amend", "ada", "obvious")
    result = buckstop.task(buckstop.letter(letter)["task"]).wait(WITHIN_S)
    assert (result.outcome, result.result) == (State.COMPLETED, {"said": "hi"})
    assert buckstop.letters() == Page([], None)


RETRY: dict[str, Any] = {"verb": Verb.RETRY, "budget": Amount(usd=Decimal("0.50")), "time": 90}


@pytest.mark.parametrize(
    ("said", "then"),
    [
        (
            {"verb": Verb.AMEND, "result": {"said": "hi", "of": [1.0, "\U0001f600", 10**20]}},
            {"verb": Verb.AMEND, "result": {"said": "hi", "of": [1.0, "\U0001f600", 10**20 + 1]}},
        ),
        (RETRY, {**RETRY, "time": 91}),
        (RETRY, {**RETRY, "budget": Amount(tokens=1)}),
    ],
)
def test_the_same_decision_sent_again_counted_and_another_one_by_the_same_name_did_not(
    buckstop: Buckstop, fresh: Fresh, serving: None, said: dict[str, Any], then: dict[str, Any]
) -> None:
    """First decision wins: what was decided is compared in full, and not by its verb."""
    letter = on_the_desk(buckstop, fresh)
    first, second, again = (
        buckstop.decide(Decision(letter=letter, by="ada", **each)) for each in (said, then, said)
    )
    assert (first.first, second.first, again.first) == (True, False, True)


def test_a_decision_that_makes_no_sense_is_refused_and_the_letter_stays(
    buckstop: Buckstop, fresh: Fresh, serving: None
) -> None:
    """To approve nothing is no decision; it must not take the letter off the desk."""
    letter = on_the_desk(buckstop, fresh)
    with pytest.raises(Refused, match=r"nothing is kept.*stays open"):
        buckstop.decide(Decision(letter=letter, verb=Verb.APPROVE, by="ada"))
    assert buckstop.letter(letter)["state"] == "open"
    assert buckstop.decide(Decision(letter=letter, verb=Verb.ABORT, by="ada")).first


def test_approving_delivers_what_was_kept(buckstop: Buckstop, fresh: Fresh, serving: None) -> None:
    """Paid work is kept: a person may deliver it though it is below the bar."""
    letter = on_the_desk(buckstop, fresh, result={"said": "h"})
    assert buckstop.decide(Decision(letter=letter, verb=Verb.APPROVE, by="ada")).first
    result = buckstop.task(buckstop.letter(letter)["task"]).wait(WITHIN_S)
    assert (result.outcome, result.kept["only"].result) == (State.PARTIAL, {"said": "h"})


def test_a_decision_nobody_acts_on_is_kept_and_said_so(
    buckstop: Buckstop, fresh: Fresh, loop: Orchestrator
) -> None:
    """Without an orchestrator the person is told, and the decision is there when one comes."""
    worker = in_background(lambda: serve_until_letter(fresh, loop))
    letter = on_the_desk(buckstop, fresh)
    worker.join()
    with pytest.raises(TimedOut, match="buckstop serve"):
        buckstop.decide(Decision(letter=letter, verb=Verb.ABORT, by="ada"), timeout=0.2)
    settle(loop)
    assert buckstop.letter(letter)["by"] == "ada"


def test_a_letter_whose_task_is_gone_is_said_to_be_nobodys(
    buckstop: Buckstop, fresh: Fresh, serving: None
) -> None:
    """Every message says what happened and what to do: no orchestrator is missing here."""
    letter = on_the_desk(buckstop, fresh)
    task = buckstop.letter(letter)["task"]
    fresh.client.delete(fresh.keys.task(task))
    with pytest.raises(NotFound, match=f"buckstop purge {task} --yes"):
        buckstop.decide(Decision(letter=letter, verb=Verb.ABORT, by="ada"))


def serve_until_letter(fresh: Fresh, loop: Orchestrator) -> None:
    while not fresh.client.exists(fresh.keys.letters):
        loop.turn(idle_ms_max=10)


def test_a_message_that_was_set_aside_is_decided_at_once_and_once(
    buckstop: Buckstop, fresh: Fresh
) -> None:
    """`replay` and `discard`: no task waits on it, so no orchestrator has to be there."""
    hand, queue = Hand(fresh.client, fresh.keys, "greet"), fresh.keys.queue("greet")
    letter = hand.claims.quarantine("shape", "undeliverable", queue, b"raw", "no body", None)
    assert buckstop.letter(letter)["allowed"] == ["replay", "discard"]
    with pytest.raises(Refused, match=r"no task waits on: replay\|discard"):
        buckstop.decide(Decision(letter=letter, verb=Verb.ABORT, by="ada"))
    first = buckstop.decide(Decision(letter=letter, verb=Verb.REPLAY, by="ada", why="mended"))
    second = buckstop.decide(Decision(letter=letter, verb=Verb.DISCARD, by="bob"))
    assert (first.first, second.first) == (True, False)
    assert (second.verb, second.by, second.why) == ("replay", "ada", "mended")
    assert fresh.client.lrange(queue, 0, -1) == [b"raw"]
    assert buckstop.letter(letter)["allowed"] == []


def test_half_a_message_is_said_to_be_only_good_to_be_let_go(
    buckstop: Buckstop, fresh: Fresh
) -> None:
    """Only what was kept to its last byte can be put back."""
    hand, queue = Hand(fresh.client, fresh.keys, "greet"), fresh.keys.queue("greet")
    raw = b"x" * (limits.LETTER_BYTES_MAX + 1)
    letter = hand.claims.quarantine("shape", "undeliverable", queue, raw, "no body", None)
    assert buckstop.letter(letter)["allowed"] == ["discard"]
    with pytest.raises(Refused, match="only the first"):
        buckstop.decide(Decision(letter=letter, verb=Verb.REPLAY, by="ada"))


def test_a_task_s_letter_is_no_message(buckstop: Buckstop, fresh: Fresh, serving: None) -> None:
    letter = on_the_desk(buckstop, fresh)
    with pytest.raises(Refused, match=r"a task waits on .* say amend\|retry\|reassign\|abort"):
        buckstop.decide(Decision(letter=letter, verb=Verb.REPLAY, by="ada"))
    assert buckstop.letter(letter)["state"] == "open"


def test_a_task_goes_on_with_the_agent_that_a_person_names(
    buckstop: Buckstop, fresh: Fresh, serving: None
) -> None:
    """`reassign`: and an agent that registered a moment ago is known."""
    letter = on_the_desk(buckstop, fresh)
    with pytest.raises(Refused, match="no worker runs deputy"):
        buckstop.decide(Decision(letter=letter, verb=Verb.REASSIGN, by="ada", agent="deputy"))
    deputy = Hand(fresh.client, fresh.keys, "deputy")
    decided = buckstop.decide(Decision(letter=letter, verb=Verb.REASSIGN, by="ada", agent="deputy"))
    assert decided.first
    while not (jobs := deputy.take()):
        time.sleep(0.01)
    deputy.answer(jobs[0], Envelope.success({"said": "hi"}, 0.9), Amounts(7, 0, 1))
    result = buckstop.task(buckstop.letter(letter)["task"]).wait(WITHIN_S)
    assert (result.outcome, result.result) == (State.COMPLETED, {"said": "hi"})


def test_a_letter_that_is_not_there_is_not_found(buckstop: Buckstop) -> None:
    """Helpful errors: what to do next."""
    with pytest.raises(NotFound, match="buckstop letters"):
        buckstop.letter("nothing")


# --- which server --------------------------------------------------------------------------------


def test_the_nearest_thing_named_wins(tmp_path: Path, fresh: Fresh) -> None:
    """With no server given, find the one `up` started; BUCKSTOP_URL and --url win."""
    below = tmp_path / "below"
    below.mkdir()
    with pytest.raises(SettingsError, match="buckstop up"):
        Settings.read({}, below)
    with EmbeddedServer(tmp_path / DIRECTORY) as ours:
        assert Settings.read({}, below).url == ours.url
        environ = {"BUCKSTOP_URL": "redis://named:1/0"}
        assert Settings.read(environ, below).url == "redis://named:1/0"
        assert Settings.read(environ, below, "redis://given:1/0").url == "redis://given:1/0"
    with pytest.raises(SettingsError, match="BUCKSTOP_URL must be a URL"):
        Settings.read({"BUCKSTOP_URL": "localhost"}, below)


def test_watching_a_wide_task_reads_it_seldom() -> None:
    """No polling faster than needed: a burst of announcements is read once."""
    assert following.REREAD_S >= 1.0
    burst = [b"line"] * 100

    class Burst:
        def get(self, timeout_s: float) -> bytes | None:
            if burst:
                return burst.pop()
            time.sleep(timeout_s)
            return None

    following.gather(Burst())  # type: ignore[arg-type]
    assert burst == []


def test_intake_reads_what_it_wrote() -> None:
    """A stored request is read back as the same request."""
    made = intake.submission(FIELDS)
    again = intake.read(made.request)
    assert again == intake.read(FIELDS)
