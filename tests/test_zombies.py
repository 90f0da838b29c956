"""Processes that stood still at a named moment, past their lease, and go on as if nothing had been.

What a zombie writes is refused and counted, whatever it was about to do, and what was decided in
its absence stands. The moments are seams of the real code: between a fetch and the agent, around a
charge, a report, a commit.
"""

import json

import pytest

from envelopes import Amounts, Envelope, limits
from tests.faulty import Crash
from tests.stage import Owner, Part, Play, Stage, Worker, failures_of, open_stages

WISH = {
    "goal": "g",
    "agent": "worker",
    "budget": {"tokens": 1_000, "calls": 20},
    "timeout": 3600,
    "until": {"kind": "plan_done"},
}
PAST_THE_LEASE_MS = limits.LEASE_MS + 1
CALL, WORST = Amounts(30, 0, 1), Amounts(110, 0, 1)
TWO_CALLS = {"tokens": 60, "usd_micros": 0, "calls": 2}
NOBODY = "another"
"""The worker that takes over."""


@pytest.fixture(scope="module")
def stages(server):
    """Make stages on this process's server."""
    with open_stages(server) as made:
        yield made


# --- workers -------------------------------------------------------------------------------------


class Moments:
    """A worker's claims, with a place to stand still before and after each call."""

    def __init__(self, claims, moment, pause) -> None:
        self._claims, self._moment, self._pause = claims, moment, pause

    def charge(self, *args):
        self._at("before charge")
        return self._claims.charge(*args)

    def report(self, *args):
        self._at("before report")
        answer = self._claims.report(*args)
        self._at("after report")
        return self._claims.report(*args) if self._moment == "after report" else answer

    def _at(self, moment: str) -> None:
        if moment == self._moment:
            self._pause()


class Scene:
    """One task with one step; its first worker stands still once, at a moment, and then goes on."""

    def __init__(self, stages, moment: str, *, ends_meanwhile: bool) -> None:
        self.moment, self._ends_meanwhile = moment, ends_meanwhile
        self.stage: Stage = stages({"worker": Part(self._play)})
        self.paused = False

    def begin(self) -> None:
        """Let a worker take the step, and stand still in the middle of it."""
        stage = self.stage
        stage.caller(lambda caller: caller.submit("task", WISH))
        stage.worker(lambda _: None)
        self.decide()
        zombie: Worker = stage.worker(lambda worker: worker)
        zombie.claims = Moments(zombie.claims, self.moment, self.pause)
        (self.order,) = zombie.take()
        if self.moment == "after claim":
            self.pause()
        self.answer = zombie.run(self.order)

    def pause(self) -> None:
        """Stand still, while the lease runs out and the others go on."""
        if self.paused:
            return
        self.paused = True
        self.stage.pass_time(PAST_THE_LEASE_MS)
        self.decide()
        if self._ends_meanwhile:
            self.another_worker()
        self.before = self.stage.tape.snapshot()

    def another_worker(self) -> None:
        """Let somebody else do what there is to do."""
        for order in self.stage.worker(Worker.take, NOBODY) or []:
            self.stage.worker(lambda worker, o=order: worker.run(o), NOBODY)
        self.decide()

    def decide(self) -> None:
        self.stage.settle()

    def head(self) -> dict:
        record = self.stage.keys.task(self.stage.tasks["task"])
        return json.loads(self.stage.client.hget(record, "head"))

    def _play(self, play: Play) -> Envelope:
        play.spend(20)
        play.context.keep({"by": play.grant.subtask}, 0.8)
        if self.moment == "before settle" and play.worker.name != NOBODY:
            self.pause()
        play.spend(20)
        return play.done()


LOST = {
    "after claim": (0, "fenced_charges"),
    "before charge": (0, "fenced_charges"),
    "before settle": (WORST.tokens, "fenced_charges"),
    "before report": (CALL.tokens + WORST.tokens, "fenced_reports"),
}
"""What the lost worker has cost by then (its last call at its worst); where its write counts."""


