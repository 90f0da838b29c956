"""The door: what comes from any Celery client is a task, once, or a letter that says why not."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from celery import Celery
from click.testing import CliRunner
from redis import Redis

from envelopes import limits
from envelopes.decision import Decision, Verb
from envelopes.keys import Keys
from envelopes.letter import LetterKind
from envelopes.scripts import _assembled, _words
from orchestrator import checks
from orchestrator.cli.door import broker
from orchestrator.client import Buckstop
from orchestrator.door.broker import Broker, celerys
from orchestrator.door.door import Door, Settled
from orchestrator.door.judge import judge
from orchestrator.door.porter import Fitness, Porter
from orchestrator.settings import Settings
from orchestrator.store import MessageDecision
from tests.acl import as_user
from tests.conftest import Fresh
from tests.door import ASKED, FUTURE, MALFORMED, PAST, edited, sent
from tests.until import PATIENCE_S
from tests.worlds import KINDS, World, make


@pytest.fixture
def buckstop(fresh: Fresh):
    with Buckstop(settings=Settings(fresh.url, "the test", fresh.keys.prefix)) as connected:
        yield connected


@pytest.fixture
def porter(fresh: Fresh) -> Porter:
    return Porter(Door(fresh.client, fresh.keys), lambda: None)


def put(fresh: Fresh, *messages: bytes) -> None:
    for raw in messages:
        fresh.client.lpush(fresh.keys.submissions, raw)


def lying(fresh: Fresh) -> int:
    return sum(int(fresh.client.llen(name)) for name in fresh.keys.submission_lists)


def only(buckstop: Buckstop) -> dict[str, Any]:
    """Return the one letter there is."""
    [letter] = buckstop.letters().items
    return letter


# --- accepted, once ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(sent(), id="protocol-2"),
        pytest.param(sent(conf={"task_protocol": 1}), id="protocol-1"),
        pytest.param(sent(priority=0), id="without-priority"),
        pytest.param(sent(expires=FUTURE), id="in-time"),
        pytest.param(sent(ignore_result=True), id="without-an-answer"),
        pytest.param(edited(lambda m: m.update({"content-encoding": None})), id="no-encoding"),
        pytest.param(
            edited(lambda m: m["properties"].pop("body_encoding") and m.update(
                body=json.dumps([[], ASKED, {}]))), id="plain-body"
        ),
    ],
)  # fmt: skip
def test_what_any_celery_client_sends_becomes_a_task(
    fresh: Fresh, porter: Porter, buckstop: Buckstop, raw: bytes
) -> None:
    """The issue: "any Celery client, with no Buckstop code installed"."""
    put(fresh, raw)
    [settled] = porter.turn(0)
    assert settled.created
    assert buckstop.task(settled.task).status().goal == "otters"
    assert (lying(fresh), buckstop.letters().items) == (0, [])


def test_a_task_from_the_door_is_due_at_once_and_rings(
    fresh: Fresh, porter: Porter, buckstop: Buckstop
) -> None:
    """It is accepted by the very text that accepts every other one."""
    put(fresh, sent())
    [settled] = porter.turn(0)
    assert buckstop.store.wait(0)
    assert buckstop.store.claim(1).task_ids == [settled.task]
    stats = buckstop.store.stats()
    assert (stats["submitted"], stats["door_accepted"]) == (1, 1)


def test_a_client_can_name_the_queue_once(fresh: Fresh, porter: Porter) -> None:
    """docs/how-to/celery.md: `task_routes` sends it there without a queue at each call."""
    routes = {"buckstop.*": {"queue": "buckstop:submit"}}
    raw = sent(conf={"task_routes": routes}, queue=None)
    assert json.loads(raw)["properties"]["delivery_info"]["routing_key"] == "buckstop:submit"
    put(fresh, raw)
    assert porter.turn(0)[0].created


def test_a_message_that_is_sent_twice_is_one_task(
    fresh: Fresh, porter: Porter, buckstop: Buckstop
) -> None:
    """Celery's id is the idempotency key where the request brings none."""
    first = sent(task_id="once")
    again = edited(lambda m: m["properties"].update(delivery_tag="another"), first)
    put(fresh, first, first, again)
    settled = porter.turn(0)
    assert [one.created for one in settled] == [True, False, False]
    assert len({one.task for one in settled}) == 1
    assert len(buckstop.tasks().items) == 1
    assert lying(fresh) == 0


def test_a_key_in_the_request_holds_for_all_ways_in(
    fresh: Fresh, porter: Porter, buckstop: Buckstop
) -> None:
    """Submitting twice with the same key is submitting once."""
    known = buckstop.submit(ASKED, idempotency_key="order-17")
    put(fresh, sent({**ASKED, "idempotency_key": "order-17"}))
    [settled] = porter.turn(0)
    assert settled == Settled(task=known.id, created=False)


