"""Dead letters: what each tells, that the queue tells of each, and that none stays where it is not.

Both stores; what Celery makes of the queue is shown on the real one.
"""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from queue import SimpleQueue
from random import Random
from typing import Any

import pytest
from celery import Celery
from celery.contrib.testing.worker import start_worker
from play import Play, bad, beg, commands, good, part, step

from envelopes import limits
from envelopes.decision import Verb
from envelopes.keys import Keys
from envelopes.letter import Facet, LetterKind
from orchestrator.core.commands import Escalate, Note
from orchestrator.store import LetterClosed, LetterFiled, MessageDecision, MessageSettled
from orchestrator.store.indexes import TOO_LATE
from orchestrator.wanted import Place, Wanted
from tests.conftest import Fresh
from tests.until import PATIENCE_S
from tests.worlds import (
    KINDS,
    RealWorld,
    World,
    commit,
    make,
    on_desk,
    once,
    refuses,
    running,
    settled,
    submission,
)

# --- what a letter tells -------------------------------------------------------------------------


def letter_of(play: Play) -> Escalate:
    [letter] = commands(play.last, Escalate)
    return letter


def test_a_letter_says_whom_it_is_about_and_which_rule_led_to_it() -> None:
    """The issue: "kind, reason, task, agent, hop"."""
    play = Play(plan=[step("a"), step("b", "a", agent="writer")], at_cap="escalate")
    play.wake()
    play.answer(1, good())
    play.answer(2, bad("no ink"))
    letter = letter_of(play)
    assert (letter.kind, letter.reason) == (LetterKind.ESCALATION, "no_plan_left")
    assert (letter.agent, letter.step, letter.hop) == ("writer", "b", 2)


def test_a_question_is_about_the_agent_that_asks() -> None:
    """Two agents were at work; one has failed by then, the other waits for an answer."""
    play = Play(plan=[step("a"), step("b")])
    play.wake()
    play.answer(2, beg("question", text="which?"))
    play.answer(1, good())
    letter = letter_of(play)
    assert (letter.kind, letter.reason, letter.agent) == (LetterKind.QUESTION, "question", "b")


def test_a_result_below_the_bar_is_about_whoever_was_heard_last() -> None:
    play = Play(plan=[step("a"), step("b", "a")])
    play.wake()
    play.answer(1, good())
    play.answer(2, good("meh", 0.4))
    assert (letter_of(play).agent, letter_of(play).step) == ("b", "b")


def test_a_letter_about_nobody_is_possible() -> None:
    """A deadline can pass before anybody has said a word."""
    play = Play(timeout=60, at_cap="escalate")
    play.admitted = False
    play.wake(after_ms=60_000)
    assert (letter_of(play).agent, letter_of(play).step, letter_of(play).hop) == ("", "", 0)


def test_a_letter_tells_the_trail_of_envelopes_with_confidence() -> None:
    """The issue: "what was kept, the trail of envelopes with confidence, allowed decisions"."""
    play = Play(plan=[step("a", fallbacks=["c"])], desk_default="approve")
    play.wake()
    play.answer(1, part("half", 0.5, reason="x" * 300))
    play.answer(2, bad("no luck"))
    told = json.loads(letter_of(play).story)
    first, second = told["trail"]
    assert (first["agent"], first["status"], first["confidence"]) == ("a", "partial", 0.5)
    assert first["reason"] == "x" * limits.RECEIVED_CHARS_MAX + "…"
    assert second == {
        "step": "a", "agent": "c", "hop": 2, "status": "failed", "confidence": None,
        "reason": "no luck",
    }  # fmt: skip
    assert (told["kept"], told["if_nobody_decides"]) == ("half", "approve")


def test_only_the_last_envelopes_are_told() -> None:
    """Everything on the page is bounded; the journal has all of it."""
    names = [f"s{number}" for number in range(limits.RECEIVED_MAX + 5)]
    play = Play(plan=[*(step(name) for name in names), step("last", *names)], at_cap="escalate")
    play.wake()
    for number, name in enumerate(names, 1):
        play.answer(number, good(name))
    play.answer(len(names) + 1, bad())
    told = json.loads(letter_of(play).story)
    assert [each["step"] for each in told["trail"]] == [*names[6:], "last"]


