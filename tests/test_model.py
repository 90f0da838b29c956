"""A model that keeps its own books, against the real server, in whatever order hypothesis finds.

Two orchestrators with caches of their own, two workers, callers and people, and a gremlin between
them: messages doubled, dropped and edited, mail doubled, leases that run out, processes that die at
a call, scripts forgotten, connections cut. Before every charge and report the model says what the
answer must be; after every step no task has overspent or gone beyond its caps; at the end faults
stop, everything drains, and the auditor looks at all of it.

CI plays twice as many lives. A longer run: BUCKSTOP_MODEL_EXAMPLES=1000 pytest tests/test_model.py

Broken lines that it was seen to catch, and how it failed (in the order of its own answers):

    charge.lua   takes any token, is never late,       the answer is not the model's
                 ignores the worst case, books a
                 retry twice
    report.lua   takes any token; refuses its retry    the answer is not the model's
                 wakes nobody                          mail, and an alarm later than now
    commit.lua   takes any version                     auditor, 4: published out of order
                 takes its retry for a conflict        auditor, 12: not as once
                 drops mail that nobody has read       auditor, 13: a cancelled task goes on
                 trims no mail                         something is always due
                 overlooks mail that has come          mail, and an alarm later than now
    look.lua     says "revoked" and writes nothing     a claim outlives its subtask
    fetch.lua    claims what is claimed                the answer is not the model's
                 forgets its reply                     auditor, 12: not as once
    _settle.lua  adds the real cost to the worst       auditor, 5: more booked than burned
    post.lua     takes mail for a task that is over    auditor, 9: something is left behind
    submit.lua   forgets idempotency keys              another task for the same key
    claim.lua    takes the alarm away                  no alarm
    absorb.py    takes a report twice; lets a lost     a decision fails; the books of the model
                 worker cost nothing                   and of the journal differ
"""

import json
import os
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from envelopes import Amounts, Envelope, Handoff, limits
from envelopes.decision import Decision, Verb
from envelopes.headers import Headers
from envelopes.request import Amount
from orchestrator.sim.auditor import Verdict
from orchestrator.sim.evidence import Inputs
from tests.faulty import Fault
from tests.stage import Order, Owner, Part, Play, Stage, Worker, edited, failures_of, open_stages
from tests.witness import UNSEEN_FROM_OUTSIDE, void

LONG = "BUCKSTOP_MODEL_EXAMPLES" in os.environ
EXAMPLES = int(os.environ.get("BUCKSTOP_MODEL_EXAMPLES", "150" if os.environ.get("CI") else "75"))
STEPS = 80
TASKS_MAX = 6
DRAIN_ROUNDS_MAX = 150
STEP_S, TASK_S, DESK_S = 20, 120, 60
OWNERS, WORKERS = ("owner-1", "owner-2"), ("worker-1", "worker-2")
ONE = {"id": "a", "agent": "one", "timeout": STEP_S}
TWO = {"id": "b", "agent": "two", "timeout": STEP_S, "fallbacks": ["one"]}
SUM = {"id": "c", "agent": "two", "timeout": STEP_S, "needs": ["a", "b"]}
TIGHT = {"allowance": {"tokens": 150, "calls": 2}}
SHAPES = (
    {"plan": [ONE, TWO, SUM], "budget": {"tokens": 1_500, "usd": "0.004", "calls": 20}},
    {"plan": [ONE | TIGHT, TWO | TIGHT], "budget": {"tokens": 400, "calls": 30}},
    {"plan": [ONE], "fallback_plans": [[TWO]], "budget": {"tokens": 900}, "hops_max": 3},
    {"plan": [TWO | {"optional": True}, ONE], "budget": {"calls": 12}, "at_cap": "escalate"},
    {"plan": [TWO, SUM | {"needs": ["b"]}], "budget": {"usd": "0.002"}, "subtasks_max": 4},
)
NUMBER = st.integers(0, 1_000)
FAULTS = st.sampled_from(Fault)


def nobody_plays(_: Play) -> None:
    raise AssertionError("the model answers for its agents itself")


CAST = {"one": Part(nobody_plays, ("two",)), "two": Part(nobody_plays, ("one",))}


