"""Decide what a task does next.

A task wakes up, reads its mail, looks at the clock, and decides. Called by serve.py only (and by
the simulation, which is a shell too); everything that leaves is one of the values in commands.py.

The contract in one sentence: (task, mail, sight, now) -> (task, commands, notes, alarm), and
nothing of it may be seen by anybody before it has been committed as a whole.

Rule 1: no I/O, no clock, no randomness. `now_ms` is an argument.
Rule 2: absorbing records facts and judges nothing (absorb.py); the rules below judge.
Rule 3: the rules are level-triggered: they look at the whole task as it is, never at what has just
        changed, so it does not matter how it got there, how often it is asked, or who crashed in
        between. The first rule that applies decides; after it has, the list is read again from the
        top, until a rule says that nothing is left to do before the next wake.

Not here: what goes out and with how much (publish.py), what follows a broken step (replan.py), how
a task ends and what a person can do (owner.py), what a result must pass (gate.py).
"""

from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Final

from envelopes import Fault, limits
from orchestrator.core import gate, owner, publish, replan
from orchestrator.core.absorb import absorb_claims, absorb_mail
from orchestrator.core.commands import Decision, Look
from orchestrator.core.facts import ClaimState, Mail, Sight
from orchestrator.core.finish import crossed
from orchestrator.core.task import Outcome, Phase, StepPhase, Task
from orchestrator.core.turn import Turn


class Verdict(Enum):
    """What a rule says of the task it was shown."""

    PASS = auto()
    """It does not apply."""
    AGAIN = auto()
    """It has changed the task: read the list again."""
    REST = auto()
    """Nothing more until the next wake."""


Rule = Callable[[Turn], Verdict | Look]


def decide(task: Task, mail: Sequence[Mail], sight: Sight, now_ms: int) -> Decision | Look:
    """Absorb what is new and advance as far as possible."""
    turn = Turn(task, sight, now_ms)
    if task.phase is not Phase.DONE:
        absorb_mail(turn, mail)
        look = absorb_claims(turn) or advance(turn)
        if look and not _all_home(turn, look):
            return look
    return turn.decision()


def _all_home(turn: Turn, look: Look) -> bool:
    """Say whether all that is to be taken away has reported, in mail that comes with the next wake.

    One wake reads so many letters and no more. Were this not a decision, nothing would be
    committed, and the letters behind those would never be read.
    """
    claims = turn.sight.claims or {}
    states = [claims[subtask].state for subtask in look.revoke if subtask in claims]
    return bool(look.revoke) and states == [ClaimState.REPORTED] * len(look.revoke)


def advance(turn: Turn) -> Look | None:
    """Apply the first rule that applies, until one rests."""
    while True:
        for rule in RULES:
            verdict = rule(turn)
            if verdict is Verdict.PASS:
                continue
            if verdict is Verdict.AGAIN:
                break
            return verdict if isinstance(verdict, Look) else None
        else:
            raise AssertionError("no rule applies: the last one always rests")


def _after(look: Look | None) -> Verdict | Look:
    return look or Verdict.AGAIN


# --- the rules, in order -------------------------------------------------------------------------


def ended(turn: Turn) -> Verdict | Look:
    """Final is final."""
    return Verdict.REST if turn.task.phase is Phase.DONE else Verdict.PASS


def cancelled(turn: Turn) -> Verdict | Look:
    """A caller's wish to stop comes before everything that costs."""
    if turn.task.cancelled is None:
        return Verdict.PASS
    if look := owner.revoke_all(turn):
        return look
    owner.close_letter(turn, "the task was cancelled")
    result = turn.result()
    return _after(owner.conclude(turn, Outcome.ABORTED, "cancelled", result))


def person_decided(turn: Turn) -> Verdict | Look:
    """A person has the last word."""
    if turn.task.decision is None:
        return Verdict.PASS
    return _after(owner.decided(turn))


def nobody_decided(turn: Turn) -> Verdict | Look:
    """A letter never waits for ever."""
    letter = turn.task.letter
    if letter is None or turn.now_ms < letter.due_ms:
        return Verdict.PASS
    return _after(owner.nobody_decided(turn))


