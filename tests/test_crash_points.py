"""A fault at every call to the server: orchestrator, worker and caller, enumerated, none sampled.

One small story, with everything in it that a process can be in the middle of: a plan with two
parallel steps, a fallback after a step that ran out of budget, a handoff, a letter that is decided
by retry and then by approve, a task that is cancelled while its agent runs, a hand-back, a forged
copy of a message. It is played once undisturbed, to count its calls; then once for every call and
every fault that can strike there. However it was struck, it must end the same.
"""

import pytest

from envelopes import limits
from envelopes.decision import Decision, Verb
from envelopes.envelope import Envelope
from envelopes.request import Amount
from orchestrator.lua import LUA
from orchestrator.sim.auditor import Verdict
from tests.faulty import Call, Fault
from tests.stage import Caller, Owner, Part, Play, Stage, Worker, edited, failures_of, open_stages
from tests.witness import UNSEEN_FROM_OUTSIDE, void
from workers import claims

ROUNDS_MAX = 80
ROUND_MS = 1_100
"""Longer than an orchestrator believes what it knows of agents, shorter than every lease."""
AS_IF_ONCE = {Fault.REPLY_LOST, Fault.SENT_TWICE}
"""Faults after which nothing is even paid for once more."""
BOUNDS = {"goal": "g", "timeout": 3600, "until": {"kind": "plan_done"}}
BUDGET = {"budget": {"tokens": 5_000, "calls": 50}}
TREE = {
    **BOUNDS,
    **BUDGET,
    "plan": [
        {"id": "a", "agent": "steady"},
        {"id": "b", "agent": "weak", "fallbacks": ["steady"]},
        {"id": "c", "agent": "front", "needs": ["a", "b"]},
    ],
}
DOUBT = {**BOUNDS, **BUDGET, "agent": "unsure"}
STOP = {**BOUNDS, **BUDGET, "agent": "long"}
WISHES = {"tree": TREE, "doubt": DOUBT, "stop": STOP}
OUTCOMES = {"tree": "completed", "doubt": "completed", "stop": "aborted"}


# --- the cast ------------------------------------------------------------------------------------


def steady(play: Play) -> Envelope:
    play.spend(20)
    play.worker.beat.now()
    play.spend(30)
    return play.done()


def weak(play: Play) -> Envelope:
    """Ask for more than there is."""
    play.spend(5)
    with play.context.meter.call(input_tokens=1_000_000, max_tokens=1):
        raise AssertionError("it could not be paid for")


def front(play: Play) -> Envelope:
    return play.context.handoff("back", reason="not mine")


def unsure(play: Play) -> Envelope:
    play.spend(40)
    return play.done(0.4)


def long(play: Play) -> Envelope:
    """Be cancelled in the middle, and go on all the same."""
    stage = play.stage
    play.spend(10)
    while not stage.caller(lambda caller: caller.cancel(stage.tasks["stop"])):
        pass  # it has died of it: somebody else will
    stage.pass_time(1)
    stage.owner(Owner.turn)
    play.spend(10)
    return play.done()


CAST = {
    "steady": Part(steady),
    "weak": Part(weak),
    "front": Part(front, handoffs=("back",)),
    "back": Part(steady),
    "unsure": Part(unsure),
    "long": Part(long),
}


# --- the story -----------------------------------------------------------------------------------


