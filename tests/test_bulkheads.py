"""Caps, breakers and rooms: what an agent is sent, and who waits for it.

Every test that takes a `scene` runs on the simulated store and on the real one; the races at the
end need real threads and a real server. Tenants are in test_tenants.py.
"""

from collections import Counter
from collections.abc import Callable
from itertools import count
from random import Random
from threading import Barrier, Thread
from typing import Any, cast

import pytest

from envelopes import limits
from orchestrator.caps import CLOSED, AgentSeen, BreakerSeen
from orchestrator.store import Settled, Store
from tests.bulkheads import LATER_MS, Scene
from tests.worlds import (
    KINDS,
    RealWorld,
    commit,
    look,
    make,
    make_kind,
    message,
    once,
    outgoing,
    refuses,
    submission,
)

OPEN_MS = limits.BREAKER_OPEN_MS


@pytest.fixture(params=KINDS)
def scene(request: pytest.FixtureRequest) -> Scene:
    """Give an empty world of each kind."""
    return Scene(make(request))


# --- what is in flight ------------------------------------------------------------------------


def test_what_is_published_and_not_settled_is_in_flight(scene: Scene) -> None:
    """Issue: "Per agent and per tenant caps on what is in flight"."""
    scene.submit("t1")
    assert scene.commit("t1", ["a", "a", "b"])
    assert (scene.in_flight("a"), scene.in_flight("b")) == (2, 1)
    scene.commit("t1", settle={1: "ok", 3: "fault"})
    assert (scene.in_flight("a"), scene.in_flight("b")) == (1, 0)
    scene.commit("t1", settle={2: ""})
    assert "a" not in scene.world.store.agents()


def test_a_commit_whose_reply_is_lost_is_counted_once(scene: Scene) -> None:
    """Sent twice, because the first reply was lost, it changes nothing more."""
    store = scene.world.store
    store.submit(submission())
    sent = commit(1, "op1", publish=(outgoing(scene.world, 1), outgoing(scene.world, 2)))
    assert once(scene.world, lambda: store.commit([sent])) == [True]
    assert scene.in_flight() == 2
    store.look("t1", [], [1])
    ended = commit(2, "op2", settled=(Settled(1, "a", "fault"),) * 2)
    assert once(scene.world, lambda: store.commit([ended])) == [True]
    assert scene.in_flight() == 1


def test_a_claim_that_was_lost_keeps_no_place(scene: Scene) -> None:
    """Somebody deleted the record: settled is settled; and nothing counts below zero."""
    scene.submit("t1")
    assert scene.commit("t1", ["a", "a"])
    lose_claim(scene.world, "t1/1")
    assert scene.commit("t1", settle={1: ""})
    assert scene.in_flight() == 1
    unknown = tuple(Settled(number, "a", "") for number in (2, 8, 9))
    scene.world.store.look("t1", [], [2])
    assert scene.world.store.commit([commit(scene.versions["t1"], "o", settled=unknown)]) == [True]
    assert "a" not in scene.world.store.agents()
    scene.submit("t2")
    scene.publish("t2")
    assert scene.in_flight() == 1


def lose_claim(world: Any, subtask: str) -> None:
    if hasattr(world, "sim"):
        del world.sim.claims[subtask]
    else:
        world.client.delete(world.keys.claim(subtask))


def test_a_claim_is_settled_for_its_own_agent_only(scene: Scene) -> None:
    scene.submit("t1")
    scene.publish("t1")
    scene.world.store.look("t1", [], [1])
    for wrong in (Settled(1, "b", "ok"), Settled(1, "a", "nonsense")):  # type: ignore[arg-type]
        decided = commit(scene.versions["t1"], "op", settled=(wrong,))
        refuses(scene.world, lambda decided=decided: scene.world.store.commit([decided]))


def test_what_exceeds_a_cap_is_refused_whole(scene: Scene) -> None:
    """Issue: "Per agent ... caps on what is in flight"."""
    scene.submit("t1", "t2")
    scene.world.store.set_cap("agent", "a", 2)
    assert scene.commit("t1", ["a"])
    before = scene.world.snapshot()
    assert not scene.commit("t2", ["b", "a", "a"], fields={"head": b"h"})
    assert scene.world.snapshot() == before
    assert (scene.counted("conflicts"), scene.counted("bulkhead_conflicts")) == (1, 1)
    assert scene.commit("t2", ["b", "a"])
    assert not scene.commit("t1", ["a"])


