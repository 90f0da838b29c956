"""Read a task's mail: the text form that scripts write, as the core's facts.

    report <subtask> <tokens> ...      what a worker handed back, and what its meter had charged
    cancel ...                         a caller's wish to stop
    decide ...                         a person's decision

What cannot be read was written by a worker that breaks the contract; it becomes a `failed`
envelope, never an exception: a bad letter must not stop the task that got it.
"""

from typing import Final

from envelopes import Amounts, Envelope, Fault, Refused, limits
from envelopes.decision import Cancellation, Decision
from envelopes.strict import Model, compact, parse
from envelopes.versions import Newer
from orchestrator.core.facts import Cancelled, Mail, Report
from orchestrator.core.task import Decided

_DECISION_BYTES_MAX: Final = limits.ENVELOPE_BYTES_MAX


def read_mail(letter: bytes) -> Mail:
    """Parse one letter at the edge; inside, it is trusted."""
    head, _, body = letter.partition(b"\n")
    kind, *words = head.decode().split(" ")
    match kind:
        case "report":
            subtask, _token, tokens, usd_micros, calls = words
            charged = Amounts(int(tokens), int(usd_micros), int(calls))
            return Report(int(subtask), charged, _envelope(body))
        case "cancel":
            wish = _checked(Cancellation, body, "cancellation")
            return Cancelled(wish.by, wish.why)
        case "decide":
            return _decided(_checked(Decision, body, "decision"))
    raise AssertionError(f"mail of the kind {kind!r} is written by no script of ours")


def _checked(model: type[Model], body: bytes, what: str) -> Model:
    """Read what was checked when it was posted; who cannot read it now is too old for it."""
    try:
        return parse(model, body, bytes_max=_DECISION_BYTES_MAX, what=what)
    except Refused as refused:
        raise Newer(f"a {what} cannot be read here: {refused}") from None


def _envelope(body: bytes) -> Envelope:
    try:
        return parse(Envelope, body, bytes_max=limits.ENVELOPE_BYTES_MAX, what="envelope")
    except Refused as wrong:
        return Envelope.failed(f"not an envelope: {wrong}", Fault.CONTRACT)


def _decided(decision: Decision) -> Decided:
    more = decision.budget.limits().as_amounts() if decision.budget else Amounts()
    return Decided(
        letter=decision.letter,
        verb=decision.verb,
        by=decision.by,
        why=decision.why,
        result=None if decision.result is None else compact(decision.result),
        more=more,
        hops=decision.hops,
        time_ms=int((decision.time or 0) * 1000),
        answer=decision.answer,
        agent=decision.agent,
        decided_as=decision.fingerprint(),
    )