@dataclass
class Hold:
    """A subtask that a worker has fetched, and the model's books of it."""

    worker: str
    order: Order
    since_ms: int
    flying: dict[str, Amounts] = field(default_factory=dict)
    """Worst case of every call that the server takes for under way."""
    real: dict[str, Amounts] = field(default_factory=dict)
    ended: list[str] = field(default_factory=list)
    """Calls that are over and not settled yet."""
    settled: dict[str, Amounts] = field(default_factory=dict)
    ops: int = 0
    begun: bool = False
    given_back: bool = False
    reported: bool = False

    @property
    def headers(self) -> Headers:
        return self.order.grant.headers

    @property
    def id(self) -> str:
        return self.headers.id

    @property
    def token(self) -> str:
        return self.order.grant.token

    @property
    def until_ms(self) -> int:
        return min(self.headers.deadline_ms, self.since_ms + self.headers.timeout_ms)

    def spent(self) -> Amounts:
        """Add up what the server must know by now."""
        return sum((*self.flying.values(), *self.settled.values()), Amounts())

    def settlements(self) -> list[tuple[str, Amounts]]:
        return [(op, self.real[op]) for op in self.ended]

    def settle(self) -> None:
        """Note that the server has heard of the calls that ended."""
        for op in self.ended:
            del self.flying[op]
            self.settled[op] = self.real[op]
        self.ended = []


