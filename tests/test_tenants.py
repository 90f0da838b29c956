"""Tenants share a deployment: who is at work, who waits for a place, and whose message is next.

Every test that takes a `scene` runs on the simulated store and on the real one.
"""

from typing import Any

import pytest

from envelopes import limits
from envelopes.keys import Keys, base_of
from envelopes.seal import Verifier
from orchestrator.core.facts import ClaimState
from orchestrator.keyfile import public_of
from orchestrator.store import Mark
from tests.bulkheads import LATER_MS, Scene
from tests.conftest import Fresh
from tests.shop import PRIVATE_KEY, Hands, Office
from tests.worlds import KINDS, commit, make, make_kind, on_desk, once, refuses, submission
from workers.held import Held
from workers.intake import Intake


@pytest.fixture(params=KINDS)
def scene(request: pytest.FixtureRequest) -> Scene:
    """Give an empty world of each kind."""
    return Scene(make(request))


# --- places at work ---------------------------------------------------------------------------


def arrives(scene: Scene, *tasks: str, tenant: str = "default") -> None:
    """Submit tasks, and decide nothing on them."""
    for task in tasks:
        scene.world.store.submit(submission(task, tenant=tenant))
        scene.versions[task], scene.tenants[task] = 1, tenant


def admitted(scene: Scene, *tasks: str) -> list[bool]:
    loaded = scene.world.store.load([(task, None) for task in tasks])
    return [bool(each and each.admitted) for each in loaded]


@pytest.fixture
def narrow(scene: Scene) -> Scene:
    """Give a world in which a tenant has two places, and t1 and t2 have them."""
    scene.world.store.set_cap("tenant", "default", 2)
    scene.submit("t1", "t2")
    scene.world.store.claim(9)
    return scene


def test_a_tenants_task_without_a_place_waits_until_its_deadline(narrow: Scene) -> None:
    """Issue: "per tenant caps"; and what is accepted ends in an outcome, admitted or not."""
    answer = narrow.world.store.submit(submission("t3", timeout_ms=90_000))
    assert narrow.world.alarm("t3") == answer.now_ms + 90_000
    assert not narrow.world.store.wait(0)
    assert admitted(narrow, "t1", "t3") == [True, False]
    known = narrow.world.store.load([("t3", Mark(1))])[0]
    assert known is not None
    assert not known.admitted


def test_without_a_cap_of_its_own_a_tenant_has_the_usual_number(scene: Scene) -> None:
    names = [f"t{n}" for n in range(limits.TENANT_TASKS_MAX + 1)]
    arrives(scene, *names)
    assert admitted(scene, *names) == [True] * limits.TENANT_TASKS_MAX + [False]


def test_a_task_that_ends_admits_the_one_that_waits_longest(narrow: Scene) -> None:
    """Issue: "waiting tasks are admitted without polling"."""
    arrives(narrow, "t4", "t3")
    narrow.end("t2")
    assert admitted(narrow, "t3", "t4") == [False, True]
    assert narrow.woken() == ["t4"]
    assert narrow.world.store.wait(0)
    narrow.end("t1")
    assert admitted(narrow, "t3") == [True]


def test_tenants_wait_for_their_own_places_only(narrow: Scene) -> None:
    arrives(narrow, "t3")
    arrives(narrow, "u1", tenant="other")
    assert admitted(narrow, "t3", "u1") == [False, True]
    narrow.end("u1")
    assert admitted(narrow, "t3") == [False]


def test_a_submit_whose_reply_is_lost_takes_one_place(narrow: Scene) -> None:
    narrow.world.store.set_cap("tenant", "default", 4)
    once(narrow.world, lambda: narrow.world.store.submit(submission("t3")))
    once(narrow.world, lambda: narrow.world.store.submit(submission("t4")))
    once(narrow.world, lambda: narrow.world.store.submit(submission("t5")))
    assert admitted(narrow, "t3", "t4", "t5") == [True, True, False]


def test_an_end_whose_reply_is_lost_admits_one(narrow: Scene) -> None:
    arrives(narrow, "t3", "t4")
    ending = commit(1, "end", "t1", outcome="completed")
    assert once(narrow.world, lambda: narrow.world.store.commit([ending])) == [True]
    assert admitted(narrow, "t3", "t4") == [True, False]


def test_a_task_on_the_desk_needs_no_place(narrow: Scene) -> None:
    """A person may take a day; the tenant's other tasks need not wait for that."""
    arrives(narrow, "t3", "t4")
    assert narrow.to_desk("t1")
    assert admitted(narrow, "t3", "t4") == [True, False]
    assert narrow.from_desk("t1")
    narrow.end("t2")
    narrow.end("t3")
    assert admitted(narrow, "t4") == [True]