def test_a_letter_never_says_that_nobody_approves_nothing() -> None:
    """At the due time the default applies, as far as there is something to apply it to."""
    play = Play(desk_default="approve")
    play.wake()
    play.answer(1, bad())
    assert json.loads(letter_of(play).story)["if_nobody_decides"] == "abort"


# --- the queue that tells of them ----------------------------------------------------------------


def filed(letter: str, why: str = "hop cap", **about: Any) -> LetterFiled:
    facts = {"reason": "hop_cap", "agent": "a", "step": "only", "hop": 3}
    return LetterFiled(letter, "escalation", why, 4_000_000_000_000, b"{}", **(facts | about))


def escalate(world: World, letter: str = "t1.1", **about: Any) -> None:
    world.store.submit(submission(task := letter.partition(".")[0]))
    assert world.store.commit([commit(1, f"op-{letter}", task, letter=filed(letter, **about))])


@pytest.fixture
def real(fresh: Fresh) -> RealWorld:
    return RealWorld(fresh)


def drained(world: RealWorld, count: int) -> list[tuple[str, dict[str, str]]]:
    """Take messages off the queue with a stock Celery worker that knows nothing of us."""
    app = Celery(broker=world.url, set_as_current=False)
    app.conf.update(task_default_queue=world.keys.dead_letters, worker_hijack_root_logger=False)
    heard: SimpleQueue[tuple[str, dict[str, str]]] = SimpleQueue()

    @app.task(name="buckstop.dead_letter", bind=True)
    def dead_letter(self: Any, **said: str) -> None:
        heard.put((self.request.id, said))

    quiet = {"perform_ping_check": False, "loglevel": "ERROR", "shutdown_timeout": PATIENCE_S}
    with start_worker(app, pool="solo", **quiet):
        return [heard.get(timeout=PATIENCE_S) for _ in range(count)]


def test_a_stock_consumer_drains_the_queue_and_the_desk_stays_as_it_was(real: RealWorld) -> None:
    """The issue: "a real queue that a consumer can drain and Flower can count"."""
    hostile = 'a "quoted" \\ line\nand another \x00 \x7f é 漢 😀'
    escalate(real, why=hostile)
    real.pass_time(1)
    real.push(real.keys.queue("a"), b"\xff garbage")
    real.worker("w").fetch([real.keys.queue("a")], 1)
    assert real.client.llen(real.keys.dead_letters) == 2
    (first, said), (second, unread) = drained(real, 2)
    assert said == {
        "letter": "t1.1", "kind": "escalation", "reason": "hop_cap", "why": hostile
    }  # fmt: skip
    assert (first, unread["kind"], unread["reason"]) == ("t1.1", "undeliverable", "unread")
    assert real.client.llen(real.keys.dead_letters) == 0
    assert on_desk(real.store) == [second, first]


@pytest.mark.parametrize("letters", ["x", "é", "漢", "😀"])
def test_a_long_why_is_cut_between_two_letters(real: RealWorld, letters: str) -> None:
    """Text only: what a consumer reads is always text."""
    escalate(real, why=letters * limits.DEAD_LETTER_WHY_BYTES)
    [raw] = real.client.lrange(real.keys.dead_letters, 0, -1)
    _, said, _ = json.loads(json.loads(raw)["body"])
    assert set(said["why"]) == set(letters)
    assert len(said["why"].encode()) > limits.DEAD_LETTER_WHY_BYTES - 8
    assert len(said["why"].encode()) <= limits.DEAD_LETTER_WHY_BYTES


