"""Which steps go out now, with what, and with how much.

All ready steps of a stage go out together and share its hop. A step's allowance is what it asks
for, or its share by weight of what is free; what does not fit waits until something is settled.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import accumulate, islice

from envelopes import Ledger, Limits, limits
from envelopes.strict import compact
from orchestrator.core import crew, loops
from orchestrator.core.commands import Publish
from orchestrator.core.task import Open, Record, Role, StepPhase, StepState, Task
from orchestrator.core.turn import Turn


class Outgoing(Record, frozen=True):
    """A message as it would go out, before anybody has agreed to it."""

    place: int
    hop: int
    text: str
    fingerprint: str
    repeats: int
    """At how many other hops it was sent before. A stage of equal steps is one hop, no loop."""


def ready(turn: Turn, waiting: Sequence[int]) -> list[Outgoing]:
    """Write the messages of those of these steps that can go out now."""
    sent = loops.hops_by_fingerprint(turn) if waiting and turn.task.hop else {}
    turn.recount_rooms()
    outgoing = []
    for place in waiting:
        needs = [turn.step(need) for need in turn.steps[place].plan.needs]
        if all(need.phase is StepPhase.DONE or need.phase is StepPhase.DROPPED for need in needs):
            step = crew.staffed(turn, place)
            if step is not None:
                outgoing.append(_outgoing(turn, place, step, needs, sent))
    return [message for message in outgoing if _travels(turn, message)]


def _travels(turn: Turn, message: Outgoing) -> bool:
    """Say whether a message is small enough to be sent; a step whose message is not is broken."""
    size = len(message.text.encode())
    if size <= limits.PAYLOAD_BYTES_MAX:
        return True
    why = f"its payload is {size:,} bytes, at most {limits.PAYLOAD_BYTES_MAX:,} travel"
    turn.note("payload_too_large", why, turn.steps[message.place])
    turn.set_step(message.place, phase=StepPhase.BROKEN, reason=why)
    return False


def _outgoing(
    turn: Turn,
    place: int,
    step: StepState,
    needs: list[StepState],
    sent: Mapping[str, AbstractSet[str]],
) -> Outgoing:
    text = payload(step, needs)
    if not step.plan.role.makes_the_result:  # the owner's own question: no transfer, no repetition
        return Outgoing(place, _hop_of_question(turn.task, step), text, "", 0)
    hop = max([step.next_hop, 1, *(need.hop + 1 for need in needs)])
    name = loops.fingerprint(step.agent, text)
    return Outgoing(place, hop, text, name, len(sent.get(name, set()) - {str(hop)}))


def _hop_of_question(task: Task, step: StepState) -> int:
    """A question has the hop of what it is about; but each round of a manager is one further."""
    rounds = task.rounds + 1 if step.plan.role is Role.MANAGER else 1
    return max(task.hop, rounds)


def payload(step: StepState, needs: list[StepState]) -> str:
    """Write what the agent is given."""
    inputs = ",".join(
        f"{compact(need.plan.id)}:{need.kept.result if need.kept else 'null'}" for need in needs
    )
    said = [{"question": each.question, "answer": each.answer} for each in step.answers]
    answers = f',"answers":{compact(said)}' if said else ""
    return f'{{"goal":{compact(step.goal)},"input":{step.input},"inputs":{{{inputs}}}{answers}}}'


def so_much(turn: Turn, outgoing: list[Outgoing]) -> list[Outgoing]:
    """Return as many of these messages as one decision may send, one of them at least."""
    sent = sum(len(each.payload) for each in turn.commands if isinstance(each, Publish))
    totals = accumulate((len(each.text) for each in outgoing), initial=sent)
    fit = sum(total <= limits.PUBLISH_BYTES_MAX for total in islice(totals, 1, None))
    return outgoing[: max(fit, 0 if sent else 1)]


def publish(turn: Turn, outgoing: list[Outgoing]) -> int:
    """Publish as many of these messages as the budget holds; return how many."""
    shares = _Shares(turn)
    published = 0
    for message in outgoing:
        step = turn.steps[message.place]
        allowance = shares.of(step)
        ending = step.plan.role.serves_the_ending
        ledger = turn.task.ledger.reserve(allowance, for_ending=ending)
        if ledger is not None and not allowance.empty:
            _send(turn, message, allowance, ledger)
            published += 1
    return published


class _Shares:
    """Divides what is free at this moment among all steps that still wait, by weight.

    Whoever serves the ending shares what is held back for it too, and leaves a part to the next;
    with the work that is left it shares nothing, for none of that will be done before the ending.
    """

    def __init__(self, turn: Turn) -> None:
        waiting = (*turn.places(StepPhase.WAITING), *turn.places(StepPhase.BROKEN))
        plans = [turn.steps[place].plan for place in waiting]
        self._weights = sum(plan.weight for plan in plans)
        self._weights_of_ending = sum(p.weight for p in plans if p.role.serves_the_ending)
        self._free = turn.task.ledger.free()
        self._for_ending = turn.task.ledger.free(for_ending=True)

    def of(self, step: StepState) -> Limits:
        if step.plan.role.serves_the_ending:
            free, weights = self._for_ending, self._weights_of_ending + 1
        else:
            free, weights = self._free, self._weights
        share = free.share(step.plan.weight, weights)
        if share.calls == 0 and free.calls:
            share = Limits(share.tokens, share.usd_micros, 1)  # less than one call is none
        return share.holding(step.plan.allowance)


def _send(turn: Turn, message: Outgoing, allowance: Limits, ledger: Ledger) -> None:
    before = turn.steps[message.place]
    subtask = turn.task.subtasks + 1
    entry = f"{message.hop}:{message.fingerprint}"
    known = not message.fingerprint or entry in before.trail
    trail = before.trail if known else (*before.trail, entry)
    turn.change(ledger=ledger, subtasks=subtask, hop=max(turn.task.hop, message.hop))
    step = turn.set_step(
        message.place,
        phase=StepPhase.OPEN,
        hop=message.hop,
        next_hop=0,
        attempt=before.attempt + 1,
        trail=trail,
        holders=loops.held_by(turn.task, before, message.hop),
        open=Open(subtask, allowance, turn.now_ms),
    )
    turn.commands.append(
        Publish(
            subtask=subtask,
            step=step.plan.id,
            agent=step.agent,
            attempt=step.attempt,
            hop=message.hop,
            allowance=allowance,
            timeout_ms=step.plan.timeout_ms,
            goal=step.goal,
            payload=message.text,
            trail=trail[-limits.TRAIL_MAX :],
            ledger=ledger,
            deadline_ms=_deadline_ms(turn.task, step),
        )
    )
    turn.note("publish", "", step, allowance=allowance)
    if message.repeats and not known:
        turn.note("repeats", "the same payload for the same agent, once more", step)


def _deadline_ms(task: Task, step: StepState) -> int:
    """Return when it is over: whoever helps to end a task may be asked after its deadline."""
    if task.ending is not None and step.plan.role.serves_the_ending:
        return task.ending.due_ms
    return task.deadline_ms
