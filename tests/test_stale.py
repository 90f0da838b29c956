"""Messages that can never run come off their queues, though nobody serves them; nothing else does.

The first part runs twice, as the conformance tests do: on the simulated store and on the real one.
"""

import pytest

from envelopes import limits
from envelopes.keys import base_of
from envelopes.seal import Signer
from orchestrator.checks import Verdict
from orchestrator.doctor import fit
from orchestrator.serve import Orchestrator
from orchestrator.wire import Wire
from tests.conftest import Fresh
from tests.ward import KEY, Ward
from tests.worlds import (
    KINDS,
    RealWorld,
    World,
    commit,
    fetch_one,
    make,
    message,
    once,
    outgoing,
    publish,
    settled,
    submission,
)


@pytest.fixture(params=KINDS)
def world(request: pytest.FixtureRequest) -> World:
    """Give an empty world of each kind."""
    return make(request)


def take_away(world: World, version: int, *numbers: int, task_id: str = "t1") -> bool:
    """Let a task end that has these subtasks out."""
    world.store.look(task_id, numbers, numbers)
    end = commit(version, f"end {task_id}".replace(" ", "-"), task_id, settled=settled(*numbers))
    return world.store.commit([end])[0]


def withdrawn(world: World) -> int:
    return world.store.stats().get("withdrawn", 0)


def also(world: World, task_id: str, *numbers: int, **more: str) -> None:
    """Submit another task, and publish these subtasks of it."""
    world.store.submit(submission(task_id))
    sent = [outgoing(world, n, message=message(task_id, n), **more) for n in numbers]
    assert world.store.commit([commit(1, "published", task_id, publish=tuple(sent))]) == [True]


def remembers_nothing(world: World) -> bool:
    """Say whether nothing is kept of messages to be withdrawn."""
    if isinstance(world, RealWorld):
        return not world.client.exists(world.keys.stale, *world.client.keys("*:stale:*"))
    return not any(world.sim.stale.values())  # type: ignore[attr-defined]


def test_the_message_of_a_task_that_has_ended_is_withdrawn_with_it(world: World) -> None:
    """PROMISES 9: a finished task "has no mail, alarm, claim or message"."""
    publish(world, 1, 2)
    assert take_away(world, 2, 1, 2)
    queue = world.keys.queue("a")
    assert world.store.queue_depth("a") == 0
    assert world.strokes(world.keys.queue_bell(queue)) == 0, "nobody is woken for what is gone"
    assert withdrawn(world) == 2
    assert world.store.stats()["withdrawn_bytes"] == world.store.stats()["pushed_bytes"]
    assert remembers_nothing(world)


def test_no_message_of_a_living_task_is_taken(world: World) -> None:
    """What can still run stays, before and behind what cannot, and runs."""
    publish(world, 1)
    also(world, "t2", 1)
    also(world, "t3", 1)
    assert take_away(world, 2, 1, task_id="t2")
    assert world.store.queue_depth("a") == 3, "what lies behind a living one goes in its turn"
    assert take_away(world, 2, 1)
    assert world.store.queue_depth("a") == 1
    assert withdrawn(world) == 2
    assert fetch_one(world).subtask == "t3/1"
    assert remembers_nothing(world)


def test_a_worker_that_fetches_it_first_drops_it_as_ever(world: World) -> None:
    """A message withdrawn while a worker fetches it is harmless: one of both has it."""
    publish(world, 1)
    also(world, "t2", 1)
    assert take_away(world, 2, 1, task_id="t2")
    _, fetched = world.worker("w").fetch([world.keys.queue("a")], 2)
    assert [(one.subtask, one.state) for one in fetched] == [
        ("t1/1", "claimed"),
        ("t2/1", "revoked"),
    ]
    assert not world.store.withdraw()
    assert remembers_nothing(world)


def test_what_a_worker_dropped_before_the_commit_is_not_looked_for(world: World) -> None:
    publish(world, 1, 2)
    world.store.look("t1", [1], [1])
    assert fetch_one(world).state == "revoked"
    assert world.store.commit([commit(2, "settled", settled=settled(1))]) == [True]
    assert remembers_nothing(world)
    assert world.store.queue_depth("a") == 1