class Model(RuleBasedStateMachine):
    """What may happen, and what must come of it."""

    def __init__(self, stages, verdict: Verdict) -> None:
        super().__init__()
        self.stage: Stage = stages(CAST)
        self.stage.client.script_flush()  # or the first example would make more calls than others
        self._failures = failures_of(self.stage)
        self._failures.__enter__()
        self._verdict = verdict
        self.holds: list[Hold] = []
        self.zombies: list[Hold] = []
        self.posted: list[str] = []
        self.whim = 0
        self.stage.tape.meanwhile = self._meanwhile
        for worker in WORKERS:
            self.stage.worker(lambda _: None, worker)

    # --- callers and people ----------------------------------------------------------------------

    @initialize(shape=st.integers(0, len(SHAPES) - 1))
    def something_to_begin_with(self, shape):
        self.submit(shape)
        self.turn(0)

    @precondition(lambda self: len(self.stage.tasks) < TASKS_MAX)
    @rule(shape=st.integers(0, len(SHAPES) - 1))
    def submit(self, shape):
        wish = {"goal": "g", "timeout": TASK_S, "until": {"kind": "plan_done"}} | SHAPES[shape]
        name = f"task-{len(self.stage.tasks)}-{shape}"
        self._call(lambda caller: caller.submit(name, wish | {"desk_timeout": DESK_S}))

    @rule(pick=NUMBER)
    def submit_again(self, pick):
        """The same idempotency key stands for the same task, whoever asks."""
        name = self._pick(sorted(self.stage.tasks), pick)
        shape = SHAPES[int(name[-1])]
        known = self.stage.tasks[name]
        wish = {"goal": "other", "timeout": 1, "until": {"kind": "plan_done"}} | shape
        assert self.stage.caller(lambda caller: caller.submit(name, wish)) == known

    @precondition(lambda self: self._open_tasks())
    @rule(pick=NUMBER)
    def cancel(self, pick):
        if not self._open_tasks():
            return
        task_id = self._pick(self._open_tasks(), pick)
        self._call(lambda caller: caller.cancel(task_id))

    @precondition(lambda self: self.stage.letters() or self.posted)
    @rule(pick=NUMBER, verb=st.sampled_from([verb for verb in Verb if not verb.of_a_message]))
    def decide_a_letter(self, pick, verb):
        """Decide an open letter, or one that was decided long ago."""
        letter = self._pick(self.stage.letters() + self.posted, pick)
        more = {}
        if verb is Verb.RETRY:
            more = {"budget": Amount(tokens=200, calls=3), "hops": 1, "time": 30.0}
        if verb is Verb.AMEND:
            more = {"result": {"by": "a person"}}
        if verb is Verb.ANSWER:
            more = {"answer": "yes"}
        if verb is Verb.REASSIGN:
            more = {"agent": "steady"}
        decision = Decision(letter=letter, verb=verb, by="me", **more)
        self.stage.gone("caller")  # another person, at another window
        self._call(lambda caller: caller.answer(decision))
        self.posted.append(letter)

    # --- orchestrators ---------------------------------------------------------------------------

    @rule(who=st.integers(0, 1))
    def turn(self, who):
        if self.stage.due():
            self.stage.owner(Owner.turn, OWNERS[who])

    @precondition(lambda self: self._open_tasks())
    @rule(pick=NUMBER, who=st.integers(0, 1), ahead=st.integers(0, 5), fault=FAULTS)
    def turn_struck_by_a_fault(self, pick, who, ahead, fault):
        self.stage.tape.strike_next(ahead, fault)
        self.whim = pick
        self.wake_for_nothing(pick, who)
        self.stage.tape.spare()

    @rule(
        pick=NUMBER,
        who=st.integers(0, 1),
        news=st.sampled_from(["report", "submit", "lost"]),
        whim=st.integers(0, 2),
        before=st.sampled_from(["load", "look", "commit", "commit"]),
    )
    def turn_overtaken(self, pick, who, news, whim, before):
        """Let there be news, and while one orchestrator stands still over it, some more."""
        self.fetch(who)
        match news:
            case "report" if self.holds:
                self.report(pick, "failed" if pick % 2 else "sure")
            case "submit" if len(self.stage.tasks) < TASKS_MAX:
                self.submit(pick % len(SHAPES))
            case _:
                self.stage.pass_time(limits.LEASE_MS + 1)
        self.whim = whim
        self.stage.tape.strike_the_next(before, Fault.STOOD_STILL)
        self.turn(who)
        self.stage.tape.spare()

    @precondition(lambda self: self._open_tasks())
    @rule(pick=NUMBER, who=st.integers(0, 1))
    def wake_for_nothing(self, pick, who):
        """Wake a task that need not be; it may have mail all the same."""
        task_id = self._pick(self._open_tasks(), pick)
        self.stage.client.zadd(self.stage.keys.due, {task_id: self.stage.now_ms})
        self.turn(who)

    @rule(who=st.integers(0, 1), worker=st.integers(0, 1))
    def nothing_goes_wrong_for_a_while(self, who, worker):
        """Let the tasks come further than they would by chance."""
        self.fetch(worker)
        self.end_all_calls()
        for _ in range(len(self.holds) // 2):
            self.report(0, "sure")
        self.turn(who)

    # --- workers ---------------------------------------------------------------------------------

    @rule(who=st.integers(0, 1))
    def fetch(self, who):
        self.turn(who)
        name = WORKERS[who]
        orders = self.stage.worker(Worker.take, name)
        if not self.stage.is_there(name):
            self._died(name)
        for order in orders or []:
            assert all(hold.token != order.grant.token for hold in self.holds + self.zombies)
            self.holds.append(Hold(name, order, self.stage.now_ms))

    @precondition(lambda self: self.stage.queued())
    @rule(who=st.integers(0, 1), ahead=st.integers(0, 2), fault=FAULTS)
    def fetch_struck_by_a_fault(self, who, ahead, fault):
        self.stage.tape.strike_next(ahead, fault)
        self.fetch(who)
        self.stage.tape.spare()

    @rule(
        pick=NUMBER,
        tokens=st.integers(0, 200),
        usd=st.integers(0, 400),
        share=st.sampled_from([0.0, 0.5, 1.0, 1.4]),
        after_ms=st.sampled_from([0, 0, 0, 0, 1_000 * STEP_S + 1]),
    )
    def charge(self, pick, tokens, usd, share, after_ms):
        if not self.holds:
            self.fetch(pick % 2)
        if not self.holds:
            return
        self.stage.pass_time(after_ms)
        hold = self._pick(self.holds, pick)
        worst = Amounts(tokens, usd, 1)
        hold.ops += 1
        op = str(hold.ops)
        real = Amounts(int(tokens * share), int(usd * share), 1)
        answer = self._charge(hold, op, worst)
        if answer == "ok":
            hold.flying[op], hold.real[op] = worst, real
            cost = (real.tokens, real.usd_micros, real.calls)
            self.stage.invoices[hold.token, op] = hold.id, cost

    @precondition(lambda self: any(self._calls_under_way()))
    @rule(pick=NUMBER)
    def charge_again(self, pick):
        """A call that is under way is a retry: ok, and nothing changes."""
        hold, op = self._pick(self._calls_under_way(), pick)
        before = self.stage.tape.snapshot()
        hold_ended, hold.ended = hold.ended, []
        answer = self._charge(hold, op, hold.flying[op], again=True)
        hold.ended = hold_ended
        assert answer in {"ok", "revoked"}
        assert self.stage.tape.snapshot() == before

    @precondition(lambda self: any(self._calls_under_way()))
    @rule(pick=NUMBER)
    def end_a_call(self, pick):
        hold, op = self._pick(self._calls_under_way(), pick)
        hold.ended.append(op)

    def end_all_calls(self) -> None:
        for hold, op in self._calls_under_way():
            hold.ended.append(op)

    @precondition(lambda self: self.holds)
    @rule(pick=NUMBER, kind=st.sampled_from(["sure", "sure", "unsure", "failed", "handoff"]))
    def report(self, pick, kind):
        hold = self.holds.pop(pick % len(self.holds))
        self._begin(hold)
        self._report(hold, kind)
        self.zombies.append(hold)

    @precondition(lambda self: self.zombies)
    @rule(pick=NUMBER)
    def zombie_speaks(self, pick):
        """Whoever has reported, or lost its claim, charges and reports once more."""
        hold = self._pick(self.zombies, pick)
        hold.ops += 1
        before = self.stage.tape.snapshot()
        assert self._charge(hold, str(hold.ops), Amounts(1, 0, 1)) == "revoked"
        self._report(hold, "sure")
        assert self.stage.tape.snapshot() == before

    @precondition(lambda self: any(not hold.begun for hold in self.holds))
    @rule(pick=NUMBER)
    def hand_back(self, pick):
        hold = self._pick([hold for hold in self.holds if not hold.begun], pick)
        self.stage.worker(lambda worker: worker.hand_back(hold.order), hold.worker)
        self.holds.remove(hold)
        hold.given_back = True
        self.zombies.append(hold)
        self.fetch(1 - WORKERS.index(hold.worker))

    @rule()
    def beat(self):
        for name in WORKERS:
            self.stage.worker(lambda worker: worker.beat.now(), name)

    @rule(who=st.sampled_from(OWNERS + WORKERS))
    def somebody_dies(self, who):
        self.stage.gone(who)
        if who in WORKERS:
            self._died(who)

    # --- the gremlin -----------------------------------------------------------------------------

    @precondition(lambda self: self.stage.queued())
    @rule(pick=NUMBER, what=st.sampled_from(["double", "drop", "edit", "garbage"]))
    def spoil_a_message(self, pick, what):
        queue, raw = self._pick(self.stage.queued(), pick)
        match what:
            case "double":
                self.stage.inject(queue, raw)
            case "edit" if b"hops_max" in raw:
                self.stage.inject(queue, edited(raw))
            case "drop":
                self.stage.client.lrem(queue, 1, raw)
                self.stage.stolen += len(raw)
            case _:
                self.stage.inject(queue, b"not a message")

    @precondition(lambda self: self._open_tasks())
    @rule(pick=NUMBER)
    def mail_comes_twice(self, pick):
        stage, task_id = self.stage, self._pick(self._open_tasks(), pick)
        letters = stage.client.lrange(stage.keys.mail(task_id), 0, -1)
        if letters:
            stage.client.rpush(stage.keys.mail(task_id), self._pick(letters, pick))
            stage.client.zadd(stage.keys.due, {task_id: stage.now_ms})

    @rule(ms=st.sampled_from([1, 500, 3_000, limits.LEASE_MS + 1, limits.PATIENCE_MS + 1]))
    def time_passes(self, ms):
        self.stage.pass_time(ms)

    @rule(what=st.sampled_from(["scripts", "connections"]))
    def the_server_forgets(self, what):
        if what == "scripts":
            self.stage.client.script_flush()
        else:
            self.stage.pool.disconnect()

    # --- what must hold --------------------------------------------------------------------------

    @invariant()
    def the_bounds_hold(self):
        """Invariants 3 and 7, on every record as it stands; 8: no claim is given twice; and 9."""
        kept = [c.subtask for c in self.stage.witness.claims(set()) if not c.handed_back]
        assert len(kept) == len(set(kept))
        assert not self.stage.sleepers()
        for task_id in self.stage.tasks.values():
            record = self.stage.client.hmget(self.stage.keys.task(task_id), "head", "request")
            if record[0] is not None:
                head, request = map(json.loads, record)
                _is_inside(head["ledger"])
                assert head["hop"] <= head["hops_max"]
                assert head["subtasks"] <= request["subtasks_max"]

    def teardown(self):
        """Stop all faults, let everything end, and hear the auditor."""
        try:
            self._drain()
            assert all(self._was_read(hold) for hold in self.zombies if hold.reported)
            verdict = self.stage.verdict()
            assert not verdict.violations, verdict.violations
            self._verdict.add(verdict)
        finally:
            self._failures.__exit__(None, None, None)

    def _drain(self) -> None:
        stage = self.stage
        for _ in range(DRAIN_ROUNDS_MAX):
            moved = bool(self.holds)
            while self.holds:
                self._overdraw(self.holds[0])
                self.report(0, "sure")
            for name in WORKERS if stage.queued() else ():
                moved = True
                self.fetch(WORKERS.index(name))
            moved = stage.settle(OWNERS[1]) or moved
            if stage.over(len(stage.tasks)):
                return
            if not moved:
                stage.pass_time(max(1, stage.next_alarm_ms() - stage.now_ms))
        raise AssertionError(f"not over: {[(n, stage.outcome(n)) for n in stage.tasks]}")

    # --- the model's own knowledge ---------------------------------------------------------------

    def _charge(self, hold: Hold, op: str, worst: Amounts, *, again: bool = False) -> str:
        """Say first what the answer must be, then ask."""
        self._begin(hold)
        after = hold.spent() + sum(
            (hold.real[o] - hold.flying[o] for o in hold.ended), start=Amounts()
        )
        if self._is_over(hold):
            expected = "revoked"
        elif again:
            expected = "ok"
        elif self.stage.now_ms > hold.until_ms:
            expected = "late"
        else:
            fits = (after + worst).within(hold.headers.allowance)
            expected = "ok" if fits else "exhausted"
        claims = self._claims(hold)
        answer = claims.charge(hold.id, hold.token, op, worst, hold.settlements())
        assert answer == expected, (hold.id, op, worst, hold)
        if answer != "revoked":
            hold.settle()
        return answer

    def _overdraw(self, hold: Hold) -> None:
        """Ask for more than the whole allowance: that is never booked."""
        most = hold.headers.allowance.tokens
        if most is not None:
            hold.ops += 1
            assert self._charge(hold, str(hold.ops), Amounts(most + 1, 0, 1)) != "ok"

    def _report(self, hold: Hold, kind: str) -> None:
        over = self._is_settled(hold) or hold.given_back
        expected = "revoked" if over or (self._is_over(hold) and not hold.reported) else "ok"
        envelope = _envelope(kind, hold).model_dump_json().encode()
        answer = self._claims(hold).report(hold.id, hold.token, hold.settlements(), envelope)
        assert answer == expected, (hold.id, hold)
        if answer == "ok" and not hold.reported:
            hold.settle()
            hold.reported = True
        if not hold.given_back:  # its worker let go of it then, and may have fetched it anew
            self.stage.worker(lambda worker: _let_go(worker, hold), hold.worker)

    def _is_over(self, hold: Hold) -> bool:
        """Say whether the subtask is no longer this hold's to act on."""
        gone = hold.reported or hold.given_back or hold.id in self.stage.witness.revoked
        return gone or self._is_settled(hold)

    def _is_settled(self, hold: Hold) -> bool:
        """Look into the journal, and compare what was booked there with our own books."""
        stage, settled = self.stage, False
        for text in stage.client.lrange(stage.keys.journal(hold.headers.task), 0, -1):
            line = json.loads(text)
            if line["charged"] is not None and line["subtask"] == hold.headers.subtask:
                settled = True
                if not hold.given_back:
                    booked = Amounts(**line["charged"])
                    assert booked == _clamped(hold), (line, hold)
        return settled

    def _was_read(self, hold: Hold) -> bool:
        """Say whether a report that was taken has come to its owner: paid work is kept."""
        lines = self.stage.client.lrange(self.stage.keys.journal(hold.headers.task), 0, -1)
        mine = [line for line in map(json.loads, lines) if line["subtask"] == hold.headers.subtask]
        return any(line["why"] == "envelope" for line in mine)

    def _begin(self, hold: Hold) -> None:
        if hold.begun or hold.given_back:
            return
        hold.begun = True
        self.stage.started.add(hold.token)
        inputs = json.loads(hold.order.payload)["inputs"]
        makers = {need: made and made["by"] for need, made in inputs.items()}
        self.stage.given.append(Inputs(hold.id, makers))
        self.stage.worker(lambda worker: worker.held.begin(hold.id), hold.worker)

    def _claims(self, hold: Hold):
        return self.stage.worker(lambda worker: worker.direct, hold.worker)

    def _calls_under_way(self) -> list[tuple[Hold, str]]:
        return [(h, op) for h in self.holds for op in h.flying if op not in h.ended]

    def _died(self, worker: str) -> None:
        """Forget what a dead worker held; somebody else takes its place."""
        self.holds = [hold for hold in self.holds if hold.worker != worker]
        self.stage.worker(lambda _: None, worker)

    def _meanwhile(self, stopped: str) -> None:
        """Let something happen in the middle of a process's turn."""
        if self.whim % 3 == 0 and self.holds:
            self.report(0, "sure")
        elif self.whim % 3 == 1:
            self.cancel(self.whim)
        else:
            self.stage.pass_time(limits.WAKE_LEASE_MS + 1)
            self.turn(int(stopped == OWNERS[0]))

    def _open_tasks(self) -> list[str]:
        names = [name for name in self.stage.tasks if self.stage.outcome(name) is None]
        return [self.stage.tasks[name] for name in names]

    def _call(self, deed):
        return self.stage.caller(deed)

    def _pick(self, items, pick):
        return items[pick % len(items)]


def _let_go(worker: Worker, hold: Hold) -> None:
    worker.beat.remove(hold.id, hold.token)
    worker.held.end(hold.id)


def _is_inside(ledger) -> None:
    for name, ceiling in ledger["ceiling"].items():
        spent, reserved = ledger["spent"][name], ledger["reserved"][name]
        assert min(spent, reserved) >= 0
        assert ceiling is None or spent + reserved <= ceiling, ledger


def _clamped(hold: Hold) -> Amounts:
    spent, allowance = hold.spent(), hold.headers.allowance
    most = allowance.tokens, allowance.usd_micros, allowance.calls
    sums = spent.tokens, spent.usd_micros, spent.calls
    return Amounts(*(s if m is None else min(s, m) for s, m in zip(sums, most, strict=True)))


def _envelope(kind: str, hold: Hold) -> Envelope:
    result = {"by": hold.id}
    match kind:
        case "sure":
            return Envelope.success(result, 0.9)
        case "unsure":
            return Envelope.success(result, 0.4)
        case "handoff":
            other = "two" if hold.headers.agent == "one" else "one"
            given = {"hop": hold.headers.hop}
            return Envelope.partial(result, 0.5, "not mine", ask=Handoff(to=other, input=given))
    return Envelope.failed("it cannot be done")


@pytest.mark.timeout(0 if LONG else 900)
def test_whatever_happens_in_whatever_order_the_books_agree(server):
    """Invariants 1 to 14 of PROMISES.md, «model-based, against real Redis»."""
    verdict = Verdict()
    effort = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        derandomize=not LONG,
        phases=list(Phase) if LONG else [Phase.generate],
        deadline=None,
        database=None,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )
    with open_stages(server) as stages:
        run_state_machine_as_test(lambda: Model(stages, verdict), settings=effort)
    assert verdict.unseen == UNSEEN_FROM_OUTSIDE
    assert not void(verdict)
