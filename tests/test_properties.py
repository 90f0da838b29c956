"""Whatever comes, in whatever order: what must hold of every task at every decision.

A task is drawn (plan, budget, caps, finish line), then a life: mail that is good, bad, late,
repeated or made up; workers that fetch, charge, beat and fall silent; a clock that jumps. After
every decision the books are checked against the events, not against the core's own arithmetic.
"""

import json
import os
from itertools import pairwise
from typing import Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from play import Play, request

from envelopes import Amounts, Envelope, Fault, Limits, TaskRequest
from orchestrator.core import state
from orchestrator.core.commands import Conclude, Decision, Escalate, Look, Publish, Settle
from orchestrator.core.decide import decide
from orchestrator.core.facts import Cancelled, Claim, ClaimState, Mail, Report, Sight
from orchestrator.core.replan import plan_fingerprint
from orchestrator.core.task import Phase, StepPhase, Task

AGENTS = ("ann", "bob", "cy")
DIMENSIONS = ("tokens", "usd_micros", "calls")
FIGURES = st.integers(0, 400)
SUMS = st.builds(Amounts, FIGURES, FIGURES, st.integers(0, 5))
NAMES = st.sampled_from(AGENTS)

# --- drawing a task ------------------------------------------------------------------------------


@st.composite
def plans(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw a plan whose needs point backwards, so that it is never a circle."""
    steps: list[dict[str, Any]] = []
    for number in range(draw(st.integers(1, 5))):
        before = [each["id"] for each in steps]
        each: dict[str, Any] = {"id": f"s{number}", "agent": draw(NAMES)}
        each["needs"] = draw(st.lists(st.sampled_from(before), unique=True)) if before else []
        each["fallbacks"] = draw(st.lists(NAMES, max_size=2))
        each["optional"] = draw(st.booleans())
        each["weight"] = draw(st.integers(1, 3))
        each["timeout"] = draw(st.sampled_from([0.05, 5, 20]))
        if draw(st.booleans()):
            each["allowance"] = {"tokens": draw(st.integers(1, 300))}
        steps.append(each)
    return steps


LINES = st.sampled_from(
    [
        {"kind": "plan_done"},
        {"kind": "confidence", "at_least": 0.8},
        {"kind": "any", "of": [{"kind": "plan_done"}, {"kind": "spent", "share": 0.5}]},
        {"kind": "any", "of": [{"kind": "plan_done"}, {"kind": "elapsed", "seconds": 7.0004}]},
        {"kind": "all", "of": [{"kind": "plan_done"}, {"kind": "elapsed", "seconds": 3}]},
    ]
)
BUDGETS = st.fixed_dictionaries(
    {"tokens": st.integers(1, 2000), "ending_share": st.sampled_from([0, 0.1, 0.5])},
    optional={"usd": st.sampled_from(["0.0005", "0.01"]), "calls": st.integers(1, 20)},
)


@st.composite
def requests(draw: st.DrawFn) -> TaskRequest:
    """Draw a task that intake takes."""
    return request(
        plan=draw(plans()),
        fallback_plans=draw(st.lists(plans(), max_size=2)),
        budget=draw(BUDGETS),
        timeout=draw(st.sampled_from([10, 60, 600])),
        until=draw(LINES),
        hops_max=draw(st.integers(5, 8)),
        subtasks_max=draw(st.integers(5, 20)),
        replans_max=draw(st.integers(0, 4)),
        at_cap=draw(st.sampled_from(["deliver", "escalate", "abort"])),
        result_schema=draw(st.none() | st.just({"type": ["object", "integer"]})),
        desk_timeout=draw(st.sampled_from([5, 100])),
        desk_default=draw(st.sampled_from(["abort", "approve"])),
    )


# --- drawing a life ------------------------------------------------------------------------------

CONFIDENCES = st.sampled_from([0.0, 0.5, 0.7, 0.9, 1.0])
RESULTS = st.one_of(st.none(), st.integers(), st.text(max_size=3))
FAULTS = st.none() | st.sampled_from(Fault)
ENVELOPES = st.one_of(
    st.builds(Envelope.success, RESULTS, CONFIDENCES),
    st.builds(Envelope.partial, RESULTS, CONFIDENCES, st.just("half")),
    st.builds(lambda fault: Envelope.failed("bad", fault), FAULTS),
    st.builds(
        lambda to, goal: Envelope.model_validate_json(
            json.dumps(
                {
                    "status": "partial",
                    "reason": "r",
                    "ask": {"kind": "handoff", "to": to, "goal": goal},
                }
            )
        ),
        st.sampled_from((*AGENTS, "stranger")),
        st.sampled_from([None, "again", "other"]),
    ),
)
DECISIONS = st.one_of(
    st.just({"verb": "approve"}),
    st.just({"verb": "abort"}),
    st.builds(lambda result: {"verb": "amend", "result": result}, st.sampled_from([1, "x"])),
    st.builds(
        lambda tokens, hops, time: (
            {"verb": "retry", "hops": hops}
            | ({"budget": {"tokens": tokens}} if tokens else {})
            | ({"time": time} if time else {})
        ),
        st.integers(0, 500),
        st.integers(0, 3),
        st.integers(0, 30),
    ),
)
PAUSES = st.sampled_from([0, 1, 60, 3_000, 10_000, 31_000])


class Life(Play):
    """A task, and books of our own that are kept from the outside."""

    def __init__(self, asked: TaskRequest) -> None:
        super().__init__(asked)
        self.knows(ann=("bob", "cy"), bob=("ann",), cy=())
        self.allowed: dict[int, Limits] = {}
        self.settled: list[int] = []
        self.sent_mail: list[Mail] = []

    def live(self, data: st.DataObject) -> Decision:
        """Let one thing happen, and wake it."""
        for subtask in data.draw(st.lists(st.sampled_from(self.open))) if self.open else ():
            self._somebody_works(data, subtask)
        mail = data.draw(st.lists(self._letters(), max_size=3))
        self.sent_mail.extend(mail)
        return self.wake(*mail, after_ms=data.draw(PAUSES))

    def _somebody_works(self, data: st.DataObject, subtask: int) -> None:
        claim = self.claims[subtask]
        match data.draw(st.sampled_from(["fetch", "beat", "charge", "gone", "lost"])):
            case "fetch" if claim.state is ClaimState.ISSUED:
                self.fetch(subtask)
            case "beat" if claim.state is ClaimState.CLAIMED:
                self.beat(subtask)
            case "charge" if claim.state is ClaimState.CLAIMED:
                charged = (claim.charged + data.draw(SUMS)).clamped(self.allowed[subtask])
                self._claim(subtask, charged=charged)
            case "gone":
                self.lose_message(subtask)
            case "lost" if data.draw(st.integers(0, 3)) == 0:
                self.lose_record(subtask)

    def _letters(self) -> st.SearchStrategy[Mail]:
        subtasks = st.sampled_from([*self.open, *range(1, 4)])
        kinds: list[st.SearchStrategy[Mail]] = [
            st.builds(self._report, subtasks, SUMS, ENVELOPES),
            st.builds(lambda said: self.decision(**said), DECISIONS),
        ]
        if self.sent_mail:
            kinds.append(st.sampled_from(self.sent_mail))
        rare = st.integers(0, 9).map(lambda n: n == 0)
        usual = st.one_of(kinds)
        return rare.flatmap(lambda yes: st.just(Cancelled("ann", "")) if yes else usual)

    def _report(self, subtask: int, charged: Amounts, envelope: Envelope) -> Mail:
        if subtask in self.claims and self.claims[subtask].state is not ClaimState.ABSENT:
            self._claim(subtask, state=ClaimState.REPORTED)
        return Report(subtask, charged, envelope)

    def _commit(self, decision: Decision) -> Decision:
        before = self.task
        super()._commit(decision)
        self._keep_books(decision)
        check(self, before, decision)
        return decision

    def _keep_books(self, decision: Decision) -> None:
        for each in decision.commands:
            if isinstance(each, Publish):
                assert each.subtask not in self.allowed, "a subtask id is used once"
                self.allowed[each.subtask] = each.allowance
            if isinstance(each, Settle):
                assert each.subtask in self.allowed
                assert each.subtask not in self.settled, "a subtask is settled once"
                self.settled.append(each.subtask)


# --- what must hold ------------------------------------------------------------------------------


def check(life: Life, before: Task, decision: Decision) -> None:
    """Check one decision against everything that was promised of it."""
    check_books(life, decision)
    check_caps(decision)
    check_hops(before, decision)
    check_standing(life, decision)
    check_ends(before, decision)
    check_record(life, before, decision)


def check_books(life: Life, decision: Decision) -> None:
    """Invariants 3 and 4, in every dimension, at the decision and at every line of its journal."""
    ledger = decision.task.ledger
    still_open = [life.allowed[n] for n in life.allowed if n not in life.settled]
    for name in DIMENSIONS:
        ceiling = getattr(ledger.ceiling, name)
        assert getattr(ledger.reserved, name) == sum(getattr(a, name) or 0 for a in still_open)
        for books in (ledger, *decision.notes):
            spent, reserved = getattr(books.spent, name), getattr(books.reserved, name)
            assert spent >= 0
            assert reserved >= 0
            assert ceiling is None or spent + reserved <= ceiling
    for note in decision.notes:
        if note.charged is not None and note.subtask is not None:
            event(f"charged by {note.why}")
    assert {step.open.subtask for step in decision.task.steps if step.open} == {
        n for n in life.allowed if n not in life.settled
    }


def check_caps(decision: Decision) -> None:
    """Invariant 7: nothing goes out beyond a cap, and never an empty allowance."""
    task = decision.task
    assert task.hop <= task.hops_max
    assert task.subtasks <= task.terms.subtasks_max
    assert task.replans <= task.terms.replans_max
    for each in decision.commands:
        if isinstance(each, Publish):
            assert 1 <= each.hop <= task.hops_max
            assert not each.allowance.empty
            assert each.attempt >= 1


def check_hops(before: Task, decision: Decision) -> None:
    """The hop of a message is the hop of its cause plus one: of its needs, or of its last try."""
    hops = {step.plan.id: step.hop for step in (*before.steps, *decision.task.steps)}
    same_plan = before.plan_number == decision.task.plan_number
    for each in decision.commands:
        if not isinstance(each, Publish):
            continue
        step = next(s for s in decision.task.steps if s.plan.id == each.step)
        old = next((s for s in before.steps if s.plan.id == each.step), None)
        stage = 1 + max((hops[need] for need in step.plan.needs), default=0)
        assert each.hop >= stage
        assert each.hop <= before.hop + 1
        if same_plan and old is not None and old.hop:
            assert each.hop in {old.hop, old.hop + 1, stage}
        elif same_plan:
            assert each.hop == max(stage, old.next_hop if old else 0)
        else:
            assert each.hop >= 2
            event("hop of a new plan")


def check_standing(life: Life, decision: Decision) -> None:
    """Invariant 9: what has not ended has an alarm; on the desk nothing is open; ends are clean."""
    task = decision.task
    assert (decision.alarm_ms is None) == (task.phase is Phase.DONE)
    assert (task.letter is not None) == (task.phase is Phase.ON_DESK)
    assert (task.outcome is not None) == (task.phase is Phase.DONE)
    if task.phase is not Phase.WORKING:
        assert task.ledger.reserved == Amounts()
        assert life.open == []
    for step in task.steps:
        assert (step.open is not None) == (step.phase is StepPhase.OPEN)
        assert (step.ask is not None) == (step.phase is StepPhase.ASKING)
        assert step.phase is not StepPhase.DONE or step.kept is not None


def check_ends(before: Task, decision: Decision) -> None:
    """One outcome, said once; nothing below the bar without a person; one letter at a time."""
    task = decision.task
    ends = [each.outcome for each in decision.commands if isinstance(each, Conclude)]
    assert len(ends) == (before.phase is not Phase.DONE and task.phase is Phase.DONE)
    if before.phase is Phase.DONE:
        assert decision == Decision(before, (), (), None)
    if ends:
        event(f"{ends[0]}: {(task.stop_reason or '').partition(':')[0]}")
        by_hand = (task.stop_reason or "").startswith(("decided", "nobody_decided"))
        sure = task.confidence is not None and task.confidence >= task.terms.confidence_min
        assert ends[0] == "aborted" or by_hand or sure
        assert ends[0] == "aborted" or task.result is not None
    letters = [each for each in decision.commands if isinstance(each, Escalate)]
    assert len(letters) == task.letters - before.letters
    assert len(letters) <= 1


def check_record(life: Life, before: Task, decision: Decision) -> None:
    """What is written is what is read; what did not change is not written."""
    task = decision.task
    whole, dropped = state.write(None, task)
    assert dropped == ()
    assert state.read(task.id, task.accepted_ms, life.asked, whole) == task
    fields, dropped = state.write(before, task)
    old, _ = state.write(None, before)
    merged = {name: raw for name, raw in (old | fields).items() if name not in dropped}
    assert merged == whole
    assert not (before is task and fields)


# --- properties ----------------------------------------------------------------------------------

LONG = "BUCKSTOP_MODEL_EXAMPLES" in os.environ
"""Draw anew at every run; without it, the same examples each time, so that no run is luck."""

lively = settings(
    max_examples=60,
    deadline=None,
    derandomize=not LONG,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def begun(data: st.DataObject, most: int = 12) -> Life:
    """Begin a task and let it live for a while."""
    life = Life(data.draw(requests()))
    life.wake()
    for _ in range(data.draw(st.integers(0, most))):
        life.live(data)
    return life


@settings(lively, max_examples=200)
@given(st.data())
def test_every_promise_holds_at_every_decision(data: st.DataObject) -> None:
    """Any mail in any order, repeated, late, unknown: invariants 3, 4, 7, 9, 13 and 15."""
    begun(data, most=25)


@lively
@given(st.data())
def test_a_wake_without_news_changes_nothing(data: st.DataObject) -> None:
    """Invariant 13: the same object, no commands, not even a line in the journal."""
    life = begun(data)
    before, looks = life.task, len(life.looks)
    decision = life.wake()
    assert decision.commands == ()
    assert decision.notes == ()
    assert decision.alarm_ms == life.decisions[-2].alarm_ms or life.looks[looks:]
    if len(life.looks) == looks:
        assert decision.task is before
    assert life.wake().task is decision.task


@lively
@given(st.data())
def test_absorbing_mail_twice_changes_nothing(data: st.DataObject) -> None:
    """Invariant 13: a letter that is read again leaves at most a line that says so."""
    life = begun(data)
    mail = data.draw(st.lists(life._letters(), min_size=1, max_size=3))
    life.wake(*mail)
    before = life.task
    if before.phase is Phase.ON_DESK or any(not isinstance(one, Report) for one in mail):
        return
    decision = life.wake(*mail)
    assert decision.task is before or life.looks
    assert decision.commands == ()
    assert {note.why for note in decision.notes} <= {"late_envelope"}


@lively
@given(st.data())
def test_the_same_mail_in_one_wake_counts_once(data: st.DataObject) -> None:
    """Duplicated in one batch: the second copy is late, and the task is the same."""
    life = begun(data)
    mail = data.draw(st.lists(life._letters(), min_size=1, max_size=3))
    reports = [letter for letter in mail if isinstance(letter, Report)]
    once = decide(life.task, reports, Sight(agents=life.agents), life.now_ms)
    twice = decide(life.task, [*reports, *reports], Sight(agents=life.agents), life.now_ms)
    assert isinstance(once, Look) == isinstance(twice, Look)
    if isinstance(once, Decision) and isinstance(twice, Decision):
        assert once.task == twice.task
        assert once.commands == twice.commands


@lively
@given(st.data())
def test_deciding_is_deterministic_and_leaves_its_arguments_alone(data: st.DataObject) -> None:
    """A pure function: asked again, after a crash or elsewhere, it says the same."""
    life = begun(data)
    mail = data.draw(st.lists(life._letters(), max_size=3))
    claims = data.draw(st.none() | st.just(dict(life.claims)))
    sight = Sight(agents=life.agents, claims=claims)
    now_ms = life.now_ms + data.draw(PAUSES)
    written = state.write(None, life.task)
    read_back = state.read(life.task.id, 0, life.asked, written[0])
    answers = [decide(task, mail, sight, now_ms) for task in (life.task, life.task, read_back)]
    assert answers[0] == answers[1] == answers[2]
    assert state.write(None, life.task) == written


@lively
@given(st.data())
def test_a_shell_that_dies_after_taking_claims_away_costs_nothing(data: st.DataObject) -> None:
    """A revoked claim that the next shell finds is settled, and the task goes on."""
    life = begun(data)
    look = decide(life.task, [], Sight(agents=life.agents), life.now_ms + 10_000)
    if isinstance(look, Look):
        for subtask in data.draw(st.lists(st.sampled_from(look.subtasks), unique=True)):
            if life.claims[subtask].state in {ClaimState.ISSUED, ClaimState.CLAIMED}:
                life._claim(subtask, state=ClaimState.REVOKED)
    life.wake(after_ms=10_000)
    assert all(life.claims[subtask].state is not ClaimState.REVOKED for subtask in life.open)


@lively
@given(st.data())
def test_left_alone_every_task_ends(data: st.DataObject) -> None:
    """Promise 3, "it always stops": by nothing but its own alarms, in so many wakes at most."""
    life = begun(data)
    reported = [n for n in life.open if life.claims[n].state is ClaimState.REPORTED]
    for subtask in reported:
        life.wake(Report(subtask, Amounts(), Envelope.failed("at last")))
    for subtask in life.open:
        life.lose_message(subtask)
    wakes = 0
    while life.task.phase is not Phase.DONE:
        alarm_ms = life.last.alarm_ms
        assert alarm_ms is not None
        life.wake(after_ms=max(1, alarm_ms - life.now_ms))
        wakes += 1
        assert wakes < 5_000
    event(f"wakes to the end: {len(str(wakes))} digits")


@lively
@given(st.data())
def test_a_replan_differs_from_every_plan_before_it(data: st.DataObject) -> None:
    """Invariant 14: no plan is ever in force a second time without a person."""
    life = begun(data, most=25)
    if life.task.letters:
        return  # a person may repeat a plan
    plans = life.task.plan_fingerprints
    assert len(set(plans)) == len(plans) == life.task.replans + 1


@given(plans(), plans())
def test_plans_have_one_name_if_and_only_if_they_are_equal(
    one: list[dict[str, Any]], other: list[dict[str, Any]]
) -> None:
    """Same plan again: "plans are fingerprinted"."""
    first, second = (state.begin("t", request(plan=plan), 0).steps for plan in (one, other))
    assert (plan_fingerprint(first) == plan_fingerprint(second)) == (first == second)


@given(st.lists(st.sampled_from([1.0, 0.5, 0.7]), min_size=1, max_size=4))
def test_a_chain_is_as_sure_as_its_weakest_link(confidences: list[float]) -> None:
    """Composed confidence "defaults to the weakest link"; every stage is one hop."""
    chain: list[dict[str, Any]] = [
        {"id": f"s{n}", "agent": "a", "needs": [f"s{n - 1}"] if n else []}
        for n in range(len(confidences))
    ]
    play = Play(request(plan=chain, confidence_min=0.0))
    play.wake()
    for number, confidence in enumerate(confidences, start=1):
        play.answer(number, Envelope.success(number, confidence))
    assert play.task.confidence == min(confidences)
    hops = [each.hop for each in play.published.values()]
    assert all(after == before + 1 for before, after in pairwise(hops))


def test_a_spoilt_book_is_found() -> None:
    """The checks above can fail."""
    life = Life(request(budget={"tokens": 100}))
    life.wake()
    assert life.claims == {1: Claim(ClaimState.ISSUED)}
    life.allowed[1] = Limits(tokens=91)
    try:
        life.wake()
    except AssertionError:
        return
    raise AssertionError("books that do not add up were not noticed")
