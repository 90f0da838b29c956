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

Not here: what goes out and with how much (publish.py), to whom (crew.py), what follows a broken
step (replan.py, planner.py), what counts as going round in circles (loops.py), how a task ends
(owner.py), what a person can do (desk.py), what a result must pass (gate.py).
"""

from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Final

from envelopes import Fault
from envelopes.counted import counted, doing
from orchestrator.core import crew, desk, gate, loops, owner, planner, publish, replan, services
from orchestrator.core.absorb import absorb_claims, absorb_mail
from orchestrator.core.commands import Decision, Look
from orchestrator.core.facts import ClaimState, Mail, Sight
from orchestrator.core.finish import achieved, crossed, referees
from orchestrator.core.result import composed
from orchestrator.core.task import (
    Asked,
    Composed,
    Handover,
    Outcome,
    Phase,
    Role,
    StepPhase,
    StepState,
    Task,
)
from orchestrator.core.turn import Turn


class Ruling(Enum):
    """What a rule says of the task it was shown."""

    PASS = auto()
    """It does not apply."""
    AGAIN = auto()
    """It has changed the task: read the list again."""
    REST = auto()
    """Nothing more until the next wake."""


Rule = Callable[[Turn], Ruling | Look]


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
        for rule in RULES if _in_trouble(turn) else SMOOTH:
            ruling = rule(turn)
            if ruling is Ruling.PASS:
                continue
            if ruling is Ruling.AGAIN:
                break
            return ruling if isinstance(ruling, Look) else None
        else:
            raise AssertionError("no rule applies: the last one always rests")


def _after(look: Look | None) -> Ruling | Look:
    return look or Ruling.AGAIN


# --- the rules, in order -------------------------------------------------------------------------


def ended(turn: Turn) -> Ruling | Look:
    """Final is final."""
    return Ruling.REST if turn.task.phase is Phase.DONE else Ruling.PASS


def cancelled(turn: Turn) -> Ruling | Look:
    """A caller's wish to stop comes before everything that costs."""
    if turn.task.cancelled is None:
        return Ruling.PASS
    if look := owner.revoke_all(turn):
        return look
    desk.close_letter(turn, "the task was cancelled")
    result = turn.result()
    return _after(owner.conclude(turn, Outcome.ABORTED, "cancelled", result))


def person_decided(turn: Turn) -> Ruling | Look:
    """A person has the last word."""
    if turn.task.decision is None:
        return Ruling.PASS
    return _after(desk.decided(turn))


def nobody_decided(turn: Turn) -> Ruling | Look:
    """A letter never waits for ever."""
    letter = turn.task.letter
    if letter is None or turn.now_ms < letter.due_ms:
        return Ruling.PASS
    return _after(desk.nobody_decided(turn))


def on_the_desk(turn: Turn) -> Ruling | Look:
    """Nothing is done while a person thinks."""
    return Ruling.REST if turn.task.phase is Phase.ON_DESK else Ruling.PASS


def heard(turn: Turn) -> Ruling | Look:
    """What the owner has asked of agents is answered: record it."""
    place = services.answered(turn)
    if place is None:
        return Ruling.PASS
    step = services.take(turn, place)
    match step.plan.role:
        case Role.PLANNER:
            planner.take_plan(turn, step)
        case Role.MANAGER:
            planner.take_round(turn, step)
        case Role.OWNER:
            owner.take_word(turn, step)
        case _:
            services.record_verdict(turn, step)
    return Ruling.AGAIN


def last_words(turn: Turn) -> Ruling | Look:
    """A cap was hit: nothing new is begun, and the owner says what becomes of the task."""
    if turn.task.ending is None:
        return Ruling.PASS
    ended_now = owner.last_words(turn, turn.task.ending)
    if isinstance(ended_now, Look):
        return ended_now
    return Ruling.AGAIN if ended_now else Ruling.REST


def deadline(turn: Turn) -> Ruling | Look:
    """The pipeline as a whole has a wall clock."""
    if turn.now_ms < turn.task.deadline_ms:
        return Ruling.PASS
    text = "the deadline has passed"
    missing = crew.missing(turn)
    if missing:
        text += f"; no worker has ever said that it runs {', '.join(missing)}"
    return _after(owner.judge(turn, "deadline", text))


def not_admitted(turn: Turn) -> Ruling | Look:
    """A tenant has so many places, and this task waits for one of them."""
    return Ruling.PASS if turn.sight.admitted else Ruling.REST