def on_the_desk(turn: Turn) -> Verdict | Look:
    """Nothing is done while a person thinks."""
    return Verdict.REST if turn.task.phase is Phase.ON_DESK else Verdict.PASS


def deadline(turn: Turn) -> Verdict | Look:
    """The pipeline as a whole has a wall clock."""
    if turn.now_ms < turn.task.deadline_ms:
        return Verdict.PASS
    return _after(owner.judge(turn, "deadline", "the deadline has passed"))


def finish_line(turn: Turn) -> Verdict | Look:
    """The task is done when its finish line says so; what fails the gate may have another plan."""
    line = crossed(turn.task.terms.until, turn.task, turn.steps, turn.now_ms)
    if line is None:
        return Verdict.PASS
    refused = gate.refusal(turn.task, turn.result())
    number = replan.next_plan(turn) if refused and _may_replan(turn) else None
    if number is not None and not _crossed_from_the_start(turn, number):
        return _after(replan.use_plan(turn, number, f"{line}, but {refused}"))
    return _after(owner.finish(turn, line))


def _crossed_from_the_start(turn: Turn, number: int) -> bool:
    """Say whether no step of that plan would ever run: time and spending do not begin anew."""
    task = turn.task
    steps = replan.begin_plan(task.terms.plans[number])
    return crossed(task.terms.until, task, steps, turn.now_ms) is not None


def handover(turn: Turn) -> Verdict | Look:
    """An agent may ask for another one; whether it gets it is the owner's to say."""
    places = turn.places(StepPhase.ASKING)
    if not places:
        return Verdict.PASS
    step = turn.steps[places[0]]
    assert step.ask is not None
    ask = step.ask
    known, sender = turn.sight.agents.get(ask.to), turn.sight.agents.get(step.agent)
    if known is None or sender is None or ask.to not in sender.handoffs:
        why = f"{step.agent} may not hand over to {ask.to}"
        turn.note("handoff_refused", why, step)
        turn.set_step(places[0], phase=StepPhase.BROKEN, ask=None, reason=why)
        return Verdict.AGAIN
    if step.hop + 1 > turn.task.hops_max:
        return _stuck(turn, "hop_cap", _hop_cap_text(turn, step.agent, ask.to))
    turn.note("handoff", f"{step.agent} → {ask.to}: {ask.reason}", step)
    turn.set_step(
        places[0],
        phase=StepPhase.WAITING,
        ask=None,
        agent=ask.to,
        tried=step.tried if ask.to in step.tried else (*step.tried, ask.to),
        goal=ask.goal or step.goal,
        input=ask.input,
        next_hop=step.hop + 1,
    )
    return Verdict.AGAIN


def next_agents(turn: Turn) -> Verdict | Look:
    """A broken step goes to another agent, if there is one that has not tried it."""
    steps = turn.steps
    places = [p for p in turn.places(StepPhase.BROKEN) if replan.next_agent(steps[p])]
    if not places or not _may_replan(turn):
        return Verdict.PASS
    replan.use_next_agents(turn, places)
    return Verdict.AGAIN


def drop_optional(turn: Turn) -> Verdict | Look:
    """An optional step that nobody can do is done without."""
    places = [p for p in turn.places(StepPhase.BROKEN) if turn.steps[p].plan.optional]
    for place in places:
        turn.note("dropped", turn.steps[place].reason or "", turn.steps[place])
        turn.set_step(place, phase=StepPhase.DROPPED)
    return Verdict.AGAIN if places else Verdict.PASS


def next_plan(turn: Turn) -> Verdict | Look:
    """A plan with a broken step gives way to the next one."""
    places = turn.places(StepPhase.BROKEN)
    number = replan.next_plan(turn) if places and _may_replan(turn) else None
    if number is None:
        return Verdict.PASS
    step = turn.steps[places[0]]
    return _after(replan.use_plan(turn, number, f"{step.plan.id}: {step.reason}"))