def test_a_queue_that_nobody_drains_is_bounded(
    fresh: Fresh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Limits on everything; the newest stay."""
    monkeypatch.setattr(limits, "DEAD_LETTERS_MAX", 2)
    real = RealWorld(Fresh(fresh.url, fresh.client, Keys(f"{fresh.keys.prefix}bounded:")))
    for number in range(4):
        escalate(real, f"t{number}.1")
    ids = [json.loads(raw)["headers"]["id"] for raw in real.client.lrange(
        real.keys.dead_letters, 0, -1)]  # fmt: skip
    assert ids == ["t3.1", "t2.1"]
    assert len(on_desk(real.store)) == 4


# --- what is closed is nowhere -------------------------------------------------------------------


def about_letters(real: RealWorld) -> set[bytes]:
    prefix = real.keys.prefix
    return {
        key for key in real.client.scan_iter(f"{prefix}letter*")
        if not key.startswith(f"{prefix}letter:".encode())
    }  # fmt: skip


def test_no_index_knows_a_letter_that_is_decided(real: RealWorld) -> None:
    """An index that forgets nothing fills the server; one that forgets too much hides letters."""
    escalate(real)
    # all, facets, due time; index and values of each; each two
    assert len(about_letters(real)) == 17
    closed = LetterClosed("t1.1", "abort", "ann", "")
    assert real.store.commit([commit(2, "close", letter_closed=closed)])
    assert about_letters(real) == set()


def test_a_message_moves_to_its_own_kind_once_the_gate_has_said_it(real: RealWorld) -> None:
    """FETCH files it before anybody has looked, QUARANTINE says what it is: still one letter."""
    queue = real.keys.queue("a")
    real.push(queue, b"garbage")
    _, [fetched] = real.worker("w").fetch([queue], 1)
    unread = real.keys.letters_by("reason:unread")
    assert real.client.zcard(unread) == 1
    said: Callable[[], str] = lambda: real.worker("w").quarantine(  # noqa: E731 -- said twice
        "undecodable", "undeliverable", queue, b"garbage", "not JSON", None, fetched.letter
    )
    assert {said(), said()} == {fetched.letter}
    assert real.client.exists(unread) == 0
    assert real.client.smembers(real.keys.letter_values("reason")) == {b"undecodable"}
    assert real.client.zcard(real.keys.letters_by("kind:undeliverable")) == 1
    assert real.client.llen(real.keys.dead_letters) == 1


# --- found by what they are about ----------------------------------------------------------------


@pytest.fixture(params=KINDS)
def world(request: pytest.FixtureRequest) -> World:
    return make(request)


def desk(world: World) -> dict[str, tuple[str, str, str]]:
    """File thirty letters, a minute apart; return what each is about, the newest first."""
    random, about = Random(7), dict[str, tuple[str, str, str]]()
    for number in range(30):
        letter, tenant = f"t{number}.1", random.choice(["default", "acme"])
        reason, agent = random.choice(["hop_cap", "budget", "gate"]), random.choice(["a", "b"])
        world.store.submit(submission(letter.partition(".")[0], tenant=tenant))
        letter_filed = filed(letter, reason=reason, agent=agent)
        world.store.commit([commit(1, f"op{number}", f"t{number}", letter=letter_filed)])
        about[letter] = (reason, agent, tenant)
        world.pass_time(60_000)
    return dict(reversed(about.items()))


def read_in_pieces(world: World, wanted: Wanted, count: int) -> list[str]:
    """Read the whole list page by page, each from where the one before it ended."""
    pieces, before = list[Place](), None
    while piece := world.store.find_letters(wanted, count, before):
        pieces, before = pieces + piece, piece[-1]
    return [each.id for each in pieces]


@pytest.mark.parametrize("reason", [None, "hop_cap", "nothing"])
@pytest.mark.parametrize("agent", [None, "b"])
@pytest.mark.parametrize("tenant", [None, "acme"])
def test_letters_are_found_by_any_facets(
    world: World, reason: str | None, agent: str | None, tenant: str | None
) -> None:
    """The issue: "filter by kind, agent, tenant, age, reason; grouped by reason"."""
    about = desk(world)
    wanted = Wanted(reason=reason, agent=agent, tenant=tenant)
    said = (reason, agent, tenant)
    fit = [
        letter
        for letter, is_about in about.items()
        if all(one in (None, it) for one, it in zip(said, is_about, strict=True))
    ]
    assert on_desk(world.store, wanted) == fit
    assert read_in_pieces(world, wanted, 3) == fit
    assert world.store.find_letters(wanted, 0) == []
    assert world.store.count_letters(wanted) == len(fit)
    for place, facet in enumerate((Facet.REASON, Facet.AGENT, Facet.TENANT)):
        counted = Counter(about[letter][place] for letter in fit)
        grouped = world.store.group_letters(facet, wanted)
        assert grouped == counted
        assert list(grouped.values()) == sorted(counted.values(), reverse=True)


@pytest.mark.parametrize("agent", [None, "a"])
@pytest.mark.parametrize("tenant", [None, "acme"])
def test_letters_are_found_by_how_long_they_have_waited(
    world: World, agent: str | None, tenant: str | None
) -> None:
    """Age: the oldest are what nobody has looked at."""
    about = desk(world)
    every = Wanted(agent=agent, tenant=tenant)
    old = replace(every, least_age_ms=20 * 60_000 + 30_000)
    older = set(list(about)[20:])
    fit = [letter for letter in on_desk(world.store, every) if letter in older]
    assert on_desk(world.store, old) == fit
    assert read_in_pieces(world, old, 2) == fit
    assert world.store.count_letters(old) == len(fit)
    assert world.store.group_letters(Facet.KIND, old) == {"escalation": len(fit)}
    never = replace(every, least_age_ms=10**14)
    assert on_desk(world.store, never) == []
    assert world.store.group_letters(Facet.KIND, never) == {}


def test_a_decided_letter_is_found_no_more(world: World) -> None:
    escalate(world, "t1.1")
    escalate(world, "t2.1")
    closed = LetterClosed("t1.1", "abort", "ann", "")
    assert world.store.commit([commit(2, "close", letter_closed=closed)])
    wanted = Wanted(kind="escalation", agent="a")
    assert on_desk(world.store, wanted) == ["t2.1"]
    assert world.store.group_letters(Facet.KIND) == {"escalation": 1}


def test_a_walk_of_many_letters_goes_on_where_one_look_ends(
    fresh: Fresh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Indexes are read a bounded piece at a time; none is skipped between two pieces."""
    monkeypatch.setattr(limits, "LUA_ARGS_MAX", 4)
    real = RealWorld(Fresh(fresh.url, fresh.client, Keys(f"{fresh.keys.prefix}pieces:")))
    about = desk(real)
    wanted = Wanted(kind="escalation", reason="hop_cap", agent="a")
    fit = [letter for letter, (*said, _) in about.items() if said == ["hop_cap", "a"]]
    assert on_desk(real.store, wanted) == fit
    assert real.store.count_letters(wanted) == len(fit)


def test_a_stranger_s_text_cannot_pass_for_another_facet(world: World) -> None:
    """A facet is one line of what the walk compares; a text with a line break in it is one too."""
    queue = world.keys.queue("a")
    worker = world.worker("w")
    worker.quarantine("x\nagent=b|kind:poison", "undeliverable", queue, b"raw", "why", None)
    worker.quarantine("y", "undeliverable", queue, b"raw", "why", None)
    assert world.store.count_letters(Wanted(kind="undeliverable", agent="b")) == 0
    assert world.store.count_letters(Wanted(kind="undeliverable", agent="a")) == 2
    assert world.store.group_letters(Facet.REASON) == {"x agent=b kind:poison": 1, "y": 1}


# --- messages that were set aside ----------------------------------------------------------------


def set_aside(world: World, raw: bytes, tenant: str = "default") -> str:
    """Let a worker set a message aside, and return its letter."""
    queue = world.keys.queue("a", tenant)
    return world.worker("w").quarantine("shape", "undeliverable", queue, raw, "no body", None)


def say(world: World, verb: Any, letter: str, by: str = "ann", op: str = "op") -> Any:
    return world.store.settle_message(MessageDecision(letter, verb, by, "because"), op)


@pytest.mark.parametrize("tenant", ["default", "acme"])
def test_a_replayed_message_is_on_its_queue_again_byte_for_byte_and_once(
    world: World, tenant: str
) -> None:
    """`replay`: the original bytes, to where they came from; a lost reply makes no second one."""
    raw = bytes(range(256))
    letter = set_aside(world, raw, tenant)
    settled = once(world, lambda: say(world, "replay", letter))
    assert settled == MessageSettled("replay", "ann", "because", settled.decided_ms, ours=True)
    assert world.strokes(world.keys.queue_bell(world.keys.queue("a"))) == 1
    assert world.store.queue_depth("a") == 1
    _, [again] = world.worker("w").fetch([world.keys.queue("a")], 9)
    assert (again.raw, again.queue) == (raw, world.keys.queue("a", tenant))
    kept = world.store.letter(letter) or {}
    assert (kept["state"], kept["verb"], kept["by"]) == (b"decided", b"replay", b"ann")
    assert (kept["decided_why"], kept["bytes"]) == (b"because", raw)
    assert on_desk(world.store, Wanted(reason="shape")) == []
    assert world.store.stats()["messages_replayed"] == 1


def test_the_first_word_on_a_message_wins_and_the_second_is_told_whose_it_was(
    world: World,
) -> None:
    """The issue: "First one wins atomically, the second gets told who was first"."""
    letter = set_aside(world, b"raw")
    first = say(world, "discard", letter, op="one")
    world.pass_time(1_000)
    before = world.snapshot()
    second = say(world, "replay", letter, by="bob", op="two")
    assert second == replace(first, ours=False)
    assert world.snapshot() == before
    assert world.store.queue_depth("a") == 0
    assert world.store.stats()["messages_discarded"] == 1


def test_half_a_message_is_never_replayed(world: World) -> None:
    """Only where all bytes were kept; it can still be let go."""
    letter = set_aside(world, b"x" * (limits.LETTER_BYTES_MAX + 1))
    refuses(world, lambda: say(world, "replay", letter))
    assert say(world, "discard", letter).ours


def test_a_message_from_nowhere_of_ours_is_not_replayed(world: World) -> None:
    """A letter must be no way to write onto any key there is."""
    letter = world.worker("w").quarantine("shape", "undeliverable", "tasks", b"raw", "why", None)
    refuses(world, lambda: say(world, "replay", letter))


def test_what_is_said_of_messages_is_refused_of_a_task_s_letter(world: World) -> None:
    escalate(world)
    refuses(world, lambda: say(world, "discard", "t1.1"))
    refuses(world, lambda: say(world, "approve", "t1.1"))
    assert say(world, "discard", "nobody's") is None


# --- nobody has decided it by its due time -------------------------------------------------------


def test_a_message_letter_says_when_it_is_let_go(world: World) -> None:
    """The issue: every letter tells "due time and what happens then"."""
    letter = set_aside(world, b"raw")
    kept = world.store.letter(letter) or {}
    assert int(kept["due_ms"]) - int(kept["filed_ms"]) == limits.MESSAGE_LETTER_MS


def test_a_message_that_nobody_decides_is_discarded_at_its_due_time(world: World) -> None:
    """The issue: "at the due time the declared default applies and is recorded"."""
    letter = set_aside(world, b"raw")
    world.pass_time(limits.MESSAGE_LETTER_MS - 1_000)
    late = set_aside(world, b"late")
    assert world.store.discard_due() == 0
    world.pass_time(1_000)
    assert once(world, world.store.discard_due) in {0, 1}  # the lost reply had done it
    kept = world.store.letter(letter) or {}
    assert (kept["state"], kept["verb"], kept["by"]) == (b"decided", b"discard", b"default")
    assert (kept["decided_why"], kept["bytes"]) == (TOO_LATE.encode(), b"raw")
    assert on_desk(world.store) == [late]
    stats = world.store.stats()
    assert (stats["messages_discarded"], stats["messages_defaulted"]) == (1, 1)
    assert say(world, "replay", letter) == MessageSettled(
        "discard", "default", TOO_LATE, int(kept["decided_ms"]), ours=False
    )


def test_a_task_s_letter_and_a_decided_one_are_nobody_s_to_discard(world: World) -> None:
    """A task's own owner applies its default; what a person has said stays said."""
    escalate(world)
    say(world, "replay", set_aside(world, b"raw"))
    world.pass_time(limits.MESSAGE_LETTER_MS)
    assert world.store.discard_due() == 0
    assert on_desk(world.store) == ["t1.1"]


def test_a_refiled_letter_keeps_its_due_time(world: World) -> None:
    """FETCH files it; that QUARANTINE says later what it is gives nobody more time."""
    queue = world.keys.queue("a")
    world.push(queue, b"garbage")
    _, [fetched] = world.worker("w").fetch([queue], 1)
    before = (world.store.letter(fetched.letter) or {})["due_ms"]
    world.pass_time(5_000)
    worker = world.worker("w")
    worker.quarantine("shape", "undeliverable", queue, b"garbage", "", None, fetched.letter)
    assert (world.store.letter(fetched.letter) or {})["due_ms"] == before
    world.pass_time(limits.MESSAGE_LETTER_MS - 5_000)
    assert world.store.discard_due() == 1


def test_one_look_lets_go_a_bounded_number_of_messages(
    fresh: Fresh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Limits on everything; the oldest go first."""
    monkeypatch.setattr(limits, "DISCARD_MAX", 2)
    real = RealWorld(Fresh(fresh.url, fresh.client, Keys(f"{fresh.keys.prefix}few:")))
    letters = []
    for number in range(5):
        letters.append(set_aside(real, b"%d" % number))
        real.pass_time(10)
    real.pass_time(limits.MESSAGE_LETTER_MS)
    assert real.store.discard_due() == 2
    assert on_desk(real.store) == letters[:1:-1]
    assert [real.store.discard_due() for _ in range(3)] == [2, 1, 0]
    assert not real.client.exists(real.keys.discards)


# --- what was decided of a message is in its task's journal --------------------------------------


def set_aside_of_a_task(world: World) -> str:
    """Let a worker refuse a message whose claim it holds: the letter names the task."""
    worker, token = running(world)
    queue = world.keys.queue("a")
    return worker.quarantine("shape", "undeliverable", queue, b"raw", "no body", ("t1/1", token))


@pytest.mark.parametrize("verb", ["replay", "discard"])
def test_what_is_decided_of_a_message_is_in_its_task_s_journal_once(
    world: World, verb: str
) -> None:
    """The issue: "Every decision is in the task's journal for good"."""
    letter = set_aside_of_a_task(world)
    books = {"spent": {"tokens": 7, "usd_micros": 0, "calls": 1}, "reserved": {"tokens": 9}}
    said = json.dumps({"why": "x", "text": '"spent":{', **books}, separators=(",", ":"))
    world.store.commit([commit(2, "noted", journal=(said.encode(),))])
    once(world, lambda: say(world, verb, letter))
    _, line = map(json.loads, world.store.journal("t1"))
    assert line.keys() == set(Note.__struct_fields__)
    text = f"{verb} by ann of the message in letter {letter}: because"
    assert (line["why"], line["text"]) == (f"message_{verb}", text)
    assert {name: line[name] for name in books} == books
    assert line["at_ms"] == int((world.store.letter(letter) or {})["decided_ms"])
    assert line["step"] is line["status"] is None


def test_a_decision_without_a_why_is_a_whole_sentence(world: World) -> None:
    letter = set_aside_of_a_task(world)
    world.store.settle_message(MessageDecision(letter, Verb.DISCARD, "ann", ""), "op")
    [line] = map(json.loads, world.store.journal("t1"))
    assert line["text"] == f"discard by ann of the message in letter {letter}"


def test_the_default_is_in_the_journal_too(world: World) -> None:
    letter = set_aside_of_a_task(world)
    world.pass_time(limits.MESSAGE_LETTER_MS)
    world.store.discard_due()
    [line] = map(json.loads, world.store.journal("t1"))
    text = f"discard by default of the message in letter {letter}: {TOO_LATE}"
    assert (line["why"], line["text"]) == ("message_discard", text)
    assert line["spent"] == {"tokens": 0, "usd_micros": 0, "calls": 0}


def test_a_line_in_the_journal_of_a_finished_task_goes_with_it(real: RealWorld) -> None:
    """A record that outlives its task would never be forgotten."""
    letter = set_aside_of_a_task(real)
    real.store.look("t1", [], [1])
    ended = commit(2, "end", settled=settled(1), outcome="aborted")
    assert real.store.commit([ended]) == [True]
    assert not real.client.exists(real.keys.journal("t1"))
    say(real, "discard", letter)
    record, journal = real.keys.task("t1"), real.keys.journal("t1")
    assert real.client.pexpiretime(journal) == real.client.pexpiretime(record) > 0


def test_a_journal_is_not_begun_for_a_task_that_is_no_more(world: World) -> None:
    """What strangers write into a message is no task of ours."""
    letter = world.worker("w").quarantine(
        "shape", "undeliverable", world.keys.queue("a"), b"raw", "", ("nobody/1", "token")
    )
    assert say(world, "discard", letter).ours
    assert world.store.journal("nobody") == []