def finish_line(turn: Turn) -> Ruling | Look:
    """The task is done when its finish line says so; what fails the gate may have another plan."""
    line = crossed(turn.task.terms.until, turn.task, turn.steps, turn.now_ms)
    if line is None:
        return Ruling.PASS
    if look := owner.revoke_work(turn):
        return look
    # What has crossed the line is what leaves, though an earlier plan may have left a surer result.
    by_result = achieved(turn.task, turn.steps, turn.now_ms)
    best = None if by_result else turn.result()
    result = gate.passed(turn, best or composed(turn.task, turn.steps))
    if isinstance(result, Composed):
        return _after(owner.finish(turn, line, result))
    if result is None:
        return Ruling.AGAIN if services.send_judges(turn) else Ruling.REST
    return _try_again(turn, "gate", f"{line}, but {result}")


def _try_again(turn: Turn, why: str, text: str) -> Ruling | Look:
    """Let what is not good enough be done otherwise, if there is a way that leads elsewhere."""
    task = turn.task
    number = replan.next_plan(turn) if planner.may_replan(turn) else None
    if number is not None and not _crossed_with(turn, replan.begin_plan(task.terms.plans[number])):
        return _after(replan.use_plan(turn, number, text))
    otherwise = planner.may_replan(turn) and planner.do_otherwise(turn, text)
    if otherwise and not _crossed_with(turn, turn.steps):
        return Ruling.AGAIN
    return _after(owner.judge(turn, why, text))


def _crossed_with(turn: Turn, steps: Sequence[StepState]) -> bool:
    """Say whether these steps would change nothing: time and spending do not begin anew."""
    return crossed(turn.task.terms.until, turn.task, steps, turn.now_ms) is not None


def same_answer(turn: Turn) -> Ruling | Look:
    """An agent that says the same again and again will say nothing else."""
    if turn.task.circling is None:
        return Ruling.PASS
    return _stuck(turn, "same_answer", turn.task.circling)


def stalled(turn: Turn) -> Ruling | Look:
    """Where nothing moves, the plan changes once; then the owner judges."""
    task = turn.task
    most = task.terms.stalls_max
    if not most or task.stalls < most:
        return Ruling.PASS
    if turn.places(StepPhase.OPEN):
        return Ruling.REST
    text = f"{task.stalls} answers more without progress than with it"
    if task.unstuck or not planner.may_replan(turn) or not planner.change_course(turn, text):
        return _after(owner.judge(turn, "stalled", text))
    return Ruling.AGAIN


def question(turn: Turn) -> Ruling | Look:
    """An agent wants to know something of a person."""
    place = desk.question(turn)
    if place is None:
        return Ruling.PASS
    if turn.places(StepPhase.OPEN):
        return Ruling.REST
    step = turn.steps[place]
    assert isinstance(step.ask, Asked)
    owner.ask_person(turn, step, step.ask)
    return Ruling.AGAIN


def handover(turn: Turn) -> Ruling | Look:
    """An agent may ask for another one; whether it gets it is the owner's to say."""
    places = turn.places(StepPhase.ASKING)
    if not places:
        return Ruling.PASS
    step = turn.steps[places[0]]
    ask = step.ask
    if not isinstance(ask, Handover) or not _may_hand_over(turn, step, ask):
        to = ask.to if isinstance(ask, Handover) else "others: only a manager delegates"
        why = f"{step.agent} may not hand over to {to}"
        turn.note("handoff_refused", why, step)
        turn.set_step(places[0], phase=StepPhase.BROKEN, ask=None, reason=why)
        return Ruling.AGAIN
    if step.hop + 1 > turn.task.hops_max:
        return _stuck(turn, "hop_cap", _hop_cap_text(turn, step.agent, ask.to))
    if loops.only_to_and_fro(turn.task, step):
        return _stuck(turn, "ping_pong", _ping_pong_text(step, ask))
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
    return Ruling.AGAIN


def _may_hand_over(turn: Turn, step: StepState, ask: Handover) -> bool:
    sender, receiver = turn.sight.agents.get(step.agent), turn.sight.agents.get(ask.to)
    if sender is None or receiver is None or not receiver.known:
        return False
    if ask.to in turn.task.terms.validators:
        return False  # it will judge the result and can make no part of it
    return ask.to in sender.handoffs


def _ping_pong_text(step: StepState, ask: Handover) -> str:
    held = " → ".join(step.holders)
    return f"the last {len(step.holders)} holders were {held}, and {ask.to} would be the next"


def next_agents(turn: Turn) -> Ruling | Look:
    """A broken step goes to another agent, if there is one that has not tried it."""
    agents = replan.next_agents(turn) if planner.may_replan(turn) else {}
    if not agents:
        return Ruling.PASS
    replan.use_next_agents(turn, agents)
    return Ruling.AGAIN