@pytest.mark.parametrize("ends_meanwhile", [True, False], ids=["ended", "reissued"])
@pytest.mark.parametrize("moment", LOST)
def test_a_worker_that_slept_past_its_lease_changes_nothing(stages, moment, ends_meanwhile):
    """Fault matrix: «each later write refused and recorded; the new outcome stands»."""
    scene = Scene(stages, moment, ends_meanwhile=ends_meanwhile)
    stage, (cost, counter) = scene.stage, LOST[moment]
    with failures_of(stage):
        scene.begin()
        assert scene.paused
        assert scene.answer is None, "its report was taken"
        assert stage.stat(counter) == 1
        assert stage.tape.snapshot() == scene.before
        scene.another_worker()
        verdict = stage.verdict()
    assert not verdict.violations
    head = scene.head()
    assert (head["outcome"], json.loads(head["result"])) == ("completed", {"by": "task-0/2"})
    spent = {**TWO_CALLS, "tokens": 60 + cost, "calls": 2 + _calls(cost)}
    assert head["ledger"]["spent"] == spent
    assert head["ledger"]["reserved"] == {"tokens": 0, "usd_micros": 0, "calls": 0}


def _calls(cost: int) -> int:
    return {0: 0, WORST.tokens: 1, CALL.tokens + WORST.tokens: 2}[cost]


def test_a_worker_that_slept_after_its_report_does_not_report_twice(stages):
    """Fault matrix: it wakes up with its report's reply lost, and sends it again."""
    scene = Scene(stages, "after report", ends_meanwhile=True)
    with failures_of(scene.stage):
        scene.begin()
        verdict = scene.stage.verdict()
    assert scene.stage.stat("fenced_reports") == 1
    assert scene.stage.tape.snapshot() == scene.before
    assert not verdict.violations
    assert scene.head()["ledger"]["spent"] == TWO_CALLS
    assert json.loads(scene.head()["result"]) == {"by": "task-0/1"}


@pytest.mark.parametrize("moment", LOST)
def test_nothing_that_a_zombie_can_say_is_heard(stages, moment):
    """Promise 2: no overspending «under any fan-out, any crash, any zombie»."""
    scene = Scene(stages, moment, ends_meanwhile=False)
    with failures_of(scene.stage):
        scene.begin()
        zombie, grant = scene.stage.worker(lambda worker: worker.direct), scene.order.grant
        subtask, token = grant.subtask, grant.token
        before, fenced = scene.stage.tape.snapshot(), scene.stage.stat("fenced_charges")
        envelope = Envelope.success("mine!", 1).model_dump_json().encode()
        queue = scene.stage.keys.queue("worker")
        assert zombie.charge(subtask, token, "op", Amounts(1, 0, 1), []) == "revoked"
        assert zombie.charge(subtask, token, "op", Amounts(), [("1", Amounts())]) == "revoked"
        assert zombie.report(subtask, token, [("1", Amounts())], envelope) == "revoked"
        assert not zombie.hand_back(subtask, token, queue, b"again")
        assert scene.stage.stat("fenced_charges") == fenced + 2
        assert scene.stage.tape.snapshot() == before
        assert zombie.beat([(subtask, token)], "{}") == [subtask]


def test_who_has_handed_a_subtask_back_has_no_say_in_it_any_more(stages):
    """A claim's token is the right to act on a subtask; another worker has another one."""
    scene = Scene(stages, "never", ends_meanwhile=False)
    stage, answer = scene.stage, Envelope.success("mine!", 1).model_dump_json().encode()
    with failures_of(stage):
        stage.caller(lambda caller: caller.submit("task", WISH))
        stage.owner(Owner.turn)
        (order,) = stage.worker(Worker.take)
        old, subtask = stage.worker(lambda worker: worker.direct), order.grant.subtask
        stage.worker(lambda worker: worker.hand_back(order))
        (again,) = stage.worker(Worker.take, NOBODY)
        assert again.grant.subtask == subtask
        before = stage.tape.snapshot()
        assert old.charge(subtask, order.grant.token, "1", Amounts(1, 0, 1), []) == "revoked"
        assert old.report(subtask, order.grant.token, [], answer) == "revoked"
        assert old.hand_back(subtask, order.grant.token, order.queue, None), "a retry, and known"
        assert stage.tape.snapshot() == before
        assert old.beat([(subtask, order.grant.token)], "{}") == [subtask]
        stage.worker(lambda worker: worker.hand_back(again), NOBODY)
        (last,) = stage.worker(Worker.take, "a third")
        assert not old.hand_back(subtask, order.grant.token, order.queue, b"twice")
        stage.worker(lambda worker: worker.run(last), "a third")
        scene.decide()
        verdict = stage.verdict()
    assert not verdict.violations
    assert json.loads(scene.head()["result"]) == {"by": "task-0/1"}


