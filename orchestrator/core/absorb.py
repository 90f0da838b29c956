"""Record facts, judge nothing.

Late, repeated, reordered or unknown mail changes nothing: a report counts only while its subtask
is open, a decision only while its letter is, a cancellation only until the task has ended.

What a worker says of its own cost is for the record; what is booked is what the meter had charged,
clamped to the allowance.
"""

from collections.abc import Sequence

from envelopes import Delegate, Envelope, Fault, Handoff, Question, Replan, Status, limits
from envelopes.decision import Verb
from envelopes.strict import compact
from orchestrator.core import again, crew, desk, gate, loops, story
from orchestrator.core.commands import Look, Served
from orchestrator.core.facts import Cancelled, Claim, ClaimState, Mail, Report
from orchestrator.core.task import (
    Asked,
    Decided,
    Handover,
    Kept,
    Phase,
    Planned,
    Role,
    StepPhase,
    StepState,
    planned,
)
from orchestrator.core.turn import Turn

_FAULTS_OF_THE_AGENT = {Fault.RAISED, Fault.CONTRACT, Fault.TIMEOUT, Fault.LOST}


def absorb_mail(turn: Turn, mail: Sequence[Mail]) -> None:
    """Record every letter, in the order of arrival."""
    places = {s.open.subtask: p for p, s in enumerate(turn.steps) if s.open is not None}
    for letter in mail:
        match letter:
            case Report():
                place = places.pop(letter.subtask, None)
                if place is None:
                    turn.note("late_envelope", "changes nothing", subtask=letter.subtask)
                else:
                    _absorb_report(turn, place, letter)
            case Cancelled():
                _absorb_wish_to_stop(turn, letter)
            case Decided():
                _absorb_decision(turn, letter)


def _absorb_wish_to_stop(turn: Turn, letter: Cancelled) -> None:
    """The first wish counts; a second adds nothing."""
    if turn.task.cancelled is None:
        wish = f"{letter.by}: {letter.why}".rstrip(": ")
        turn.change(cancelled=wish)
        turn.note("stop_asked", wish)


def _absorb_report(turn: Turn, place: int, report: Report) -> None:
    step, envelope = turn.steps[place], report.envelope
    times = loops.times_answered(turn, step, envelope)
    fields: dict[str, object] = {
        "kept": _better(step.kept, _kept(step, envelope)),
        "reason": envelope.reason,
        "fault": envelope.fault,
        "trail": loops.with_answer(step, envelope),
    }
    fields |= _standing(turn, step, envelope)
    turn.settle(place, report.charged, _served(envelope), **fields)
    story.remember(turn, step, envelope)
    turn.note(
        "envelope",
        envelope.reason or "",
        step,
        subtask=report.subtask,
        status=envelope.status,
        confidence=envelope.confidence,
        charged=report.charged,
        fault=envelope.fault,
    )
    _count_progress(turn, step, envelope, times)


def _standing(turn: Turn, step: StepState, envelope: Envelope) -> dict[str, object]:
    """Say where a step stands after its agent's envelope."""
    if envelope.fault is Fault.STOPPED:
        # Its worker was told to go; nothing is known against the agent or the step.
        return {"phase": StepPhase.WAITING, "next_hop": step.hop}
    if envelope.ask is not None:
        return {"phase": StepPhase.ASKING, "ask": _wish(turn, envelope)}
    if envelope.status is not Status.SUCCESS:
        return {"phase": StepPhase.BROKEN}
    if _below_the_bar(turn, step, envelope):
        sure = f"confidence {envelope.confidence} is below {turn.task.terms.confidence_min}"
        return {"phase": StepPhase.BROKEN, "reason": sure}
    return {"phase": StepPhase.DONE}


