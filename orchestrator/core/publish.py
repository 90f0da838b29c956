"""Which steps go out now, with what, and with how much.

All ready steps of a stage go out together and share its hop. A step's allowance is what it asks
for, or its share by weight of what is free; what does not fit waits until something is settled.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from hashlib import blake2b

from envelopes import Ledger, Limits, limits
from envelopes.strict import compact
from orchestrator.core.commands import Publish
from orchestrator.core.task import Open, Record, StepPhase, StepState
from orchestrator.core.turn import Turn

_WORD = re.compile(r"[^\W_]+")


class Outgoing(Record, frozen=True):
    """A message as it would go out, before anybody has agreed to it."""

    place: int
    hop: int
    text: str
    fingerprint: str
    repeats: int
    """At how many other hops it was sent before. A stage of equal steps is one hop, no loop."""


def ready(turn: Turn) -> list[Outgoing]:
    """Write the messages of all waiting steps whose needs are there."""
    steps, waiting = turn.steps, turn.places(StepPhase.WAITING)
    sent = _hops_by_fingerprint(turn) if waiting and turn.task.hop else {}
    outgoing = []
    for place in waiting:
        step = steps[place]
        needs = [turn.step(need) for need in step.plan.needs]
        if all(need.phase is StepPhase.DONE or need.phase is StepPhase.DROPPED for need in needs):
            hop = max([step.next_hop, 1, *(need.hop + 1 for need in needs)])
            text = payload(step, needs)
            name = fingerprint(step.agent, text)
            repeats = len(sent.get(name, set()) - {str(hop)})
            outgoing.append(Outgoing(place, hop, text, name, repeats))
    return outgoing


def payload(step: StepState, needs: list[StepState]) -> str:
    """Write what the agent is given."""
    inputs = ",".join(
        f"{compact(need.plan.id)}:{need.kept.result if need.kept else 'null'}" for need in needs
    )
    return f'{{"goal":{compact(step.goal)},"input":{step.input},"inputs":{{{inputs}}}}}'


def fingerprint(agent: str, text: str) -> str:
    """Name a message by agent and payload, whatever its punctuation, case and spacing."""
    plain = " ".join(_WORD.findall(unicodedata.normalize("NFKC", text).lower()))
    return blake2b(f"{agent}\0{plain}".encode(), digest_size=8).hexdigest()


def _hops_by_fingerprint(turn: Turn) -> dict[str, set[str]]:
    seen: dict[str, set[str]] = defaultdict(set)
    for entry in _entries(turn):
        hop, _, name = entry.partition(":")
        seen[name].add(hop)
    return seen


def _entries(turn: Turn) -> Iterable[str]:
    yield from turn.task.past
    for step in turn.steps:
        yield from step.trail


def publish(turn: Turn, outgoing: list[Outgoing]) -> int:
    """Publish as many of these messages as the budget holds; return how many."""
    shares = _Shares(turn)
    published = 0
    for message in outgoing:
        step = turn.steps[message.place]
        if (size := len(message.text.encode())) > limits.PAYLOAD_BYTES_MAX:
            why = f"its payload is {size:,} bytes, at most {limits.PAYLOAD_BYTES_MAX:,} travel"
            turn.note("payload_too_large", why, step)
            turn.set_step(message.place, phase=StepPhase.BROKEN, reason=why)
            continue
        allowance = shares.of(step)
        ledger = None if allowance.empty else turn.task.ledger.reserve(allowance)
        if ledger is not None:
            _send(turn, message, allowance, ledger)
            published += 1
    return published


class _Shares:
    """Divides what is free at this moment among all steps that still wait, by weight."""

    def __init__(self, turn: Turn) -> None:
        waiting = (*turn.places(StepPhase.WAITING), *turn.places(StepPhase.BROKEN))
        self._weights = sum(turn.steps[place].plan.weight for place in waiting)
        self._free = turn.task.ledger.free()

    def of(self, step: StepState) -> Limits:
        share = self._free.share(step.plan.weight, self._weights)
        if share.calls == 0 and self._free.calls:
            share = Limits(share.tokens, share.usd_micros, 1)  # less than one call is none
        return share.holding(step.plan.allowance)


def _send(turn: Turn, message: Outgoing, allowance: Limits, ledger: Ledger) -> None:
    before = turn.steps[message.place]
    subtask = turn.task.subtasks + 1
    entry = f"{message.hop}:{message.fingerprint}"
    trail = before.trail if entry in before.trail else (*before.trail, entry)
    turn.change(ledger=ledger, subtasks=subtask, hop=max(turn.task.hop, message.hop))
    step = turn.set_step(
        message.place,
        phase=StepPhase.OPEN,
        hop=message.hop,
        next_hop=0,
        attempt=before.attempt + 1,
        trail=trail,
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
        )
    )
    turn.note("publish", "", step, allowance=allowance)
    if message.repeats and entry not in before.trail:
        turn.note("repeats", "the same payload for the same agent, once more", step)