def no_plan_left(turn: Turn) -> Verdict | Look:
    """A step is broken and there is no other plan: the owner must judge."""
    places = turn.places(StepPhase.BROKEN)
    if not places:
        return Verdict.PASS
    step = turn.steps[places[0]]
    what = f"step {step.plan.id} at {step.agent}: {step.reason}"
    if not _other_plan(turn):
        why = "budget" if step.fault is Fault.BUDGET else "no_plan_left"
        return _stuck(turn, why, what)
    if turn.task.replans >= turn.task.terms.replans_max:
        return _stuck(turn, "replan_cap", f"{turn.task.replans} re-plans are used up; {what}")
    return _stuck(turn, "hop_cap", f"{_hop_cap_text(turn, step.agent, 'the next plan')}; {what}")


def publish_ready(turn: Turn) -> Verdict | Look:
    """Send out every step whose needs are there, inside all caps."""
    outgoing = publish.ready(turn)
    if not outgoing:
        return Verdict.PASS
    for cap in (_hop_cap, _subtask_cap, _repetition):
        if stuck := cap(turn, outgoing):
            return stuck
    published = publish.publish(turn, outgoing)
    if published == len(outgoing):
        return Verdict.REST
    if published or turn.places(StepPhase.BROKEN):
        return Verdict.AGAIN  # with fewer to share among, one more may fit
    free = turn.task.ledger.free()
    text = f"{len(outgoing)} steps are ready, and what is free holds none of them: {free}"
    return _stuck(turn, "budget", text)


def wait(turn: Turn) -> Verdict | Look:
    """Somebody is at work."""
    return Verdict.REST if turn.places(StepPhase.OPEN) else Verdict.PASS


def plan_exhausted(turn: Turn) -> Verdict | Look:
    """Every step is done, and still the finish line is not crossed."""
    text = "every step is done and the finish line is not crossed"
    return _after(owner.judge(turn, "plan_exhausted", text))


RULES: Final[tuple[Rule, ...]] = (
    ended,
    cancelled,
    person_decided,
    nobody_decided,
    on_the_desk,
    deadline,
    finish_line,
    handover,
    next_agents,
    drop_optional,
    next_plan,
    no_plan_left,
    publish_ready,
    wait,
    plan_exhausted,
)


# --- caps ----------------------------------------------------------------------------------------


def _stuck(turn: Turn, why: str, text: str) -> Verdict | Look:
    """Let what is out come home before the owner judges: it is paid for. Nothing new goes out."""
    if turn.places(StepPhase.OPEN):
        return Verdict.REST
    return _after(owner.judge(turn, why, text))


def _may_replan(turn: Turn) -> bool:
    task = turn.task
    hop = max((turn.steps[p].hop for p in turn.places(StepPhase.BROKEN)), default=task.hop)
    return task.replans < task.terms.replans_max and hop < task.hops_max


def _other_plan(turn: Turn) -> bool:
    broken = turn.places(StepPhase.BROKEN)
    another_agent = any(replan.next_agent(turn.steps[p]) for p in broken)
    return another_agent or replan.next_plan(turn) is not None


def _hop_cap(turn: Turn, outgoing: list[publish.Outgoing]) -> Verdict | Look | None:
    over = next((each for each in outgoing if each.hop > turn.task.hops_max), None)
    if over is None:
        return None
    step = turn.steps[over.place]
    return _stuck(turn, "hop_cap", _hop_cap_text(turn, step.plan.id, step.agent))


def _hop_cap_text(turn: Turn, sender: str, receiver: str) -> str:
    return f"hop cap {turn.task.hops_max} reached at {sender} → {receiver}"


def _subtask_cap(turn: Turn, outgoing: list[publish.Outgoing]) -> Verdict | Look | None:
    task = turn.task
    if task.subtasks + len(outgoing) <= task.terms.subtasks_max:
        return None
    text = f"{task.subtasks} subtasks published, {len(outgoing)} more asked for, at most "
    return _stuck(turn, "subtask_cap", f"{text}{task.terms.subtasks_max} are allowed")


def _repetition(turn: Turn, outgoing: list[publish.Outgoing]) -> Verdict | Look | None:
    again = next((each for each in outgoing if each.repeats >= limits.REPEAT_MAX - 1), None)
    if again is None:
        return None
    agent = turn.steps[again.place].agent
    text = f"{agent} was about to get the same payload again, after {again.repeats} hops before"
    return _stuck(turn, "repetition", text)