def _wish(turn: Turn, envelope: Envelope) -> Handover | Asked | Planned:
    match envelope.ask:
        case Handoff() as ask:
            return Handover(ask.to, ask.goal, compact(ask.input), envelope.reason or "")
        case Question() as ask:
            return Asked(ask.text, ask.choices)
        case Delegate() | Replan() as ask:
            terms = turn.task.terms
            steps = (planned(each, terms.goal, terms.input, Role.DELEGATED) for each in ask.steps)
            return Planned(tuple(steps), instead=isinstance(ask, Replan))
        case None:
            raise AssertionError("only an envelope with an ask wishes for something")


def _served(envelope: Envelope) -> Served:
    """Say what an envelope says of its agent: what it thinks of the content is no fault of its."""
    if envelope.fault in _FAULTS_OF_THE_AGENT:
        return Served.FAULT
    return Served.OK if envelope.fault is None else Served.NOTHING


def _count_progress(turn: Turn, step: StepState, envelope: Envelope, times: int) -> None:
    role, most = step.plan.role, turn.task.terms.repeat_max
    if not role.makes_the_result and role is not Role.MANAGER:
        return
    turn.change(stalls=loops.stalls(turn.task, step, envelope, times))
    if most and times >= most and role.makes_the_result:
        turn.change(circling=f"{step.agent} has given the same answer at {times} hops")


def _below_the_bar(turn: Turn, step: StepState, envelope: Envelope) -> bool:
    """Say whether somebody else should try: the agent is unsure, and there is somebody else."""
    if not step.plan.role.makes_the_result:
        return False  # what it says is heard, and then weighed
    unsure = (envelope.confidence or 0) < turn.task.terms.confidence_min
    return unsure and crew.next_agent(turn, step) is not None


def _kept(step: StepState, envelope: Envelope) -> Kept | None:
    if envelope.status is Status.FAILED or envelope.confidence is None:
        return None
    if envelope.status is Status.PARTIAL and envelope.result is None:
        return None  # only a final word may be "null"
    assert step.open is not None
    return Kept(
        subtask=step.open.subtask,
        agent=step.agent,
        result=compact(envelope.result),
        confidence=envelope.confidence,
        final=envelope.status is Status.SUCCESS,
    )


def _better(old: Kept | None, new: Kept | None) -> Kept | None:
    """Keep a final word before a part, then the surer one, then the later one."""
    if old is None or new is None:
        return new or old
    return max(new, old, key=lambda kept: (kept.final, kept.confidence))


def _absorb_decision(turn: Turn, decided: Decided) -> None:
    task = turn.task
    if task.letter is None or task.letter.id != decided.letter or task.decision is not None:
        turn.note("late_decision", f"{decided.verb} by {decided.by}: the letter is closed")
        return
    if wrong := _senseless(turn, decided):
        turn.note("refused_decision", f"{decided.verb} by {decided.by}: {wrong}")
        return
    turn.change(decision=decided)


def _senseless(turn: Turn, decided: Decided) -> str | None:
    if decided.verb is Verb.APPROVE and turn.result() is None:
        return "nothing is kept that could be delivered"
    if decided.verb is Verb.AMEND:
        return gate.content_refusal(turn.task, decided.result or "null")
    if decided.verb.of_a_message:
        return "a task waits on this letter, and no message"
    return _no_agent(turn, decided) or _no_answer(turn, decided)


def _no_agent(turn: Turn, decided: Decided) -> str | None:
    """Say why the named agent cannot go on; None where it can, or nobody is named."""
    if decided.agent is None:
        return None
    known = turn.sight.agents.get(decided.agent)
    if known is None or not known.known:
        return f"no worker runs {decided.agent}; see which there are: buckstop agents"
    if not again.to_reassign(turn):
        return "there is no step that another agent could do instead"
    return None


def _no_answer(turn: Turn, decided: Decided) -> str | None:
    """Say why this does not fit the question, or the lack of one, that is on the desk."""
    place = desk.question_on_desk(turn)
    if place is None:
        return "nobody has asked anything" if decided.verb is Verb.ANSWER else None
    asked = turn.steps[place].ask
    assert isinstance(asked, Asked)
    if decided.verb is Verb.RETRY:
        return "an agent waits for an answer; answer it, or abort"
    if decided.verb is Verb.ANSWER and asked.choices and decided.answer not in asked.choices:
        return f"the answer is one of: {', '.join(asked.choices)}"
    return None