def test_a_message_that_was_fetched_is_not_looked_for(world: World) -> None:
    publish(world, 1, 2)
    assert fetch_one(world).subtask == "t1/1"
    world.store.look("t1", [1], [1])
    assert world.store.commit([commit(2, "settled", settled=settled(1))]) == [True]
    assert (withdrawn(world), remembers_nothing(world)) == (0, True)
    assert world.store.queue_depth("a") == 1


def test_a_message_that_was_handed_back_is_withdrawn(world: World) -> None:
    """A worker that leaves gives back what it has not begun; then nobody may come for it."""
    publish(world, 1)
    one = fetch_one(world)
    assert world.worker("w").hand_back(one.subtask, one.token, one.queue, one.raw)
    assert take_away(world, 2, 1)
    assert (world.store.queue_depth("a"), withdrawn(world)) == (0, 1)


@pytest.mark.parametrize("intercepted", [False, True])
def test_an_edited_copy_is_never_withdrawn(world: World, *, intercepted: bool) -> None:
    """What is forged is "still filed as a letter": a gate has to see it, whoever comes for it."""
    publish(world, 1)
    edited = message("t1", 1).replace(b"QUJD", b"QUJE")
    if intercepted:  # the copy lies in the place of the original
        one = fetch_one(world)
        assert world.worker("w").hand_back(one.subtask, one.token, one.queue, None)
    world.push(world.keys.queue("a"), edited)
    assert take_away(world, 2, 1)
    assert not world.store.withdraw()
    assert withdrawn(world) == (0 if intercepted else 1)
    assert fetch_one(world).raw == edited


def test_a_strangers_message_is_never_withdrawn(world: World) -> None:
    """No claim, or none that ever was: it is filed, and never silently withdrawn."""
    queue = world.keys.queue("a")
    world.push(queue, b"not ours")
    world.push(queue, message("nobody", 7))
    publish(world, 1)
    assert take_away(world, 2, 1)
    assert not world.store.withdraw()
    _, fetched = world.worker("w").fetch([queue], 3)
    assert [one.state for one in fetched] == ["foreign", "revoked", "revoked"]
    assert fetched[0].letter


def test_what_lay_behind_a_message_that_was_fetched_goes_at_the_next_look(world: World) -> None:
    """Also where the worker is gone by then, and nothing is settled on the queue any more."""
    publish(world, 1)
    also(world, "t2", 1)
    assert take_away(world, 2, 1, task_id="t2")
    assert not world.store.withdraw()
    assert fetch_one(world).subtask == "t1/1"
    assert not once(world, world.store.withdraw)
    assert (world.store.queue_depth("a"), withdrawn(world)) == (0, 1)
    assert remembers_nothing(world)


def test_a_commit_that_is_sent_twice_withdraws_once(world: World) -> None:
    """A lost reply and a retry are as if once."""
    publish(world, 1)
    world.store.look("t1", [1], [1])
    end = commit(2, "end", settled=settled(1), outcome="aborted")
    assert once(world, lambda: world.store.commit([end])) == [True]
    assert (world.store.queue_depth("a"), withdrawn(world)) == (0, 1)


def test_a_commit_withdraws_so_many_and_the_next_looks_the_rest(world: World) -> None:
    """No script holds up the server, however wide a task was."""
    many = range(1, limits.WITHDRAW_MAX + 4)
    publish(world, *many)
    assert take_away(world, 2, *many)
    assert world.store.queue_depth("a") == 3
    assert not world.store.withdraw()
    assert world.store.queue_depth("a") == 0
    assert remembers_nothing(world)


def test_large_messages_are_withdrawn_in_pieces(world: World) -> None:
    size = limits.WITHDRAW_BYTES_MAX // 2
    big = [message("t1", n).replace(b"QUJD", b"A" * size) for n in (1, 2, 3)]
    world.store.submit(submission())
    sent = tuple(outgoing(world, n, message=raw) for n, raw in enumerate(big, 1))
    assert world.store.commit([commit(1, "published", publish=sent)]) == [True]
    assert take_away(world, 2, 1, 2, 3)
    assert world.store.queue_depth("a") == 1
    assert not world.store.withdraw()
    assert world.store.queue_depth("a") == 0