def test_a_worker_that_slept_past_its_time_and_was_not_missed_may_settle_and_no_more(stages):
    """Invariant 6: no charge after the deadline, though nobody has taken the claim away."""
    scene = Scene(stages, "before settle", ends_meanwhile=False)
    scene.decide = lambda: None  # every orchestrator is dead
    stage = scene.stage
    with failures_of(stage):
        stage.caller(lambda caller: caller.submit("task", WISH | {"timeout": 5}))
        stage.worker(lambda _: None)
        stage.owner(Owner.turn)
        (order,) = stage.worker(Worker.take)
        answer = stage.worker(lambda worker: worker.run(order))
        assert stage.stat("late_charges") == 1
        assert answer is not None
        assert answer.fault == "timeout"
        Scene.decide(scene)
        verdict = stage.verdict()
    assert not verdict.violations
    head = scene.head()
    assert (head["outcome"], json.loads(head["result"])) == ("partial", {"by": "task-0/1"})
    assert head["ledger"]["spent"] == {"tokens": CALL.tokens, "usd_micros": 0, "calls": 1}


# --- orchestrators -------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["load", "look", "commit"])
def test_an_orchestrator_that_slept_past_its_lease_decides_nothing(stages, moment):
    """Fault matrix, an orchestrator past its hold: «commit refused, another has decided»."""
    stage = stages({"worker": Part(lambda play: play.done())})
    with failures_of(stage):
        stage.caller(lambda caller: caller.submit("task", WISH))
        stage.owner(Owner.turn)
        stage.worker(Worker.take)  # and it is never heard of again
        stage.pass_time(PAST_THE_LEASE_MS)
        slept = _sleep_once(stage, moment)
        stage.owner(Owner.turn)
        assert slept == [moment]
        journal = stage.client.lrange(stage.keys.journal("task-0"), 0, -1)
        assert [json.loads(line)["why"] for line in journal] == ["publish", "lost", "publish"]
        assert stage.stat("conflicts") == (1 if moment == "commit" else 0), (
            "what is read later is read anew"
        )
        for order in stage.worker(Worker.take, NOBODY):
            stage.worker(lambda worker, o=order: worker.run(o), NOBODY)
        stage.owner(Owner.turn)
        verdict = stage.verdict()
    assert not verdict.violations
    assert stage.outcome("task") == "completed"
    assert stage.stat("pushed") == 2


def _sleep_once(stage: Stage, moment: str) -> list[str]:
    """Make the orchestrator stand still before one call, past its hold, while another decides."""
    slept: list[str] = []
    store = stage.owner(lambda owner: owner.store)
    call = getattr(store, moment)

    def late(*args):
        if not slept:
            slept.append(moment)
            stage.pass_time(limits.WAKE_LEASE_MS + 1)
            stage.owner(Owner.turn, "another orchestrator")
        return call(*args)

    setattr(store, moment, late)
    return slept


def test_a_crash_is_no_exception_that_a_process_survives(stages):
    """The fault injection itself: a process that has died sends nothing any more."""
    stage = stages({"worker": Part(lambda play: play.done())})
    line = stage.line("doomed")
    with pytest.raises(Crash):
        line.die()
    with pytest.raises(Crash):
        line.ping()
    assert not stage.tape.calls