def test_a_task_that_comes_back_from_the_desk_has_a_place_at_once(narrow: Scene) -> None:
    arrives(narrow, "t3", "t4")
    narrow.to_desk("t1")
    narrow.from_desk("t1")
    assert admitted(narrow, "t1", "t4") == [True, False]
    narrow.end("t3")
    assert admitted(narrow, "t4") == [False]  # three were at work, and two places there are


def test_a_letter_that_follows_another_leaves_the_task_on_the_desk(narrow: Scene) -> None:
    arrives(narrow, "t3", "t4")
    narrow.to_desk("t1")
    assert narrow.commit("t1", journal=(b"still there",))
    narrow.end("t1")
    assert admitted(narrow, "t3", "t4") == [True, False]


def test_a_task_that_ends_while_it_waits_frees_nothing(narrow: Scene) -> None:
    """Cancelled, or too late: it takes nobody's place and gives none."""
    arrives(narrow, "t3", "t4")
    narrow.end("t3")
    assert admitted(narrow, "t4") == [False]
    narrow.end("t1")
    assert admitted(narrow, "t4") == [True]


def test_a_waiting_task_is_woken_by_mail_and_waits_on(narrow: Scene) -> None:
    arrives(narrow, "t3")
    narrow.world.store.post("t3", b"cancel\n{}", "p1")
    assert narrow.woken() == ["t3"]
    assert narrow.commit("t3", mail_read=1)
    assert admitted(narrow, "t3") == [False]
    assert narrow.world.alarm("t3") == LATER_MS


def test_an_admission_while_the_task_is_being_decided_is_not_lost(narrow: Scene) -> None:
    """Whoever decides has seen it waiting, and would let it sleep until its deadline."""
    arrives(narrow, "t3")
    narrow.world.store.post("t3", b"cancel\n{}", "p1")
    assert narrow.world.store.claim(9).task_ids == ["t3"]
    narrow.end("t1")
    assert narrow.woken() == []
    assert narrow.commit("t3", mail_read=1)
    assert narrow.woken() == ["t3"]
    assert narrow.commit("t3")
    assert narrow.woken() == []


def test_a_raised_cap_admits_as_many_as_fit(narrow: Scene) -> None:
    names = [f"x{n}" for n in range(limits.ADMIT_MAX + 5)]
    arrives(narrow, *names)
    narrow.world.store.set_cap("tenant", "default", 4)
    assert admitted(narrow, *names[:3]) == [True, True, False]
    narrow.world.store.set_cap("tenant", "default", len(names) + 1)
    assert admitted(narrow, *names) == [True] * (len(names) - 1) + [False]


def test_a_lowered_cap_takes_no_place_away(narrow: Scene) -> None:
    arrives(narrow, "t3")
    narrow.world.store.set_cap("tenant", "default", 1)
    assert admitted(narrow, "t1", "t2") == [True, True]
    narrow.end("t1")
    assert admitted(narrow, "t3") == [False]
    narrow.end("t2")
    assert admitted(narrow, "t3") == [True]


@pytest.mark.parametrize("timeout_ms", [-1, 10**15, float("nan")])
def test_a_timeout_that_is_no_figure_is_refused(scene: Scene, timeout_ms: Any) -> None:
    wrong = submission(timeout_ms=timeout_ms)
    refuses(scene.world, lambda: scene.world.store.submit(wrong))


# --- lanes ------------------------------------------------------------------------------------


def fetched(scene: Scene, count: int, *agents: str) -> list[str]:
    """Fetch so many messages and return their tasks."""
    queues = [scene.world.keys.queue(agent) for agent in agents or ("a",)]
    _, taken = scene.world.worker("w").fetch(queues, count)
    return [one.subtask.partition("/")[0] for one in taken]


def tenants(scene: Scene, **messages: int) -> None:
    """Let one task of each of these tenants publish so many messages to agent a."""
    for tenant, count in messages.items():
        scene.submit(tenant, tenant=tenant)
        assert scene.commit(tenant, ["a"] * count)


def test_each_tenant_has_a_lane_and_a_message_names_its_own(scene: Scene) -> None:
    keys = scene.world.keys
    tenants(scene, default=1, ann=2)
    assert keys.queue("a", "default") == keys.queue("a")
    assert base_of(keys.queue("a", "ann")) == keys.queue("a") != keys.queue("a", "ann")
    assert scene.world.store.queue_depth("a") == 3
    _, taken = scene.world.worker("w").fetch([keys.queue("a")], 9)
    assert [(one.subtask[:3], one.queue) for one in taken] == [
        ("def", keys.queue("a")),
        ("ann", keys.queue("a", "ann")),
        ("ann", keys.queue("a", "ann")),
    ]
    assert {one.state for one in taken} == {"claimed"}
    assert scene.world.store.queue_depth("a") == 0