def test_a_place_that_a_commit_frees_it_may_use_itself(scene: Scene) -> None:
    scene.submit("t1")
    scene.world.store.set_cap("agent", "a", 1)
    first = scene.publish("t1")
    assert not scene.commit("t1", ["a", "a"], {first: "ok"})
    assert scene.commit("t1", ["a"], {first: "ok"})
    assert scene.in_flight() == 1


def test_an_operators_cap_comes_before_the_declared_one(scene: Scene) -> None:
    """An operator's word, else what the agent's workers declared, else no bound."""
    store = scene.world.store
    assert store.caps() == {}
    scene.world.worker("w").register({"a": {"in_flight_max": 3}, "b": {}})
    assert (store.agents()["a"].cap, store.agents()["b"].cap) == (3, None)
    for cap in (0, 7):
        store.set_cap("agent", "a", cap)
        assert store.agents()["a"].cap == cap
    assert store.caps() == {"agent:a": 7}
    store.set_cap("agent", "a", None)
    assert (store.agents()["a"].cap, store.caps()) == (3, {})
    scene.world.worker("w").register({"a": {}})
    assert store.agents()["a"].cap is None


@pytest.mark.parametrize("cap", [-1, 1.5, "1e3"])
def test_a_cap_is_a_whole_number(scene: Scene, cap: int) -> None:
    store, worker = scene.world.store, scene.world.worker("w")
    refuses(scene.world, lambda: store.set_cap("agent", "a", cap))
    refuses(scene.world, lambda: store.set_cap("queue", "a", 1))  # type: ignore[arg-type]
    refuses(scene.world, lambda: worker.register({"b": {}, "a": {"in_flight_max": cap}}))


def test_what_is_seen_of_an_agent_is_everything_that_is_known(scene: Scene) -> None:
    scene.world.worker("w").register({"a": {"handoffs": []}})
    scene.submit("t1")
    scene.faults("t1", 1)
    scene.publish("t1", "stranger")
    assert scene.world.store.agents() == {
        "a": AgentSeen({"handoffs": []}, 0, None, CLOSED),
        "stranger": AgentSeen({}, 1, None, CLOSED),
    }


# --- breakers: what opens one -----------------------------------------------------------------


def breaker(scene: Scene, agent: str = "a") -> BreakerSeen:
    seen = scene.world.store.agents().get(agent)
    return CLOSED if seen is None else seen.breaker


def opened(scene: Scene) -> None:
    """Open the breaker of agent a."""
    scene.submit("opener")
    scene.faults("opener", limits.BREAKER_FAULTS)
    assert breaker(scene).open


def half_opened(scene: Scene) -> None:
    opened(scene)
    scene.world.pass_time(OPEN_MS)


def test_five_faults_in_a_row_open_a_breaker(scene: Scene) -> None:
    """Issue: "Per agent: consecutive faults (5) ... opens it"."""
    scene.submit("t1")
    scene.faults("t1", limits.BREAKER_FAULTS - 1)
    assert breaker(scene) == CLOSED
    now_ms = scene.now_ms
    scene.faults("t1", 1)
    seen = breaker(scene)
    assert (seen.open, seen.probe) == (True, False)
    assert now_ms + OPEN_MS <= seen.opens_ms <= scene.now_ms + OPEN_MS
    assert scene.counted("breaker_opened") == 1
    assert breaker(scene, "b") == CLOSED


def test_faults_in_a_row_may_come_in_one_commit(scene: Scene) -> None:
    scene.submit("t1")
    assert scene.commit("t1", ["a"] * 5)
    assert scene.commit("t1", settle=dict.fromkeys(range(1, 6), "fault"))
    assert breaker(scene).open


def test_an_agent_that_answers_is_not_in_a_row_of_faults(scene: Scene) -> None:
    scene.submit("t1")
    for _ in range(3):
        scene.faults("t1", limits.BREAKER_FAULTS - 1)
        scene.commit("t1", settle={scene.publish("t1"): "ok"})
    assert breaker(scene) == CLOSED


