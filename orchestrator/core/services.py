"""What the owner itself wants to know of an agent: a plan, a verdict, the last word.

Such a question is a step like any other, with a name that no caller's step can have: it is
published, claimed, charged, lost and re-issued like any other. It is no transfer of control, for
the owner keeps the task; so it has the hop of what it is about, and no hop cap stands in the way of
an ending. Once it is answered, what was said is recorded with the task and the step is gone.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from envelopes import Fault, limits
from orchestrator.core import publish
from orchestrator.core.result import fingerprint
from orchestrator.core.task import Asked, PlanStep, Role, StepPhase, StepState, Verdict
from orchestrator.core.turn import Turn

_MARK: Final = "_"


def ask(turn: Turn, role: Role, agent: str, given: str) -> None:
    """Put a question to an agent; it goes out with what is published next."""
    number = turn.task.asked + 1
    plan = PlanStep(
        id=f"{_MARK}{role}.{number}",
        agent=agent,
        goal=turn.task.terms.goal,
        input=given,
        timeout_ms=limits.JUDGE_MS if role.judges else limits.STEP_TIMEOUT_DEFAULT_S * 1000,
        role=role,
    )
    turn.add_steps([StepState(plan=plan, agent=agent, goal=plan.goal, input=given)])
    turn.change(asked=number)
    turn.note("ask", f"{agent}, as {role}", turn.steps[-1])


def is_asked(turn: Turn, role: Role, agent: str | None = None) -> bool:
    """Say whether such a question is not answered yet."""
    return turn.task.asked > 0 and any(
        step.plan.role is role and agent in (None, step.plan.agent)
        for step in turn.steps
        if not step.plan.role.makes_the_result
    )


def answered(turn: Turn) -> int | None:
    """Return where an answered question stands, or None."""
    if not turn.task.asked:
        return None
    for phase in (StepPhase.DONE, StepPhase.BROKEN, StepPhase.ASKING):
        for place in turn.places(phase):
            step = turn.steps[place]
            if not step.plan.role.makes_the_result and not asks_a_person(step):
                return place
    return None


def asks_a_person(step: StepState) -> bool:
    """Say whether a step waits for a person's answer; what a judge does not know, it says."""
    return isinstance(step.ask, Asked) and not step.plan.role.judges


def take(turn: Turn, place: int) -> StepState:
    """Take an answered question out of the task's steps, for what was said to be recorded."""
    answer = turn.steps[place]
    turn.keep_steps([step for step in turn.steps if step is not answer])
    return answer


def send_judges(turn: Turn) -> bool:
    """Publish what is asked of judges, and nothing else: the work itself is over.

    Say whether one of them is answered already, for want of anything to pay it with.
    """
    places = [p for p in turn.places(StepPhase.WAITING) if turn.steps[p].plan.role.judges]
    publish.publish(turn, publish.ready(turn, places))
    for place in places:
        step = turn.steps[place]
        if step.phase is StepPhase.WAITING and step.agent not in turn.full:
            why = "nothing is left to pay it with"
            turn.set_step(place, phase=StepPhase.BROKEN, fault=Fault.BUDGET, reason=why)
    return answered(turn) is not None


def dismiss(turn: Turn) -> None:
    """Forget every question that is not answered: nobody waits for it any more."""
    if turn.task.asked:
        turn.keep_steps([step for step in turn.steps if step.plan.role.makes_the_result])


# --- what was said -------------------------------------------------------------------------------


def record_verdict(turn: Turn, step: StepState) -> None:
    """Record what a judge said of the result that it was shown."""
    verdict = _verdict(step)
    turn.change(verdicts=(*turn.task.verdicts, verdict)[-limits.VERDICTS_MAX :])
    said = ("ok" if verdict.ok else "not ok") if verdict.given else "no verdict"
    turn.note("verdict", f"{said}: {verdict.reason}", step, confidence=verdict.confidence)


def _verdict(step: StepState) -> Verdict:
    about = fingerprint(json_field(step.input, "result"))
    role, by = step.plan.role, step.plan.agent
    said = answer_of(step)
    if isinstance(said, str):
        return Verdict(by, role, about, False, 0.0, said, given=False)
    match said:
        case {"ok": bool(ok), "confidence": int() | float() as sure} if _is_share(sure):
            reason = str(said.get("reason") or "")[: limits.REASON_CHARS_MAX]
            return Verdict(by, role, about, ok, float(sure), reason)
    wanted = 'a verdict is {"ok": true or false, "confidence": 0 to 1, "reason": text}'
    return Verdict(by, role, about, False, 0.0, wanted, given=False)


def _is_share(number: float) -> bool:
    return not isinstance(number, bool) and 0 <= number <= 1  # to Python True is 1


def answer_of(step: StepState) -> Mapping[str, Any] | str:
    """Return the object that a question was answered with, or why there is none."""
    if step.phase is not StepPhase.DONE or step.kept is None:
        return step.reason or "it asked for something else instead of answering"
    said = json.loads(step.kept.result)
    return said if isinstance(said, dict) else "its answer is no object"


def json_field(text: str, name: str) -> str:
    """Return one field of a JSON object as the text that it was written as."""
    fields = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    return bytes(fields[name]).decode()