def test_a_prefix_cannot_be_taken_for_a_lane() -> None:
    with pytest.raises(ValueError, match="@"):
        Keys("team@work:")


def test_lanes_are_served_in_turn_one_message_at_a_time(scene: Scene) -> None:
    """Issue: "fair round robin"."""
    tenants(scene, ann=5, bob=2, default=1, eve=3)
    order = fetched(scene, 20)
    assert sorted(order[:4]) == ["ann", "bob", "default", "eve"]
    assert sorted(order[4:7]) == ["ann", "bob", "eve"]
    assert order[7:] == ["ann", "eve", "ann", "ann"]


def test_the_next_fetch_goes_on_behind_the_lane_served_last(scene: Scene) -> None:
    tenants(scene, ann=4, bob=4, eve=4)
    order = [fetched(scene, 1)[0] for _ in range(6)]
    assert order == ["ann", "bob", "eve"] * 2
    assert fetched(scene, 4) == ["ann", "bob", "eve", "ann"]
    assert fetched(scene, 1) == ["bob"]


def test_a_new_lane_waits_for_one_message_of_each_other(scene: Scene) -> None:
    tenants(scene, ann=9, bob=9)
    assert fetched(scene, 3) == ["ann", "bob", "ann"]
    tenants(scene, new=1)
    assert fetched(scene, 3) == ["bob", "ann", "new"]


@pytest.mark.parametrize("slots", [1, 4])
def test_ten_thousand_messages_of_one_tenant_do_not_delay_another(scene: Scene, slots: int) -> None:
    """Issue: "does not delay another's next task by more than one task length".

    Its message is among the next ones: one for each slot, and one more.
    """
    for number in range(10):
        scene.submit(f"flood{number}", tenant="flood")
        assert scene.commit(f"flood{number}", ["a"] * 1000)
    for _ in range(3):
        fetched(scene, slots)
    tenants(scene, other=1)
    following = [task for _ in range(2) for task in fetched(scene, slots)]
    assert "other" in following[: slots + 1]


def test_what_strangers_push_is_served_among_the_lanes(scene: Scene) -> None:
    """The agent's own queue is always a lane: any Celery client may send there unannounced."""
    tenants(scene, ann=5)
    scene.world.push(scene.world.keys.queue("a"), b"from a stranger")
    assert fetched(scene, 3) in (["", "ann", "ann"], ["ann", "", "ann"])


def test_lanes_of_several_agents_share_fairly(scene: Scene) -> None:
    tenants(scene, ann=6, bob=6)
    assert scene.commit("ann", ["b"] * 6)
    assert fetched(scene, 8, "a", "b") == ["ann", "bob", "ann", "bob"] + ["ann"] * 4


def test_a_bell_is_silent_once_all_lanes_are_empty(scene: Scene) -> None:
    bell = scene.world.keys.queue_bell(scene.world.keys.queue("a"))
    tenants(scene, ann=1, bob=1, eve=1)
    for _ in range(2):
        fetched(scene, 1)  # a small fetch does not look at all lanes
        assert scene.world.strokes(bell) == 3
    fetched(scene, 1)
    assert scene.world.strokes(bell) == 0


def test_lanes_that_are_empty_leave_nothing_behind(scene: Scene) -> None:
    tenants(scene, ann=3, bob=1)
    assert lists_lanes(scene.world)
    fetched(scene, 9)
    assert not lists_lanes(scene.world)


def lists_lanes(world: Any) -> bool:
    if hasattr(world, "sim"):
        return any(world.sim.lanes.turns.values())
    return bool(world.client.keys(world.keys.lanes("*")))


def test_a_lane_that_somebody_has_emptied_does_not_stand_in_the_way(scene: Scene) -> None:
    tenants(scene, ann=1, bob=1, eve=1)
    for tenant in ("ann", "bob"):
        drain(scene.world, scene.world.keys.queue("a", tenant))
    assert fetched(scene, 1) == ["eve"]
    assert fetched(scene, 1) == []


def drain(world: Any, queue: str) -> None:
    if hasattr(world, "sim"):
        world.sim.queues[queue].clear()
    else:
        world.client.delete(queue)