def drop_optional(turn: Turn) -> Ruling | Look:
    """An optional step that nobody can do is done without."""
    places = [p for p in turn.places(StepPhase.BROKEN) if turn.steps[p].plan.optional]
    for place in places:
        turn.note("dropped", turn.steps[place].reason or "", turn.steps[place])
        turn.set_step(place, phase=StepPhase.DROPPED)
    return Ruling.AGAIN if places else Ruling.PASS


def tell_manager(turn: Turn) -> Ruling | Look:
    """What could not be done of a round is given up; the manager learns of it in the next."""
    broken = [p for p in turn.places(StepPhase.BROKEN) if _is_delegated(turn.steps[p])]
    for place in broken:
        planner.give_up(turn, place)
    return Ruling.AGAIN if broken else Ruling.PASS


def _is_delegated(step: StepState) -> bool:
    return step.plan.role is Role.DELEGATED


def next_plan(turn: Turn) -> Ruling | Look:
    """A plan with a broken step gives way to the next one."""
    places = turn.places(StepPhase.BROKEN)
    number = replan.next_plan(turn) if places and planner.may_replan(turn) else None
    if number is None:
        return Ruling.PASS
    step = turn.steps[places[0]]
    return _after(replan.use_plan(turn, number, f"{step.plan.id}: {step.reason}"))


def ask_planner(turn: Turn) -> Ruling | Look:
    """A plan that is not there yet, or that broke, is the planner's to make."""
    task, broken = turn.task, turn.places(StepPhase.BROKEN)
    unplanned = not turn.steps
    if task.terms.planner is None or not (broken or unplanned):
        return Ruling.PASS
    if services.is_asked(turn, Role.PLANNER):
        return Ruling.PASS
    if unplanned and not task.asked:
        planner.ask_planner(turn, "plan")
        return Ruling.AGAIN
    if not planner.may_replan(turn):
        return _stuck(turn, *_no_replan_left(turn, task.advice)) if unplanned else Ruling.PASS
    if turn.places(StepPhase.OPEN):
        return Ruling.REST  # what succeeds meanwhile need not be planned again
    planner.ask_planner(turn, "another plan")
    return Ruling.AGAIN


def no_plan_left(turn: Turn) -> Ruling | Look:
    """A step is broken and there is no other plan: the owner must judge."""
    places = turn.places(StepPhase.BROKEN)
    if not places or services.is_asked(turn, Role.PLANNER):
        return Ruling.PASS
    step = turn.steps[places[0]]
    what = f"step {step.plan.id} at {step.agent}: {step.reason}"
    if not _other_plan(turn):
        why = "budget" if step.fault is Fault.BUDGET else "no_plan_left"
        return _stuck(turn, why, what)
    return _stuck(turn, *_no_replan_left(turn, what))


def _no_replan_left(turn: Turn, what: str) -> tuple[str, str]:
    task = turn.task
    if task.replans >= task.terms.replans_max:
        return "replan_cap", f"{doing(task.replans, 're-plan')} used up; {what}"
    return "hop_cap", f"hop cap {task.hops_max} reached before the next plan; {what}"


def publish_ready(turn: Turn) -> Ruling | Look:
    """Send out every step whose needs are there, inside all caps."""
    planning = services.is_asked(turn, Role.PLANNER)
    places = turn.places(StepPhase.WAITING)
    if planning:  # of the plan that gives way nothing more goes out
        places = [p for p in places if not turn.steps[p].plan.role.makes_the_result]
    broken = len(turn.places(StepPhase.BROKEN))
    outgoing = publish.ready(turn, places)
    if len(turn.places(StepPhase.BROKEN)) > broken:
        return Ruling.AGAIN  # before anything goes out of a plan that may have to give way
    if not outgoing:
        return Ruling.REST if turn.full or turn.alarms else Ruling.PASS
    for cap in (_hop_cap, _subtask_cap, _repetition):
        if stuck := cap(turn, outgoing):
            return stuck
    first = publish.so_much(turn, outgoing)
    published = publish.publish(turn, first)
    if published == len(outgoing):
        return Ruling.REST
    if published == len(first):  # the server would be held up by more at once
        turn.alarms.append(turn.now_ms)
        return Ruling.REST
    if published:
        return Ruling.AGAIN  # with fewer to share among, one more may fit
    free = turn.task.ledger.free()
    text = f"{doing(len(outgoing), 'step')} ready, and what is free holds none of them: {free}"
    return _stuck(turn, "budget", text)