def test_nobody_takes_a_key_of_others_by_choosing_celerys_id(
    fresh: Fresh, porter: Porter, buckstop: Buckstop
) -> None:
    buckstop.submit(ASKED, idempotency_key="order-17")
    put(fresh, sent(task_id="order-17"))
    assert porter.turn(0)[0].created


def test_a_priority_hides_no_message(fresh: Fresh, porter: Porter, buckstop: Buckstop) -> None:
    """No message disappears silently: Celery sorts by priority into lists of other names."""
    app = Celery("somebody", broker=fresh.url, set_as_current=False)
    for priority in (0, 3, 5, 9):
        queue = fresh.keys.submissions
        app.send_task("buckstop.submit", kwargs=ASKED, queue=queue, priority=priority)
    assert buckstop.store.submissions() == (fresh.keys.submissions, 4)
    assert len(porter.turn(0)) == 4
    assert lying(fresh) == 0


def test_the_trace_of_a_message_goes_on(fresh: Fresh, porter: Porter, buckstop: Buckstop) -> None:
    """W3C context in the headers, as instrumented clients write it; an own one wins."""
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    own = {**ASKED, "traceparent": f"00-{'c' * 32}-{'d' * 16}-01"}
    put(fresh, sent(headers={"traceparent": trace}), sent(headers={"traceparent": "x"}))
    put(fresh, sent(own, headers={"traceparent": trace}))
    asked = [
        json.loads(buckstop.store.task(one.task)[b"request".decode()]) for one in porter.turn(0)
    ]
    assert [one["traceparent"] for one in asked] == [trace, None, own["traceparent"]]


# --- refused, with the reason --------------------------------------------------------------------


@pytest.mark.parametrize("what", MALFORMED)
def test_what_is_no_request_becomes_a_letter_that_says_why(
    fresh: Fresh, porter: Porter, buckstop: Buckstop, what: str
) -> None:
    """The issue: "malformed ones become letters that say what was wrong"."""
    raw, reason, why = MALFORMED[what]
    put(fresh, raw, sent())
    refused, good = porter.turn(0)
    letter = only(buckstop)
    assert letter["id"] == refused.letter
    assert letter["reason"] == reason
    assert why in letter["why"]
    assert letter["bytes"].encode("utf-8", "surrogateescape")[:100] == raw[:100] or b"\xff" in raw
    assert (letter["queue"], letter["size"]) == (fresh.keys.submissions, len(raw))
    assert (good.created, len(buckstop.tasks().items), lying(fresh)) == (True, 1, 0)


def test_every_wrong_field_is_named(fresh: Fresh, porter: Porter, buckstop: Buckstop) -> None:
    """Nobody is there to ask again, so a letter names all faults, up to a number."""
    put(fresh, sent({"goal": 1, "agent": "a b", "timeout": "soon", "until": {"kind": "x"}}))
    porter.turn(0)
    why = only(buckstop)["why"]
    assert all(f"{field}: " in why for field in ("goal", "agent", "timeout", "until", "budget"))
    put(fresh, sent({f"field_{n}": 1 for n in range(20)}))
    porter.turn(0)
    assert "and 16 more" in buckstop.letters(1).items[0]["why"]


def test_the_letter_of_an_expired_message_is_of_that_kind(
    fresh: Fresh, porter: Porter, buckstop: Buckstop
) -> None:
    put(fresh, sent(expires=PAST))
    porter.turn(0)
    assert only(buckstop)["kind"] == LetterKind.EXPIRED


def test_a_message_too_large_to_carry_is_set_aside_unread(
    fresh: Fresh, porter: Porter, buckstop: Buckstop
) -> None:
    """Fault matrix: «oversize: refused»; it never reaches an orchestrator's memory."""
    large = sent({**ASKED, "input": "x" * limits.MESSAGE_BYTES_MAX})
    put(fresh, large, large, sent())
    [good] = porter.turn(0)
    assert good.created
    letters = buckstop.letters().items
    assert [one["kind"] for one in letters] == [LetterKind.OVERSIZE] * 2
    assert {one["size"] for one in letters} == {len(large)}
    assert lying(fresh) == 0