def test_the_lane_of_another_tenant_leaves_the_round_with_its_last_message(world: World) -> None:
    queue, lane = world.keys.queue("a"), world.keys.queue("a", "acme")
    assert base_of(lane) == queue
    publish(world, 1, queue=lane)
    assert take_away(world, 2, 1)
    assert world.store.queue_depth("a") == 0
    assert world.strokes(world.keys.queue_bell(queue)) == 0
    if isinstance(world, RealWorld):
        assert not world.client.exists(world.keys.lanes(queue))


def test_the_lane_of_one_tenant_does_not_touch_anothers(world: World) -> None:
    queue, lane = world.keys.queue("a"), world.keys.queue("a", "acme")
    publish(world, 1, queue=lane)
    also(world, "t2", 1)
    assert take_away(world, 2, 1)
    assert world.store.queue_depth("a") == 1
    assert world.strokes(world.keys.queue_bell(queue)) == 2, "its worker is still to be woken"
    assert fetch_one(world).subtask == "t2/1"


# --- on a real server ----------------------------------------------------------------------------


def test_a_full_server_can_be_freed_of_what_never_runs(fresh: Fresh) -> None:
    """It only removes, which a full server allows, and where there is nothing it writes nothing."""
    world = RealWorld(fresh)
    publish(world, 1)
    also(world, "t2", 1)
    assert take_away(world, 2, 1, task_id="t2")
    assert on_a_full_server(world) == 0
    fetch_one(world)
    assert on_a_full_server(world) == 1


def on_a_full_server(world: RealWorld) -> int:
    world.client.config_set("maxmemory", 1)
    try:
        world.store.withdraw()
        return withdrawn(world)
    finally:
        world.client.config_set("maxmemory", 0)


def test_a_claim_of_an_orchestrator_that_is_older_is_settled_as_ever(fresh: Fresh) -> None:
    """Rolling upgrade: it has not said what its message is, so that stays for a worker to drop."""
    world = RealWorld(fresh)
    publish(world, 1)
    world.client.hdel(world.keys.claim("t1/1"), "sha1")
    assert take_away(world, 2, 1)
    assert fetch_one(world).state == "revoked"


def test_a_queue_that_somebody_has_made_no_queue_stops_no_commit(fresh: Fresh) -> None:
    """ARCHITECTURE: a commit is «all or nothing», and this look comes amid its writes."""
    world = RealWorld(fresh)
    publish(world, 1)
    world.client.delete(world.keys.queue("a"))
    world.client.set(world.keys.queue("a"), "no list")
    assert take_away(world, 2, 1)
    assert not world.store.withdraw()
    assert (withdrawn(world), world.alarm("t1")) == (0, None)


@pytest.mark.parametrize("agent", ["gone", "mispelt"])
def test_a_queue_that_nobody_serves_is_empty_once_its_task_has_ended(
    ward: Ward, agent: str
) -> None:
    """The issue: `buckstop doctor` finds a "queue without consumers"; and is well without one."""
    if agent == "gone":
        ward.worker("w2", agent)
        ward.client.delete(ward.keys.worker("w2"))
    task = ward.submit(agent)
    ward.turn()
    assert ward.finding("queues").verdict is Verdict.FAULT
    ward.buckstop.task(task).cancel()
    ward.turn()
    assert ward.finding("queues").verdict is Verdict.GOOD
    assert fit(ward.examine())
    assert sum(each.waiting for each in ward.store.figures().agents.values()) == 0
    assert not ward.client.keys("*agent.*"), "neither message nor bell is left"


def test_an_orchestrator_looks_for_what_was_left_behind(ward: Ward) -> None:
    """What lay in front was fetched by a worker that is gone, and nothing is settled there now."""
    hand = ward.worker("w2", "gone")
    ward.client.delete(ward.keys.worker("w2"))
    ahead, behind = ward.submit("gone"), ward.submit("gone")
    ward.turn()
    ward.buckstop.task(behind).cancel()
    ward.turn()
    [job] = hand.take(1)
    assert (job.id.partition("/")[0], ward.store.queue_depth("gone")) == (ahead, 1)
    Orchestrator(ward.store, Wire(Signer(KEY), ward.keys)).turn(idle_ms_max=1)
    assert ward.store.queue_depth("gone") == 0, "one that starts looks at once"