def test_what_was_taken_away_says_nothing_of_its_agent(scene: Scene) -> None:
    """Issue: "a budget stop never opens a breaker"; nor does it hide a row of faults."""
    scene.submit("t1")
    for _ in range(2 * limits.BREAKER_CALLS_MIN):
        scene.commit("t1", settle={scene.publish("t1"): ""})
    assert breaker(scene) == CLOSED
    for _ in range(limits.BREAKER_FAULTS):
        scene.faults("t1", 1)
        scene.commit("t1", settle={scene.publish("t1"): ""} if not breaker(scene).open else {})
    assert breaker(scene).open


def alternates(scene: Scene, times: int) -> None:
    for _ in range(times):
        scene.faults("t1", 1)
        if not breaker(scene).open:
            scene.commit("t1", settle={scene.publish("t1"): "ok"})


def test_every_other_call_a_fault_opens_a_breaker_once_there_are_enough(scene: Scene) -> None:
    """Issue: "or fault rate in a window opens it"."""
    scene.submit("t1")
    alternates(scene, limits.BREAKER_CALLS_MIN // 2)
    assert breaker(scene) == CLOSED
    scene.faults("t1", 1)
    assert breaker(scene).open


def test_faults_of_long_ago_are_no_rate(scene: Scene) -> None:
    scene.submit("t1")
    alternates(scene, limits.BREAKER_CALLS_MIN // 2)
    scene.world.pass_time(limits.BREAKER_WINDOW_MS)
    alternates(scene, limits.BREAKER_CALLS_MIN // 2 - 1)
    assert breaker(scene) == CLOSED


def test_a_few_faults_among_many_calls_open_nothing(scene: Scene) -> None:
    scene.submit("t1")
    scene.faults("t1", 1)
    for _ in range(limits.BREAKER_CALLS_MIN):
        scene.commit("t1", settle={scene.publish("t1"): "ok"})
    alternates(scene, 5)
    assert breaker(scene) == CLOSED


# --- breakers: what an open one lets out ------------------------------------------------------


def test_nothing_is_published_to_an_open_breaker(scene: Scene) -> None:
    """Issue: "while open ... nothing is published to it"."""
    opened(scene)
    before = scene.world.snapshot()
    assert not scene.commit("opener", ["b", "a"], fields={"head": b"h"})
    assert scene.world.snapshot() == before
    scene.world.pass_time(OPEN_MS - 1_000)
    assert not scene.commit("opener", ["a"])
    assert scene.counted("breaker_conflicts") == scene.counted("conflicts") == 2


def test_after_a_while_exactly_one_subtask_probes(scene: Scene) -> None:
    """Issue: "half-open probe after 30 s"."""
    half_opened(scene)
    assert not scene.commit("opener", ["a", "a"])
    probe = scene.publish("opener")
    assert breaker(scene).probe
    assert not scene.commit("opener", ["a"])
    assert scene.counted("breaker_probes") == 1
    assert scene.commit("opener", settle={probe: "ok"})
    assert breaker(scene) == CLOSED
    assert scene.counted("breaker_closed") == 1
    scene.faults("opener", limits.BREAKER_FAULTS - 1)
    assert breaker(scene) == CLOSED


def test_a_probe_that_fails_opens_the_breaker_anew(scene: Scene) -> None:
    half_opened(scene)
    scene.faults("opener", 1)
    seen = breaker(scene)
    assert (seen.open, seen.probe) == (True, False)
    assert seen.opens_ms > scene.now_ms
    assert not scene.commit("opener", ["a"])
    scene.world.pass_time(OPEN_MS)
    assert scene.commit("opener", ["a"])
    assert scene.counted("breaker_opened") == 2


def test_a_probe_that_says_nothing_lets_the_next_one_out(scene: Scene) -> None:
    half_opened(scene)
    scene.commit("opener", settle={scene.publish("opener"): ""})
    assert breaker(scene).open
    assert scene.commit("opener", ["a"])
    assert scene.counted("breaker_probes") == 2


@pytest.mark.parametrize("out", [False, True], ids=["open", "probing"])
def test_only_the_probe_decides_about_an_open_breaker(scene: Scene, out: object) -> None:
    """A late answer says how the agent was then."""
    scene.submit("t1")
    assert scene.commit("t1", ["a"] * 8)
    half_opened(scene)
    if out:
        scene.publish("opener")
    before = breaker(scene)
    verdicts = ("ok", "fault", "", "fault", "fault", "fault", "fault", "ok")
    for number, verdict in enumerate(verdicts, 1):
        assert scene.commit("t1", settle={number: verdict})  # type: ignore[dict-item]
        assert breaker(scene) == before


def test_a_breaker_is_closed_by_hand(scene: Scene) -> None:
    opened(scene)
    scene.commit("opener", enter=("a",))
    assert scene.world.store.reset_breaker("a")
    assert breaker(scene) == CLOSED
    assert not scene.world.store.reset_breaker("a")
    assert scene.counted("breaker_resets") == 1
    assert scene.woken() == ["opener"]
    assert scene.commit("opener", ["a"] * 3)


# --- rooms ------------------------------------------------------------------------------------


def crowded(scene: Scene, *waiting: str) -> int:
    """Give agent a one place, which is taken, and let these tasks wait for it."""
    scene.world.store.set_cap("agent", "a", 1)
    scene.submit("holder", *waiting)
    taken = scene.publish("holder")
    for task in waiting:
        assert scene.commit(task, enter=("a",))
    assert scene.woken() == []
    return taken


def uses(scene: Scene, task: str) -> int:
    """Take the place one was called in for."""
    assert scene.commit(task, ["a"], leave=("a",))
    return max(scene.open[task])


def test_a_place_that_comes_free_wakes_the_first_who_waits(scene: Scene) -> None:
    """Issue: "waiting tasks are admitted without polling"."""
    taken = crowded(scene, "t1", "t2")
    assert scene.commit("holder", settle={taken: "ok"})
    assert scene.woken() == ["t1"]
    assert scene.world.store.wait(0)
    taken = uses(scene, "t1")
    assert scene.woken() == []
    scene.commit("t1", settle={taken: "ok"})
    assert scene.woken() == ["t2"]


def test_as_many_are_woken_as_there_are_places(scene: Scene) -> None:
    scene.world.store.set_cap("agent", "a", 3)
    scene.submit("holder", "t1", "t2", "t3", "t4")
    assert scene.commit("holder", ["a"] * 3)
    for task in ("t1", "t2", "t3", "t4"):
        scene.commit(task, enter=("a",))
    assert scene.commit("holder", settle={1: "ok", 2: "ok"})
    assert scene.woken() == ["t1", "t2"]
    assert scene.commit("holder", settle={3: "ok"})
    assert scene.woken() == ["t1", "t2", "t3"]


def test_who_enters_when_there_is_a_place_is_woken_at_once(scene: Scene) -> None:
    """No wake-up is ever lost: the place came free while this was being decided."""
    scene.world.store.set_cap("agent", "a", 1)
    scene.submit("t1")
    scene.commit("t1", enter=("a",))
    assert scene.woken() == ["t1"]


def test_entering_twice_keeps_the_turn(scene: Scene) -> None:
    taken = crowded(scene, "t1", "t2")
    scene.commit("t1", enter=("a",))
    scene.commit("holder", settle={taken: "ok"})
    assert scene.woken() == ["t1"]


def test_tenants_take_turns_in_a_room(scene: Scene) -> None:
    """Issue: "fair round robin"."""
    taken = crowded(scene, "t1", "t2", "t3")
    scene.submit("u1", "u2", tenant="other")
    for task in ("u1", "u2"):
        scene.commit(task, enter=("a",))
    scene.commit("holder", settle={taken: "ok"})
    order = []
    for _ in range(5):
        [task] = scene.woken()
        order.append(task)
        scene.commit(task, settle={uses(scene, task): "ok"})
    assert order == ["t1", "u1", "t2", "u2", "t3"]


def test_a_tenant_that_comes_late_has_saved_up_no_turns(scene: Scene) -> None:
    """Its turn is one behind whoever was called in last, not before everybody."""
    taken = crowded(scene, *(f"t{n}" for n in range(6)))
    for _ in range(3):
        holder = next(task for task in scene.versions if taken in scene.open[task])
        scene.commit(holder, settle={taken: "ok"})
        [task] = scene.woken()
        taken = uses(scene, task)
    scene.submit("u1", "u2", "u3", tenant="other")
    for task in ("u1", "u2", "u3"):
        scene.commit(task, enter=("a",))
    order = []
    for _ in range(4):
        holder = next(task for task in scene.versions if taken in scene.open[task])
        scene.commit(holder, settle={taken: "ok"})
        [task] = scene.woken()
        order.append(task[0])
        taken = uses(scene, task)
    assert order == ["t", "u", "t", "u"]


@pytest.mark.parametrize("how", ["leaves", "ends"])
def test_who_does_not_use_a_place_passes_it_on(scene: Scene, how: str) -> None:
    """Nobody is forgotten: the place is free, and nothing would settle to say so."""
    taken = crowded(scene, "t1", "t2")
    scene.commit("holder", settle={taken: "ok"})
    if how == "leaves":
        assert scene.commit("t1", leave=("a",))
    else:
        scene.end("t1")
    assert scene.woken() == ["t2"]


def test_who_was_called_in_too_late_waits_in_front(scene: Scene) -> None:
    """Somebody took the place meanwhile; whoever waits is called again without asking again."""
    taken = crowded(scene, "t1", "t2")
    scene.commit("holder", settle={taken: "ok"})
    taken = scene.publish("holder")
    assert not scene.commit("t1", ["a"], leave=("a",))
    assert scene.commit("t1")
    assert scene.woken() == []
    scene.commit("holder", settle={taken: "ok"})
    assert scene.woken() == ["t1"]


def test_a_call_while_a_task_is_being_decided_is_not_lost(scene: Scene) -> None:
    taken = crowded(scene, "t1")
    scene.world.store.post("t1", b"cancel\n{}", "p")
    assert scene.world.store.claim(9).task_ids == ["t1"]
    scene.commit("holder", settle={taken: "ok"})
    assert scene.woken() == []  # nobody else shall decide the same
    scene.commit("t1", mail_read=1)
    assert scene.woken() == ["t1"]


def test_a_place_is_not_lost_on_an_orchestrator_whose_lease_has_run_out(scene: Scene) -> None:
    """Its commit may still land, and would put the alarm far away: found by the simulation."""
    scene.world.store.set_cap("tenant", "small", 1)
    scene.submit("t1", "t2", tenant="small")
    scene.world.store.post("t2", b"cancel\n{}", "p")
    assert scene.world.store.claim(9).task_ids == ["t2"]
    scene.world.pass_time(limits.WAKE_LEASE_MS + 1)
    scene.end("t1")
    assert scene.commit("t2", mail_read=1)
    assert scene.woken() == ["t2"]


def test_a_task_that_never_decides_does_not_hold_up_the_others_for_ever(scene: Scene) -> None:
    taken = crowded(scene, "poison", "t1")
    scene.commit("holder", settle={taken: "ok"})
    scene.commit("holder", enter=("a",))
    assert scene.woken() == ["poison"]
    scene.world.pass_time(limits.CALL_KEPT_MS + 1)
    scene.commit("holder", leave=("a",))
    assert scene.woken() == ["poison", "t1"]


def test_a_task_that_ends_leaves_all_rooms(scene: Scene) -> None:
    """A finished task has neither mail, alarm, claim nor message; nor a place in a queue."""
    taken = crowded(scene, "t1", "t2")
    scene.end("t1")
    scene.commit("holder", settle={taken: "ok"})
    assert scene.woken() == ["t2"]
    assert scene.world.alarm("t1") is None


@pytest.mark.parametrize("cap", [3, None])
def test_a_raised_cap_wakes_whoever_it_has_room_for(scene: Scene, cap: int | None) -> None:
    crowded(scene, "t1", "t2", "t3")
    scene.world.store.set_cap("agent", "a", cap)
    assert scene.woken() == ["t1", "t2", "t3"][: cap and cap - 1]


def test_a_room_that_is_empty_leaves_nothing_behind(scene: Scene) -> None:
    taken = crowded(scene, "t1")
    left = [b"room:", b"turns:", b"called:", b"SimRoom"]
    assert any(each in str(scene.world.snapshot()).encode() for each in left)
    scene.commit("holder", settle={taken: "ok"})
    scene.commit("t1", leave=("a",))
    assert not any(each in str(scene.world.snapshot()).encode() for each in left)


# --- rooms of agents whose breaker is open ----------------------------------------------------


def shut_out(scene: Scene, *waiting: str) -> int:
    """Open the breaker of a, let these tasks wait for it, and return when it is half open."""
    opened(scene)
    scene.submit(*waiting)
    for task in waiting:
        scene.commit(task, enter=("a",))
    return breaker(scene).opens_ms


def alarms(scene: Scene, *tasks: str) -> list[int | None]:
    return [scene.world.alarm(task) for task in tasks]


def test_exactly_one_of_those_who_wait_wakes_to_probe(scene: Scene) -> None:
    """Issue: "half-open probe after 30 s"; the others do not poll."""
    opens_ms = shut_out(scene, "t1", "t2", "t3")
    assert alarms(scene, "t1", "t2", "t3") == [opens_ms, LATER_MS, LATER_MS]
    scene.submit("before", tenant="other")
    scene.commit("before", enter=("a",))  # it gets in front, but one has its alarm set already
    assert alarms(scene, "before", "t1") == [LATER_MS, opens_ms]
    scene.commit("t1", journal=(b"something else",))
    assert alarms(scene, "t1", "t2") == [opens_ms, LATER_MS]


@pytest.mark.parametrize("how", ["leaves", "ends"])
def test_who_goes_hands_the_probe_to_the_next(scene: Scene, how: str) -> None:
    opens_ms = shut_out(scene, "t1", "t2", "t3")
    if how == "leaves":
        scene.commit("t1", leave=("a",))
    else:
        scene.end("t1")
    assert alarms(scene, "t2", "t3") == [opens_ms, LATER_MS]


def test_a_failed_probe_sets_the_next_one(scene: Scene) -> None:
    shut_out(scene, "t1", "t2")
    scene.world.pass_time(OPEN_MS)
    probe = uses(scene, "t1")
    assert alarms(scene, "t2") == [LATER_MS]
    scene.commit("t1", settle={probe: "fault"})
    assert alarms(scene, "t2") == [breaker(scene).opens_ms]


def test_a_probe_that_says_nothing_wakes_the_next_at_once(scene: Scene) -> None:
    shut_out(scene, "t1", "t2", "t3")
    scene.world.pass_time(OPEN_MS)
    scene.commit("t1", settle={uses(scene, "t1"): ""})
    assert scene.woken() == ["t2"]


def test_a_breaker_that_closes_wakes_as_many_as_the_cap_has_room_for(scene: Scene) -> None:
    scene.world.store.set_cap("agent", "a", 2)
    shut_out(scene, "t1", "t2", "t3", "t4")
    scene.world.pass_time(OPEN_MS)
    scene.commit("t1", settle={uses(scene, "t1"): "ok"})
    assert scene.woken() == ["t2", "t3"]


def test_a_large_room_is_emptied_wave_by_wave(scene: Scene) -> None:
    """Bounded at a time; the rest is woken by those who were woken: nobody is forgotten."""
    many = [f"t{n:03}" for n in range(limits.ROOM_WAKE_MAX + 20)]
    shut_out(scene, *many)
    scene.world.pass_time(OPEN_MS)
    scene.commit(many[0], settle={uses(scene, many[0]): "ok"})
    assert len(scene.woken()) == limits.ROOM_WAKE_MAX
    for task in many[1:]:
        assert task in scene.woken()
        uses(scene, task)
    assert scene.woken() == []


# --- what a commit says besides ---------------------------------------------------------------


def test_judgements_are_kept_up_to_a_bound(scene: Scene) -> None:
    """Every human decision is recorded against the confidence that was claimed."""
    scene.submit("t1")
    lines = tuple(b"%d" % n for n in range(limits.CALIBRATION_MAX + 2))
    assert scene.commit("t1", judged=lines)
    assert scene.world.store.calibration() == list(lines[2:])


def test_a_claim_names_its_agent_and_goes_with_it(scene: Scene) -> None:
    scene.submit("t1")
    assert scene.commit("t1", ["a"])
    scene.end("t1")
    assert scene.in_flight() == 0
    assert look(scene.world).state.value == "absent"


# --- nobody is forgotten ----------------------------------------------------------------------

AGENTS = ("a", "b")
TASKS = tuple(f"t{n}" for n in range(12))


class Walk:
    """A random walk of commits, in which each task waits for an agent until it gets a place."""

    def __init__(self, scene: Scene, seed: int) -> None:
        self.scene, self.random = scene, Random(seed)
        self.wants: dict[str, str] = {}
        self.over: set[str] = set()
        for number, task in enumerate(TASKS):
            scene.submit(task, tenant=f"tenant{number % 3}")

    def steps(self, count: int) -> None:
        acts = (self.asks, self.asks, self.settles, self.settles, self.wakes, self.wakes)
        rare = (self.gives_up, self.caps, self.resets, self.time_passes, self.mail_comes)
        for _ in range(count):
            self.random.choice(acts if self.random.random() < 0.8 else rare)()

    def asks(self) -> None:
        """Let a task want an agent: it gets a place now or waits."""
        task = self.random.choice(TASKS)
        if task not in self.wants:
            self.tries(task, self.random.choice(AGENTS))

    def tries(self, task: str, agent: str) -> None:
        leave = (agent,) if task in self.wants else ()
        if self.scene.commit(task, [agent], leave=leave):
            self.wants.pop(task, None)
        else:
            assert self.scene.commit(task, enter=() if task in self.wants else (agent,))
            self.wants[task] = agent

    def wakes(self) -> None:
        """Let one of those who are due try again."""
        due = [task for task in self.scene.woken() if task in self.wants]
        if due:
            task = self.random.choice(due)
            self.tries(task, self.wants[task])

    def settles(self) -> None:
        task = self.random.choice(TASKS)
        some = [n for n in self.scene.open[task] if self.random.random() < 0.6]
        verdicts = self.random.choices(("ok", "fault", ""), (2, 5, 1), k=len(some))
        assert self.scene.commit(task, settle=dict(zip(some, verdicts, strict=True)))

    def gives_up(self) -> None:
        if self.wants:
            task = self.random.choice(sorted(self.wants))
            assert self.scene.commit(task, leave=(self.wants.pop(task),))

    def caps(self) -> None:
        cap = self.random.choice((0, 1, 2, 5, None))
        self.scene.world.store.set_cap("agent", self.random.choice(AGENTS), cap)

    def resets(self) -> None:
        self.scene.world.store.reset_breaker(self.random.choice(AGENTS))

    def time_passes(self) -> None:
        self.scene.world.pass_time(10_000)

    def mail_comes(self) -> None:
        """Let a task be held while others go on, as a slow orchestrator does."""
        task = self.random.choice(TASKS)
        self.scene.world.store.post(task, b"cancel\n{}", f"p{self.random.random()}")
        self.scene.world.store.claim(len(TASKS))
        self.settles()
        assert self.scene.commit(task, mail_read=1)

    def ends_well(self) -> None:
        """Let every agent answer from now on, and only wake whom an alarm wakes."""
        for agent in AGENTS:
            self.scene.world.store.set_cap("agent", agent, 1)
        for _ in range(20 * len(TASKS)):
            for task in TASKS:
                verdicts = dict.fromkeys(self.scene.open[task], "ok")
                if verdicts:  # a commit of those who only wait would be a wake-up of its own
                    assert self.scene.commit(task, settle=verdicts)  # type: ignore[arg-type]
            self.wakes()
            if not self.scene.woken():
                self.time_passes()
            if not self.wants:
                return

    def seen(self) -> object:
        """Return what both stores must agree on, whatever their clocks say."""
        agents = self.scene.world.store.agents()
        open_ = {name: (s.breaker.open, s.breaker.probe) for name, s in agents.items()}
        flying = {name: (s.in_flight, s.cap) for name, s in agents.items()}
        return flying, open_, self.scene.woken(), self.scene.world.store.stats(), self.wants


@pytest.mark.parametrize("seed", range(6))
def test_nobody_who_waits_is_forgotten(scene: Scene, seed: int) -> None:
    """Whatever happens before: once agents answer, all get their place, woken by alarms alone."""
    walk = Walk(scene, seed)
    walk.steps(250)
    walk.ends_well()
    assert walk.wants == {}
    in_flight = Counter(agent for task in TASKS for agent in scene.open[task].values())
    assert {agent: scene.in_flight(agent) for agent in in_flight} == in_flight


@pytest.mark.parametrize("seed", range(6))
def test_both_stores_go_the_same_way(request: pytest.FixtureRequest, seed: int) -> None:
    """What the simulation proves of the core, it proves on a store that behaves as the real one."""
    walks = [Walk(Scene(make_kind(request, kind)), seed) for kind in KINDS]
    for _ in range(40):
        for walk in walks:
            walk.steps(6)
        simulated, real = (walk.seen() for walk in walks)
        assert simulated == real


# --- races ------------------------------------------------------------------------------------


@pytest.fixture
def real(request: pytest.FixtureRequest) -> Scene:
    return Scene(make_kind(request, "real"))


def racing(scene: Scene, many: int, act: Callable[[Store, int], None]) -> None:
    """Let so many threads act at once, each over a connection of its own."""
    world = cast("RealWorld", scene.world)
    failures: list[BaseException] = []
    start = Barrier(many)

    def run(number: int) -> None:
        try:
            start.wait()
            act(world.another_store(), number)
        except BaseException as error:  # noqa: BLE001 -- raised again below, by the test itself
            failures.append(error)

    threads = [Thread(target=run, args=(number,)) for number in range(many)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def sends(scene: Scene, store: Store, task: str, version: int, number: int) -> bool:
    """Publish one subtask over this connection."""
    raw = message(task, number)
    one = outgoing(scene.world, number, message=raw)
    wish = commit(version, f"{task}.{version}.{number}", task, publish=(one,))
    return store.commit([wish])[0]


def test_a_cap_holds_while_eight_threads_commit_at_random(real: Scene) -> None:
    """Caps never exceeded, whoever commits what when."""
    tasks = [f"t{n}" for n in range(8)]
    for task in tasks:
        real.world.store.submit(submission(task))
    real.world.store.set_cap("agent", "a", 5)
    most: list[int] = []

    def act(store: Store, thread: int) -> None:
        task, random, version = tasks[thread], Random(thread), 1
        flying: list[int] = []
        for number in range(150):
            if flying and random.random() < 0.5:
                ended = flying.pop()
                store.look(task, [], [ended])
                verdict = random.choice(("ok", ""))
                settle = (Settled(ended, "a", verdict),)  # type: ignore[arg-type]
                assert store.commit([commit(version, f"s{number}", task, settled=settle)]) == [True]
                version += 1
            elif sends(real, store, task, version, number):
                flying.append(number)
                version += 1
            most.append(store.agents()["a"].in_flight if flying else 0)
        store.look(task, [], flying)
        rest = tuple(Settled(each, "a", "") for each in flying)
        assert store.commit([commit(version, "rest", task, settled=rest)]) == [True]

    racing(real, 8, act)
    assert max(most) == 5
    assert real.in_flight() == 0
    assert real.counted("bulkhead_conflicts") > 0


def test_of_racing_orchestrators_one_sends_the_probe(real: Scene) -> None:
    """Exactly one probe; and nothing at all while the breaker is open."""
    opened(real)
    tasks = [f"t{n}" for n in range(8)]
    for task in tasks:
        real.world.store.submit(submission(task))
    sent: list[str] = []

    def act(store: Store, thread: int) -> None:
        for _ in range(20):
            if sends(real, store, tasks[thread], 1, 1):
                sent.append(tasks[thread])
                return

    racing(real, 8, act)
    assert (sent, real.in_flight()) == ([], 0)
    real.world.pass_time(OPEN_MS)
    racing(real, 8, act)
    assert len(sent) == real.in_flight() == real.counted("breaker_probes") == 1


def test_nothing_is_sent_once_a_breaker_has_opened(real: Scene) -> None:
    """Orchestrators race with the commit that opens it: what comes after it is refused."""
    real.submit("opener")
    real.faults("opener", limits.BREAKER_FAULTS - 1)
    last = real.publish("opener")
    for number in range(7):
        real.world.store.submit(submission(f"t{number}"))
    real.world.store.look("opener", [], [last])
    after: list[bool] = []

    def act(store: Store, thread: int) -> None:
        if thread == 7:
            settle = (Settled(last, "a", "fault"),)
            wish = commit(real.versions["opener"], "opens", "opener", settled=settle)
            assert store.commit([wish]) == [True]
            return
        version, seen_open = 1, 0
        for number in count():
            was_open = store.agents()["a"].breaker.open
            done = sends(real, store, f"t{thread}", version, number)
            version += done
            if was_open:
                after.append(done)
            seen_open += was_open
            if seen_open == 10:
                return

    racing(real, 8, act)
    assert breaker(real).open
    assert not any(after)
    assert len(after) == 70