def test_a_message_that_we_cannot_judge_does_not_block_the_door(
    fresh: Fresh, porter: Porter, buckstop: Buckstop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our bug is a letter too: what it is about is kept, and what comes behind it goes on."""
    monkeypatch.setattr(
        "orchestrator.door.porter.judge",
        lambda raw, now_ms: judge(raw, now_ms) if b"good" in raw else 1 // 0,
    )
    put(fresh, sent(task_id="bad"), sent(task_id="good"))
    _, good = porter.turn(0)
    assert good.created
    assert "could not be judged: ZeroDivisionError" in only(buckstop)["why"]


# --- decided -------------------------------------------------------------------------------------


def test_a_person_puts_a_message_back_or_lets_it_go(
    fresh: Fresh, porter: Porter, buckstop: Buckstop
) -> None:
    """`replay` puts its bytes back on the queue as they were, `discard` lets go."""
    raw = sent(name="shop.pay")
    put(fresh, raw)
    porter.turn(0)
    first = only(buckstop)["id"]
    assert buckstop.decide(Decision(letter=first, verb=Verb.REPLAY, by="ann")).first
    assert fresh.client.lrange(fresh.keys.submissions, 0, -1) == [raw]
    porter.turn(0)
    again = only(buckstop)["id"]
    assert again != first
    buckstop.decide(Decision(letter=again, verb=Verb.DISCARD, by="ann"))
    assert (buckstop.letters().items, lying(fresh)) == ([], 0)


def test_what_waited_for_a_repair_is_accepted_when_it_is_put_back(
    fresh: Fresh, porter: Porter, buckstop: Buckstop, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(fresh, sent(name="buckstop.submit.v2"))
    porter.turn(0)
    letter = only(buckstop)["id"]
    monkeypatch.setattr("orchestrator.door.message.TASK", "buckstop.submit.v2")
    buckstop.decide(Decision(letter=letter, verb=Verb.REPLAY, by="ann"))
    assert porter.turn(0)[0].created


@pytest.fixture(params=KINDS)
def world(request: pytest.FixtureRequest) -> World:
    return make(request)


def test_a_replay_at_the_door_opens_no_lane_in_either_store(world: World) -> None:
    """The simulated store and the real one keep the same contract."""
    queue, hand = world.keys.submissions, world.worker("w")
    letter = hand.quarantine("request", "undeliverable", queue, b"raw", "why", None)
    said = MessageDecision(letter, Verb.REPLAY, "ann", "")
    assert world.store.settle_message(said, "op1").ours
    assert world.strokes(world.keys.queue_bell(queue)) == 0
    assert world.store.stats()["messages_replayed_bytes"] == 3


# --- while new work is refused -------------------------------------------------------------------


def test_messages_wait_while_new_work_is_refused(fresh: Fresh, buckstop: Buckstop) -> None:
    """While the deployment refuses new work, messages stay on the queue and are taken later."""
    door = Door(fresh.client, fresh.keys)
    fresh.client.config_set("maxmemory-policy", "allkeys-lru")
    porter = Porter(door, Fitness(fresh.client, door))
    put(fresh, sent(), b"hello")
    assert porter.turn(0) == []
    assert (lying(fresh), buckstop.letters().items) == (2, [])
    fresh.client.config_set("maxmemory-policy", "noeviction")
    assert [bool(one.task) for one in porter.turn(0)] == [True, False]


def test_a_full_desk_keeps_messages_waiting(fresh: Fresh, monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door(fresh.client, fresh.keys)
    porter = Porter(door, Fitness(fresh.client, door))
    put(fresh, sent())
    monkeypatch.setattr(checks, "LETTERS_MAX", 0)
    monkeypatch.setattr(checks, "LETTERS_WARN", 0)
    assert porter.turn(0) == []
    monkeypatch.undo()
    assert len(porter.turn(0)) == 1


def test_a_desk_that_fills_up_meanwhile_loses_no_message(
    fresh: Fresh, porter: Porter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The script looks again: where there is no room for a letter, its message stays."""
    put(fresh, b"hello", b"x" * (limits.MESSAGE_BYTES_MAX + 1), sent())
    monkeypatch.setattr(limits, "LETTERS_MAX", 1)
    _words.cache_clear()
    _assembled.cache_clear()
    full = Porter(Door(fresh.client, fresh.keys), lambda: None)
    _words.cache_clear()
    _assembled.cache_clear()
    settled = full.turn(0)
    assert sum(bool(one.task) for one in settled) == 1
    assert lying(fresh) == 1
    assert fresh.client.zcard(fresh.keys.letters) == 1


# --- the answer ----------------------------------------------------------------------------------


def test_a_client_with_a_result_backend_is_answered_at_once(fresh: Fresh, porter: Porter) -> None:
    """`AsyncResult.get()` answers with the task's id, or fails with the reason."""
    app = Celery("somebody", broker=fresh.url, backend=fresh.url, set_as_current=False)
    send: Callable[[dict[str, Any]], Any] = lambda fields: app.send_task(  # noqa: E731
        "buckstop.submit", kwargs=fields, queue=fresh.keys.submissions
    )
    good, bad = send(ASKED), send({**ASKED, "budget": {}})
    accepted, refused = porter.turn(0)
    assert good.get(timeout=PATIENCE_S) == {"task": accepted.task}
    with pytest.raises(ValueError, match=f"budget: set at least one.*{refused.letter}"):
        bad.get(timeout=PATIENCE_S)
    assert 0 < fresh.client.pttl(fresh.keys.celery_result(good.id)) <= limits.DOOR_RESULT_MS


def test_a_client_whose_message_is_too_large_is_told_so(
    fresh: Fresh, porter: Porter, buckstop: Buckstop
) -> None:
    """docs/how-to/celery.md, What your client is told: also of a message that nobody has read."""
    app = Celery("somebody", broker=fresh.url, backend=fresh.url, set_as_current=False)
    large = {**ASKED, "input": "x" * limits.MESSAGE_BYTES_MAX}
    sent_large = app.send_task("buckstop.submit", kwargs=large, queue=fresh.keys.submissions)
    (size,) = map(len, fresh.client.lrange(fresh.keys.submissions, 0, -1))
    assert porter.turn(0) == []
    letter = only(buckstop)
    told = f"{size} bytes; at most {limits.MESSAGE_BYTES_MAX} are taken.*letter {letter['id']}"
    with pytest.raises(ValueError, match=told):
        sent_large.get(timeout=PATIENCE_S)
    assert 0 < fresh.client.pttl(fresh.keys.celery_result(sent_large.id)) <= limits.DOOR_RESULT_MS


@pytest.mark.parametrize(
    ("options", "edit"),
    [
        ({"ignore_result": True}, dict),
        ({}, lambda m: m["properties"].pop("correlation_id")),
        ({}, lambda m: m["properties"].update(correlation_id='a"b')),
        ({}, lambda m: m["properties"].update(correlation_id="a" * 201)),
        ({}, lambda m: m.update(body='"correlation_id": "fake"' * 12_000)
            or m["properties"].clear()),
    ],
)  # fmt: skip
def test_a_message_too_large_that_names_nobody_to_tell_leaves_no_answer(
    fresh: Fresh,
    porter: Porter,
    options: dict[str, Any],
    edit: Callable[[dict[str, Any]], object],
) -> None:
    """What is not read is not guessed at either: a text in the body is no id."""
    large = {**ASKED, "input": "x" * limits.MESSAGE_BYTES_MAX}
    put(fresh, edited(edit, sent(large, **options)))
    porter.turn(0)
    assert fresh.client.keys(fresh.keys.celery_result("*")) == []
    assert fresh.client.zcard(fresh.keys.letters) == 1


def test_a_client_that_waits_already_is_told_at_once(fresh: Fresh, porter: Porter) -> None:
    """Celery's client listens for its answer, and does not look again."""
    put(fresh, sent(task_id="waits"))
    with fresh.client.pubsub() as listening:
        listening.subscribe(fresh.keys.celery_result("waits"))
        assert listening.get_message(timeout=PATIENCE_S)["type"] == "subscribe"
        [settled] = porter.turn(0)
        told = listening.get_message(timeout=PATIENCE_S)
    assert json.loads(told["data"])["result"] == {"task": settled.task}


def test_a_client_that_wants_no_answer_leaves_none(fresh: Fresh, porter: Porter) -> None:
    put(fresh, sent(task_id="a", ignore_result=True), sent({}, task_id="b", ignore_result=True))
    put(fresh, b"no id at all")
    assert len(porter.turn(0)) == 3
    assert fresh.client.keys(fresh.keys.celery_result("*")) == []


@pytest.mark.filterwarnings("ignore:Call to deprecated setex")
def test_an_answer_has_the_form_of_celerys_own(fresh: Fresh, porter: Porter) -> None:
    """What Celery's own backend stores has the same fields."""
    app = Celery("somebody", broker=fresh.url, backend=fresh.url, set_as_current=False)
    put(fresh, sent(task_id="ours"))
    porter.turn(0)
    app.backend.store_result("theirs", {"task": "x"}, "SUCCESS")
    ours, theirs = (
        json.loads(fresh.client.get(fresh.keys.celery_result(name))) for name in ("ours", "theirs")
    )
    assert ours.keys() == theirs.keys()
    assert ours["status"] == theirs["status"]


# --- rights --------------------------------------------------------------------------------------


def test_the_server_holds_a_submitter_to_its_rights(fresh: Fresh, tmp_path: Any) -> None:
    """deploy/redis/users.acl: a service can put messages at the door, and nothing else."""
    put(Fresh(fresh.url, fresh.client, Keys()), sent())
    with as_user(fresh, "submitter") as url, as_user(fresh, "orchestrator") as theirs:
        app = Celery("somebody", broker=url, backend=url, set_as_current=False)
        answer = app.send_task("buckstop.submit", kwargs=ASKED, queue="buckstop:submit")
        keys = Keys()
        client = Redis.from_url(theirs)
        door = Door(client, keys)
        porter = Porter(door, Fitness(client, door))
        tasks = [one.task for one in porter.turn(0)]
        assert answer.get(timeout=PATIENCE_S) == {"task": tasks[1]}
        stranger = Redis.from_url(url)
        for command in (
            *(("LRANGE", keys.submissions, 0, -1), ("RPOP", keys.submissions), ("KEYS", "*")),
            *(("HGETALL", keys.task(tasks[0])), ("LPUSH", keys.queue("research"), "x")),
            *(("DEL", keys.submissions), ("GET", keys.arrivals), ("CONFIG", "GET", "*")),
        ):
            with pytest.raises(Exception, match=r"NOPERM|[Nn]o permissions"):
                stranger.execute_command(*command)


def test_who_decides_may_put_a_message_back(fresh: Fresh) -> None:
    """The ways in and out decide letters, those of the door among them."""
    with as_user(fresh, "orchestrator") as theirs, as_user(fresh, "front") as ours:
        keys, client = Keys(), Redis.from_url(theirs)
        client.lpush(keys.submissions, b"hello")
        [refused] = Porter(Door(client, keys), lambda: None).turn(0)
        with Buckstop(ours) as front:
            front.decide(Decision(letter=refused.letter, verb=Verb.REPLAY, by="ann"))
            assert front.store.submissions() == (keys.submissions, 1)


def test_a_celery_client_is_told_where_to_send(
    fresh: Fresh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`buckstop broker` prints what a client needs, with the prefix that is in force."""
    monkeypatch.setenv("BUCKSTOP_PREFIX", "shop:")
    plain = CliRunner().invoke(broker, ["--url", fresh.url])
    assert plain.output.strip() == fresh.url
    told = CliRunner().invoke(broker, ["--url", fresh.url, "--json"])
    assert json.loads(told.output) == {"broker": fresh.url, "queue": "shop:submit"}


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("redis://:pw@host:6379/0", "redis://:pw@host:6379/0"),
        ("rediss://host/0", "rediss://host/0?ssl_cert_reqs=required"),
        ("rediss://host/0?ssl_cert_reqs=none", "rediss://host/0?ssl_cert_reqs=none"),
        ("unix:///run/redis.sock", "redis+socket:///run/redis.sock"),
        ("unix:///run/redis.sock?db=3", "redis+socket:///run/redis.sock?virtual_host=3"),
    ],
)
def test_celery_is_given_its_own_spelling_of_a_url(ours: str, theirs: str) -> None:
    """`buckstop broker`: what it prints, Celery takes, as a broker and as a result backend."""
    assert celerys(ours) == Broker(theirs)
    app = Celery("somebody", broker=theirs, backend=theirs, set_as_current=False)
    assert app.backend.connparams["db"] == (3 if "db=3" in ours else 0)


def test_behind_sentinels_celery_is_told_the_servers_name_too() -> None:
    """docs/how-to/sentinel.md: the URL is Celery's, and the name is a transport option."""
    ours = "redis+sentinel://ann:a%20b@one:26380,[::1]/mymaster/2?sentinel_password_file=/run/pw"
    found = celerys(ours)
    assert found.options == {"master_name": "mymaster"}
    app = Celery("somebody", broker=found.url, backend=found.url, set_as_current=False)
    app.conf.result_backend_transport_options = dict(found.options)
    hosts = app.backend.connparams["hosts"]
    assert [(each["host"], each["port"]) for each in hosts] == [("one", 26380), ("::1", 26379)]
    entrance = {name: app.backend.connparams[name] for name in ("username", "password", "db")}
    assert entrance == {"username": "ann", "password": "a b", "db": 2}
    told = CliRunner().invoke(broker, ["--url", ours.partition("?")[0]])
    assert told.stdout.strip() == found.url
    assert "broker_transport_options = {'master_name': 'mymaster'}" in told.stderr
    as_json = CliRunner().invoke(broker, ["--url", ours.partition("?")[0], "--json"])
    assert json.loads(as_json.stdout)["transport_options"] == {"master_name": "mymaster"}