# --- claims ------------------------------------------------------------------------------------


def absorb_claims(turn: Turn) -> Look | None:
    """Record what became of open subtasks; ask to see them, or to take away those that ran out."""
    claims = turn.sight.claims
    if not turn.places(StepPhase.OPEN) or turn.task.phase is not Phase.WORKING:
        return None
    if claims is None:
        return turn.look() if turn.now_ms >= turn.task.look_ms else None
    run_out = []
    for place in list(turn.places(StepPhase.OPEN)):
        step = turn.steps[place]
        claim = claims.get(step.open.subtask) if step.open else None
        if claim is None or claim.state is ClaimState.REPORTED:
            continue
        if claim.state in {ClaimState.REVOKED, ClaimState.ABSENT}:
            _settle_claim(turn, place, claim)
        elif _ran_out(turn, step, claim) and step.open:
            run_out.append(step.open.subtask)
    return turn.look(revoke=tuple(run_out)) if run_out else None


def _ran_out(turn: Turn, step: StepState, claim: Claim) -> bool:
    """Say whether a claim has to be taken away. Nothing is done about it before it is."""
    assert step.open is not None
    if claim.state is ClaimState.ISSUED:
        waited = turn.now_ms - step.open.published_ms
        return waited >= limits.PATIENCE_MS and not claim.queued
    return _silent(turn, claim) or _timed_out(turn, step, claim)


def _silent(turn: Turn, claim: Claim) -> bool:
    return turn.now_ms >= claim.beat_ms + limits.LEASE_MS


def _timed_out(turn: Turn, step: StepState, claim: Claim) -> bool:
    return turn.now_ms >= claim.since_ms + step.plan.timeout_ms


def _settle_claim(turn: Turn, place: int, claim: Claim) -> None:
    """Book a claim that nobody can charge any more, and say what that means for its step."""
    step = turn.steps[place]
    assert step.open is not None
    charged = claim.charged
    if claim.state is ClaimState.ABSENT:
        charged = step.open.allowance.as_amounts()  # the record is gone: assume the worst
    again: dict[str, object] = {"phase": StepPhase.WAITING, "next_hop": step.hop}
    if claim.state is ClaimState.REVOKED and not claim.since_ms:
        why, text, fields = "unclaimed", "nobody has fetched it", again
    elif claim.state is ClaimState.ABSENT:
        why, _, fields = _lost(step, again)
        text = "its record is gone; the worst is booked"
    elif _silent(turn, claim):
        why, text, fields = _lost(step, again)
    elif _timed_out(turn, step, claim):
        why, text = "step_timeout", f"no envelope within {step.plan.timeout_ms} ms"
        fields = {"phase": StepPhase.BROKEN, "reason": text, "fault": Fault.TIMEOUT}
    else:
        why, text, fields = "revoked", "taken away by the owner", again
    silent = claim.state is not ClaimState.ABSENT and why in {"lost", "poison", "step_timeout"}
    served = Served.FAULT if silent else Served.NOTHING
    turn.settle(place, charged, served, **fields)
    turn.note(why, text, step, charged=charged)


def _lost(step: StepState, again: dict[str, object]) -> tuple[str, str, dict[str, object]]:
    """Re-issue a step whose worker fell silent, unless it has taken too many workers with it."""
    lost = step.lost + 1
    if lost < limits.LOST_MAX:
        return "lost", f"its worker fell silent ({lost})", again | {"lost": lost}
    text = f"poison: {lost} workers fell silent over it"
    broken = {"phase": StepPhase.BROKEN, "lost": lost, "reason": text, "fault": Fault.LOST}
    return "poison", text, broken