class Story:
    """Who does what next; whoever has died is replaced by somebody who knows nothing."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._forged = self._woken = self._idled = self._operated = self._cleared = False
        stage.tape.meanwhile = lambda _: self._go_on_without()

    def play(self) -> Verdict:
        """Play it to its end."""
        with failures_of(self.stage):
            for _ in range(ROUNDS_MAX):
                if self._round():
                    self.stage.pass_time(ROUND_MS)
                elif self.stage.over(len(WISHES)):
                    return self.stage.verdict()
                else:
                    self._wait()
        raise AssertionError(f"not over after {ROUNDS_MAX} rounds: {self._standing()}")

    def _go_on_without(self) -> None:
        """Let everybody's lease run out, and others do what there is to do."""
        stage = self.stage
        stage.pass_time(limits.LEASE_MS + 1)
        stage.settle("another orchestrator")
        for order in stage.worker(Worker.take, "another worker"):
            stage.worker(lambda worker, o=order: worker.run(o), "another worker")
        stage.settle("another orchestrator")

    def _round(self) -> bool:
        """Let everybody act; say whether anybody had anything to do."""
        self.stage.neglected += self.stage.sleepers()
        acts = (self._submit, self._operate, self._decide, self._wake, self._forge, self._work)
        acts = (*acts, self._answer, self._clear)
        return any([act() for act in acts])  # noqa: C419 - each must act

    def _submit(self) -> bool:
        missing = [name for name in WISHES if name not in self.stage.tasks]
        for name in missing:
            self.stage.caller(lambda caller, n=name: caller.submit(n, WISHES[n]))
        return bool(missing)

    def _operate(self) -> bool:
        """Be an operator: bound an agent so that nobody is ever held up by it."""
        if not self._operated:
            self._operated = bool(self.stage.caller(lambda caller: caller.operate("steady", 9)))
        return False

    def _decide(self) -> bool:
        busy = self.stage.due()
        if not busy and self.stage.tasks and not self._idled:
            self._idled = True
            self.stage.owner(Owner.turn)
        self.stage.settle()
        return busy

    def _forge(self) -> bool:
        if not self._forged and (queued := self.stage.queued()):
            self._forged = True
            self.stage.inject(queued[0][0], edited(queued[0][1]))
        return False

    def _work(self) -> bool:
        """Take two, give all but the first back, and run that."""
        if not self.stage.queued():
            return False
        orders = self.stage.worker(Worker.take) or []
        for order in reversed(orders[1:]):
            self.stage.worker(lambda worker, o=order: worker.hand_back(o))
        for order in orders[:1]:
            self.stage.worker(lambda worker, o=order: worker.run(o))
        return True

    def _wake(self) -> bool:
        """Wake a task for nothing."""
        stage = self.stage
        tree = stage.tasks.get("tree")
        if tree and not self._woken and stage.client.exists(stage.keys.claim(f"{tree}/1")):
            self._woken = True
            stage.client.zadd(stage.keys.due, {tree: stage.now_ms})
            stage.owner(Owner.turn)
        return False

    def _answer(self) -> bool:
        """Be a person: retry first, approve then."""
        answered = [self._answer_one(letter) for letter in self.stage.letters()]
        return any(answered)

    def _answer_one(self, letter: str) -> bool:
        decision = Decision(letter=letter, verb=Verb.APPROVE, by="me")
        if letter.endswith(".1"):
            more = Amount(tokens=1_000)
            decision = Decision(letter=letter, verb=Verb.RETRY, by="me", budget=more)
        return bool(self.stage.caller(lambda caller: caller.answer(decision)))

    def _clear(self) -> bool:
        """Be a person who looks for forged messages until there was one."""
        if self._forged and not self._cleared:
            self._cleared = bool(self.stage.caller(Caller.clear_desk))
        return False

    def _wait(self) -> None:
        """Nobody can do anything before the next alarm."""
        self.stage.pass_time(max(1, self.stage.next_alarm_ms() - self.stage.now_ms))

    def _standing(self) -> dict[str, object]:
        return {name: self.stage.outcome(name) for name in self.stage.tasks}


# --- the enumeration -----------------------------------------------------------------------------