def wait(turn: Turn) -> Ruling | Look:
    """Somebody is at work."""
    return Ruling.REST if turn.places(StepPhase.OPEN) else Ruling.PASS


def ask_referees(turn: Turn) -> Ruling | Look:
    """The finish line wants an agent's word on what there is."""
    agents = referees(turn.task, turn.steps)
    result = turn.result()
    if not agents or result is None:
        return Ruling.PASS
    for agent in agents:
        services.ask(turn, Role.PREDICATE, agent, gate.shown(turn, result))
    return Ruling.AGAIN


def next_round(turn: Turn) -> Ruling | Look:
    """Everything a manager wanted is home: it says what it wants now."""
    if not planner.round_is_due(turn):
        return Ruling.PASS
    task = turn.task
    if task.replans > task.terms.replans_max:
        return _stuck(turn, *_no_replan_left(turn, task.advice))
    if task.satisfied:
        planner.not_yet(turn, _not_crossed(turn))
        return Ruling.AGAIN
    planner.ask_manager(turn)
    return Ruling.AGAIN


def plan_exhausted(turn: Turn) -> Ruling | Look:
    """Every step is done, and still the finish line is not crossed."""
    return _try_again(turn, "plan_exhausted", f"every step is done and {_not_crossed(turn)}")


def _not_crossed(turn: Turn) -> str:
    text = "the finish line is not crossed"
    reasons = [f"{v.by}: {v.reason}" for v in turn.task.verdicts if v.role is Role.PREDICATE]
    return "; ".join([text, *reasons[-1:]])


RULES: Final[tuple[Rule, ...]] = (
    ended,
    cancelled,
    person_decided,
    nobody_decided,
    on_the_desk,
    heard,
    last_words,
    deadline,
    not_admitted,
    finish_line,
    same_answer,
    stalled,
    question,
    handover,
    next_agents,
    drop_optional,
    tell_manager,
    next_plan,
    ask_planner,
    no_plan_left,
    publish_ready,
    wait,
    ask_referees,
    next_round,
    plan_exhausted,
)


TROUBLE: Final = frozenset(
    (
        *(same_answer, stalled, question, handover, next_agents, drop_optional, tell_manager),
        *(next_plan, ask_planner, no_plan_left),
    )
)
SMOOTH: Final = tuple(rule for rule in RULES if rule not in TROUBLE)
"""All rules but those that pass whenever no step is broken or asks for something."""


def _in_trouble(turn: Turn) -> bool:
    task = turn.task
    stuck = turn.places(StepPhase.BROKEN) or turn.places(StepPhase.ASKING)
    return bool(stuck or task.stalls or task.circling or not turn.steps)


# --- caps ----------------------------------------------------------------------------------------


def _stuck(turn: Turn, why: str, text: str) -> Ruling | Look:
    """Let what is out come home before the owner judges: it is paid for. Nothing new goes out."""
    if turn.places(StepPhase.OPEN):
        return Ruling.REST
    return _after(owner.judge(turn, why, text))


def _other_plan(turn: Turn) -> bool:
    planned = turn.task.terms.planner is not None
    return bool(planned or replan.next_agents(turn)) or replan.next_plan(turn) is not None


def _hop_cap(turn: Turn, outgoing: list[publish.Outgoing]) -> Ruling | Look | None:
    over = next((each for each in outgoing if each.hop > turn.task.hops_max), None)
    if over is None:
        return None
    step = turn.steps[over.place]
    return _stuck(turn, "hop_cap", _hop_cap_text(turn, step.plan.id, step.agent))


def _hop_cap_text(turn: Turn, sender: str, receiver: str) -> str:
    return f"hop cap {turn.task.hops_max} reached at {sender} → {receiver}"


def _subtask_cap(turn: Turn, outgoing: list[publish.Outgoing]) -> Ruling | Look | None:
    task = turn.task
    if task.subtasks + len(outgoing) <= task.terms.subtasks_max:
        return None
    sent, most = counted(task.subtasks, "subtask"), task.terms.subtasks_max
    text = f"{sent} published, {len(outgoing)} more asked for, at most {most} in all"
    return _stuck(turn, "subtask_cap", text)


def _repetition(turn: Turn, outgoing: list[publish.Outgoing]) -> Ruling | Look | None:
    most = turn.task.terms.repeat_max
    again = next((each for each in outgoing if most and each.repeats >= most - 1), None)
    if again is None:
        return None
    agent = turn.steps[again.place].agent
    before = counted(again.repeats, "hop")
    text = f"{agent} was about to get the same payload again, after {before} before"
    return _stuck(turn, "repetition", text)