def test_what_is_handed_back_is_the_next_of_its_lane(scene: Scene) -> None:
    tenants(scene, ann=1, bob=2)
    worker, queue = scene.world.worker("w"), scene.world.keys.queue("a")
    _, [one] = worker.fetch([queue], 1)
    assert one.queue == scene.world.keys.queue("a", "ann")
    strokes = scene.world.strokes(scene.world.keys.queue_bell(queue))
    assert once(scene.world, lambda: worker.hand_back(one.subtask, one.token, one.queue, one.raw))
    assert scene.world.strokes(scene.world.keys.queue_bell(queue)) == strokes + 1
    assert fetched(scene, 3) == ["bob", "ann", "bob"]


def test_a_fetch_from_lanes_whose_reply_is_lost_gets_the_same(scene: Scene) -> None:
    tenants(scene, ann=2, bob=2)
    queue = scene.world.keys.queue("a")
    _, taken = once(scene.world, lambda: scene.world.worker("w").fetch([queue], 3))
    assert [one.subtask.partition("/")[0] for one in taken] == ["ann", "bob", "ann"]
    assert fetched(scene, 3) == ["bob"]


def test_whether_a_message_still_lies_there_is_asked_of_its_lane(scene: Scene) -> None:
    """A long backlog of another tenant says nothing about this tenant's message."""
    tenants(scene, ann=1, bob=1)
    drain(scene.world, scene.world.keys.queue("a", "ann"))
    scene.world.pass_time(limits.PATIENCE_MS + 1)
    ann, bob = (
        scene.world.store.look(tenant, [number], [])[number]
        for tenant, number in (("ann", 1), ("bob", 2))
    )
    assert (ann.queued, bob.queued) == (False, True)
    assert ann.state is ClaimState.ISSUED


def test_what_is_kept_of_a_refused_message_names_its_lane(scene: Scene) -> None:
    tenants(scene, ann=1)
    lane = scene.world.keys.queue("a", "ann")
    for raw in (b"garbage", b"x" * (limits.MESSAGE_BYTES_MAX + 1)):
        scene.world.push(lane, raw)
    fetched(scene, 3)
    letters = [scene.world.store.letter(i) or {} for i in on_desk(scene.world.store)]
    assert {letter["reason"] for letter in letters} == {b"unread", b"oversize"}
    assert {(letter["agent"], letter["tenant"]) for letter in letters} == {(b"a", b"ann")}
    assert {letter["queue"] for letter in letters} == {lane.encode()}


def test_a_fetch_without_other_lanes_costs_one_look_more(request: pytest.FixtureRequest) -> None:
    """One tenant alone pays nothing for the others."""
    scene = Scene(make_kind(request, "real"))
    tenants(scene, default=3)
    client = scene.world.client  # type: ignore[attr-defined]
    client.config_resetstat()
    assert len(fetched(scene, 3, "a", "b")) == 3
    calls = {name: said["calls"] for name, said in client.info("commandstats").items()}
    assert calls["cmdstat_exists"] == 1
    assert not {"cmdstat_zrange", "cmdstat_zadd", "cmdstat_zrem", "cmdstat_zcard"} & calls.keys()


# --- the gate ---------------------------------------------------------------------------------


class Silent:
    def add(self, *_: object) -> None: ...
    def remove(self, *_: object) -> None: ...


@pytest.fixture
def office(fresh: Fresh) -> Office:
    return Office(fresh.client, fresh.keys)


@pytest.fixture
def intake(fresh: Fresh) -> Intake:
    """An intake without a worker around it."""
    verifier = Verifier([public_of(PRIVATE_KEY)])
    claims = Hands(fresh.client, fresh.keys).claims
    return Intake(claims, Held(lambda: 9), Silent(), verifier, {"agent.noop"})  # type: ignore[arg-type]


def test_celery_sees_a_lanes_message_on_its_agents_queue(office: Office, intake: Intake) -> None:
    """It consumes one queue for each agent; what comes back returns to its lane."""
    lane = office.keys.queue("noop", "ann")
    sent = office.send("noop", queue=lane, tenant="ann")
    [(queue, message)] = intake.take([office.keys.queue("noop")])
    assert (queue, message["headers"]["id"]) == (office.keys.queue("noop"), sent)
    [hold] = intake.held.all()
    intake.hand_back(hold)
    assert office.client.llen(lane) == 1
    [(_, again)] = intake.take([office.keys.queue("noop")])
    assert again["headers"]["id"] == sent


def test_a_message_moved_to_another_lane_does_not_run(office: Office, intake: Intake) -> None:
    """The signed queue is compared with where the message was fetched: its lane."""
    office.send("noop", queue=office.keys.queue("noop", "ann"), tenant="ann")
    office.client.rename(office.keys.queue("noop", "ann"), office.keys.queue("noop"))
    assert list(intake.take([office.keys.queue("noop")])) == []
    assert [letter["reason"] for letter in office.letters()] == [b"wrong-queue"]
