"""Notice that a task goes round in circles.

    repetition   the same message to the same agent, counted once per hop
    same answer  the same agent gives the same answer, counted once per hop
    ping-pong    the last few holders of a step are only one or two agents
    stalls       more answers without progress than with it

All of them are counts of facts, so no model has to be asked whether it is lost. Who declared a plan
in which two steps give the same short answer meant it: answers are compared within one step, or
among the steps that a manager made up as it went.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from hashlib import blake2b

from envelopes import Envelope, Status
from envelopes.strict import compact
from orchestrator.core.task import Role, StepState, Task
from orchestrator.core.turn import Turn

_WORD = re.compile(r"[^\W_]+")


def fingerprint(agent: str, text: str) -> str:
    """Name a message by agent and payload, whatever its punctuation, case and spacing."""
    plain = " ".join(_WORD.findall(unicodedata.normalize("NFKC", text).lower()))
    return blake2b(f"{agent}\0{plain}".encode(), digest_size=8).hexdigest()


def answer_fingerprint(agent: str, result: str) -> str:
    """Name an answer; it is never taken for a message with the same words."""
    return fingerprint(f"{agent}\0answers", result)


def hops_by_fingerprint(turn: Turn) -> dict[str, set[str]]:
    """Say at which hops each message was sent, under all plans."""
    return _by_name((turn.task.past, *(step.trail for step in turn.steps)))


def _by_name(trails: Iterable[tuple[str, ...]]) -> dict[str, set[str]]:
    seen: dict[str, set[str]] = defaultdict(set)
    for trail in trails:
        for entry in trail:
            hop, _, name = entry.partition(":")
            seen[name].add(hop)
    return seen


# --- answers -------------------------------------------------------------------------------------


def times_answered(turn: Turn, step: StepState, envelope: Envelope) -> int:
    """Say at how many hops this agent has given this answer, this one among them; 0 for none."""
    if not _may_come_again(step, envelope):
        return 0
    name = answer_fingerprint(step.agent, compact(envelope.result))
    return len(_by_name(_compared(turn, step))[name] | {str(step.hop)})


def with_answer(step: StepState, envelope: Envelope) -> tuple[str, ...]:
    """Return the step's trail with this answer on it."""
    if not _may_come_again(step, envelope):
        return step.trail
    entry = f"{step.hop}:{answer_fingerprint(step.agent, compact(envelope.result))}"
    return step.trail if entry in step.trail else (*step.trail, entry)


def _may_come_again(step: StepState, envelope: Envelope) -> bool:
    """Say whether an answer is worth remembering: a declared step that is done answers once."""
    done = step.plan.role is Role.WORK and envelope.status is Status.SUCCESS
    return envelope.result is not None and step.plan.role.makes_the_result and not done


def _compared(turn: Turn, step: StepState) -> Iterator[tuple[str, ...]]:
    if step.plan.role is Role.DELEGATED:
        yield from (each.trail for each in turn.steps if each.plan.role is Role.DELEGATED)
    else:
        yield step.trail


def stalls(task: Task, step: StepState, envelope: Envelope, times: int) -> int:
    """Count an answer: one more where it brought nothing, one less where it brought something."""
    match _progress(step, envelope, times):
        case True:
            return max(0, task.stalls - 1)
        case False:
            return task.stalls + 1
        case None:
            return task.stalls


def _progress(step: StepState, envelope: Envelope, times: int) -> bool | None:
    """Say whether it brought the task further; None where nobody can tell."""
    if step.plan.role is Role.WORK and envelope.status is Status.SUCCESS:
        return True  # a declared step is done
    if envelope.progress is not None:
        return envelope.progress
    return times == 1 if times else None


# --- holders -------------------------------------------------------------------------------------


def held_by(task: Task, step: StepState, hop: int) -> tuple[str, ...]:
    """Return who has held a step, now that its message goes out again at this hop."""
    window = task.terms.holders_window
    if not window or hop == step.hop:  # lost and sent again: nobody has handed anything over
        return step.holders
    return (*step.holders, step.agent)[-window:]


def only_to_and_fro(task: Task, step: StepState) -> bool:
    """Say whether too few agents have held a step lately."""
    terms, holders = task.terms, step.holders
    full = terms.holders_window and len(holders) == terms.holders_window
    return bool(full) and len(set(holders)) < terms.holders_min
