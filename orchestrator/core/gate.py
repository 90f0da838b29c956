"""The last check before a result leaves: schema, predicates, confidence, and then the judges.

What costs nothing comes first. A result that passes it is shown to the validator agents, each of
which says ok or not, how sure it is of that, and why. Their word can only lower the confidence:
whoever agrees leaves it at most as high as its own, and whoever objects leaves it at most as high
as its doubt in the objection. A judge that made part of what it would judge is not asked, and a
judge that gives no verdict has not agreed.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from envelopes import limits
from envelopes.strict import compact
from orchestrator.core import predicates, services
from orchestrator.core.result import fingerprint
from orchestrator.core.schema import misfit, misfits
from orchestrator.core.task import Composed, Role, StepState, Task, Verdict
from orchestrator.core.turn import Turn


def refusal(task: Task, result: Composed | None) -> str | None:
    """Say why this result may not leave, as far as that can be said without asking anybody."""
    if result is None:
        return "nothing is kept"
    if wrong := content_refusal(task, result.result):
        return wrong
    return _too_unsure(task, result.confidence)


def content_refusal(task: Task, result: str) -> str | None:
    """Say where the result breaks the task's schema or predicates; a person's is held to them."""
    if len(result) > limits.RESULT_CHARS_MAX:
        most = f"at most {limits.RESULT_CHARS_MAX:,} are delivered"
        return f"the result has {len(result):,} characters, {most}; let a step join its parts"
    schema = task.terms.result_schema
    wrong = None if schema is None else misfit(schema, result)
    if wrong is not None:
        return f"result breaks its schema: {wrong}"
    return predicates.broken(task.terms.predicates, result)


def content_faults(task: Task, result: str) -> list[tuple[str, str]]:
    """Say everything for which `content_refusal` would refuse the result: where, and what."""
    schema = task.terms.result_schema
    wrong = [] if schema is None else misfits(schema, result)
    return [*wrong, *predicates.all_broken(task.terms.predicates, result)]


def passed(turn: Turn, result: Composed | None) -> Composed | str | None:
    """Return the result as it may leave, or why it may not, or None while judges are at work."""
    if (refused := refusal(turn.task, result)) or result is None:
        return refused
    verdicts = [_verdict(turn, name, result) for name in turn.task.terms.validators]
    given = [each for each in verdicts if each is not None]
    if len(given) < len(verdicts):
        return None
    for each in given:
        if not each.given:
            return f"{each.by} gave no verdict: {each.reason}"
    return _judged(turn.task, result, given)


def _judged(task: Task, result: Composed, verdicts: list[Verdict]) -> Composed | str:
    sure = min([result.confidence, *(v.confidence if v.ok else 1 - v.confidence for v in verdicts)])
    if refused := _too_unsure(task, sure):
        said = [f"{v.by} says {'ok' if v.ok else 'no'} ({v.confidence:.2f}): {v.reason}"
                for v in verdicts]  # fmt: skip
        return "; ".join([refused, *said])
    return replace(result, confidence=sure)


def _too_unsure(task: Task, confidence: float) -> str | None:
    bar = task.terms.confidence_min
    return None if confidence >= bar else f"confidence {confidence:.2f} is below {bar:.2f}"


def _verdict(turn: Turn, validator: str, result: Composed) -> Verdict | None:
    """Return what this validator said of this result; ask it where it has not been asked."""
    about = fingerprint(result.result)
    for verdict in turn.task.verdicts:
        if (verdict.role, verdict.by, verdict.about) == (Role.VALIDATOR, validator, about):
            return verdict
    if validator in (result.by or makers(turn.task, turn.steps)):
        reason = "it made part of what it would judge"
        return Verdict(validator, Role.VALIDATOR, about, False, 0.0, reason, given=False)
    if not services.is_asked(turn, Role.VALIDATOR, validator):
        services.ask(turn, Role.VALIDATOR, validator, shown(turn, result))
    return None


def shown(turn: Turn, result: Composed) -> str:
    """Write what a judge is given."""
    terms = turn.task.terms
    schema = terms.result_schema or "null"
    return (
        f'{{"goal":{compact(terms.goal)},"input":{terms.input},"result":{result.result},'
        f'"confidence":{result.confidence},"result_schema":{schema}}}'
    )


def makers(task: Task, steps: Sequence[StepState]) -> set[str]:
    """Return everybody who made part of what there is."""
    kept = (step.kept for step in steps if step.plan.role.makes_the_result)
    return {one.agent for one in kept if one is not None} | {task.terms.manager or ""}