ELSEWHERE = {
    *("journal", "today", "overview", "figures", "find_tasks", "look_wait"),
    *("authenticate", "open_session", "answer_wait"),
    *("save_subscription", "remove_subscription"),
    *("expand_news", "claim_deliveries", "settle_delivery"),
    *("take_submissions", "accept_submission", "refuse_submission"),
    *("purge", "purge_letters", "purge_deliveries", "reserve", "unreserve"),
    *("fail", "rest"),
}
"""Scripts that only show, and those of the way in, of the courier, of the door, of the broom, of
cells and of a task that cannot be decided: none of them is in this story, and each is sent twice
where it is tested."""
ALL_SCRIPTS = {path.stem for folder in (LUA, claims.LUA) for path in folder.glob("[a-z]*")}
SCRIPTS = sorted(ALL_SCRIPTS - ELSEWHERE)
COMMANDS = ["HGETALL", "BLPOP", "ZCARD"]
"""What an orchestrator says besides: who is there, wake me, and is the desk full."""
PIPELINES = ["load", "commit", "HGETALL"]
STRIKES = [
    pytest.param(name, fault, id=f"{name}-{fault.replace(' ', '-')}")
    for name in (*SCRIPTS, *COMMANDS)
    for fault in Fault
    if fault is not Fault.CRASH_MIDWAY or name in PIPELINES
]


@pytest.fixture(scope="module")
def stages(server):
    """Make stages on this process's server."""
    with open_stages(server) as made:
        yield made


@pytest.fixture(scope="module")
def undisturbed(stages):
    """Play it without faults; a first time so that the server knows the scripts."""
    Story(stages(CAST)).play()
    stage = stages(CAST)
    verdict = Story(stage).play()
    assert not verdict.violations, verdict.violations
    assert outcomes(stage) == OUTCOMES
    return stage


def outcomes(stage: Stage) -> dict[str, str | None]:
    return {name: stage.outcome(name) for name in stage.tasks}


def invoices(stage: Stage) -> list[object]:
    """List what the model was paid for; a stopped agent may come to one more call, or not."""
    stop = stage.tasks["stop"]
    return sorted(cost for subtask, cost in stage.invoices.values() if stop not in subtask)


def struck(stages, call: Call, fault: Fault) -> tuple[Stage, Verdict]:
    """Play it with one fault, and check that it struck where it was meant to."""
    stage = stages(CAST, {call.number: fault})
    verdict = Story(stage).play()
    assert stage.tape.struck == [(call, fault)]
    return stage, verdict


@pytest.mark.parametrize(("name", "fault"), STRIKES)
def test_a_fault_at_any_call_changes_no_outcome(undisturbed, stages, name, fault):
    """Fault matrix: «SIGKILL before and after every Redis call (enumerate the calls)».

    Another process finishes the task and no effect is repeated. «Reply lost and retried, at every
    call»: as if once. And a process that stands still before a call, past every lease, changes
    nothing that was decided meanwhile.
    """
    many = fault is Fault.CRASH_MIDWAY
    calls = [c for c in undisturbed.tape.calls if c.name == name and (c.many or not many)]
    assert calls, f"nobody calls {name} in this story"
    for call in calls:
        stage, verdict = struck(stages, call, fault)
        assert not verdict.violations, f"{fault} at {call}: {verdict.violations}"
        assert outcomes(stage) == OUTCOMES, f"{fault} at {call}"
        if fault in AS_IF_ONCE:
            assert invoices(stage) == invoices(undisturbed), f"{fault} at {call}"


def test_every_call_of_the_story_is_enumerated(undisturbed):
    """«Enumerate the calls»: none is made that is not struck, and no script is left out."""
    assert {call.name for call in undisturbed.tape.calls} == {*SCRIPTS, *COMMANDS}
    assert ELSEWHERE < ALL_SCRIPTS
    assert {call.name for call in undisturbed.tape.calls if call.many} == {*PIPELINES}


def test_every_promise_had_something_to_be_checked_on(undisturbed, stages):
    """PROMISES.md: «a run in which a predicate had nothing to check» is void, not green."""
    verdict = undisturbed.verdict()
    commit = next(call for call in undisturbed.tape.calls if call.name == "commit")
    verdict.add(struck(stages, commit, Fault.SENT_TWICE)[1])
    assert not void(verdict)
    assert verdict.unseen == UNSEEN_FROM_OUTSIDE
