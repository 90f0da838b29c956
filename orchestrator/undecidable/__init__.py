"""Bring a task on which no decision can be made to a person.

A decision that raises is our bug, or a record that something else has broken; one that cannot be
written may be too large for the memory that the server has left. The task is tried again every few
seconds, by whatever version runs then. After UNDECIDED_MAX failures in a row it is put on the desk,
and from then on decided by the little that stands here: a person can let it be tried again
(`retry`: after a fix, an upgrade), or end it (`abort`); a caller's cancellation ends it too, and so
does the letter's due time.

Nothing here asks the core to decide, for that is what fails. Records are read as plain JSON, and
what cannot be read is done without: a task without a readable head can still be ended. Claims are
taken away, and what they cost is booked, as far as steps say which there are. The mail stays where
it is, for whoever can decide again.

raw.py reads the record, writing.py makes the commit. Called by failures.py, which loads, looks and
commits.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from envelopes import Refused, limits
from envelopes.decision import Cancellation, Decision, Verb
from envelopes.strict import parse
from orchestrator.core.commands import Granted
from orchestrator.core.desk import NOBODY
from orchestrator.core.facts import Claim
from orchestrator.core.task import Letter, Outcome, Phase
from orchestrator.store import Commit, LetterClosed, Loaded
from orchestrator.undecidable.raw import FIELD, Raw, Waiting, ms_of, names_in, whole
from orchestrator.undecidable.writing import (
    ALLOWED,
    commit_of,
    kept_in,
    letter_of,
    note,
    settlement,
)

REASON: Final = "undecidable"
OUR_FAULT: Final = (
    "It is a fault of the software or of the task's record, not of its agents; the "
    'orchestrators\' log has it as "a decision failed". Retry after a fix or an upgrade, or abort'
)
MORE_MEMORY: Final = (
    "Give it more (CONFIG SET maxmemory), or wait until other tasks have ended; then retry. "
    "Or abort"
)
"""What a person can do about it, at the end of a letter's text."""

_encode = msgspec.json.Encoder().encode
_KINDS: Final[Mapping[bytes, type[Decision] | type[Cancellation]]] = {
    b"decide": Decision,
    b"cancel": Cancellation,
}


def is_waiting(loaded: Loaded) -> bool:
    """Say whether a person is asked about this task because no decision could be made."""
    return loaded.fields is not None and FIELD in loaded.fields


def due_ms(loaded: Loaded) -> int:
    """Return when the letter's default applies; now where that cannot be read."""
    waiting = Raw(loaded).waiting
    return waiting.due_ms if waiting else loaded.now_ms


def open_subtasks(loaded: Loaded) -> tuple[int, ...]:
    """Return what has to be taken away before the task can wait, or end."""
    return tuple(Raw(loaded).opened)


# --- onto the desk -------------------------------------------------------------------------------


def filed(loaded: Loaded, claims: Mapping[int, Claim], trouble: str, advice: str) -> Commit:
    """Put a task on the desk, with what its claims had cost."""
    raw, now_ms = Raw(loaded), loaded.now_ms
    number = whole(raw.head.get("letters")) + 1
    due_ms = now_ms + ms_of(raw.request.get("desk_timeout"))
    letter = Letter(f"{loaded.task_id}.{number}", REASON, now_ms, due_ms)
    head, steps, settled = settlement(raw, claims, everything=False)
    head |= {"phase": Phase.ON_DESK, "letter": letter, "letters": number, "ending": None}
    head |= {"decision": None, "rooms": ()}
    text = (
        f"no decision can be made about this task: {trouble} (tried {limits.UNDECIDED_MAX} times). "
        + advice
    )
    waiting = Waiting(letter.id, now_ms, due_ms, 0)
    return commit_of(
        raw,
        head,
        steps | {FIELD: _encode(waiting)},
        notes=[note(raw, head, REASON, trouble), note(raw, head, "escalate", text)],
        settled=settled,
        letter=letter_of(raw, head, letter, text),
        leave=names_in(raw.head.get("rooms")),
        alarm_ms=due_ms,
    )


# --- what becomes of it --------------------------------------------------------------------------


def said(loaded: Loaded) -> Decision | Cancellation | None:
    """Return the first thing in the mail that somebody wants of this task and has not been told."""
    waiting = Raw(loaded).waiting
    return next(_wishes(loaded.mail[waiting.seen :]), None) if waiting else None


def acted(loaded: Loaded, claims: Mapping[int, Claim]) -> Commit | None:
    """Do what was said, or apply the default at the due time; None where there is nothing to do."""
    raw = Raw(loaded)
    waiting, wish = raw.waiting, said(loaded)
    if waiting is None:
        return _ended(raw, claims, _closed(raw, NOBODY, "its record cannot be read"), REASON)
    match wish:
        case Cancellation():
            return _ended(raw, claims, _closed(raw, NOBODY, "the task was cancelled"), "cancelled")
        case Decision() if wish.letter != waiting.letter or wish.verb not in ALLOWED:
            return _refused(raw, waiting, wish)
        case Decision(verb=Verb.ABORT):
            why = f"decided: {wish.verb} by {wish.by}"
            return _ended(raw, claims, _closed(raw, wish.by, wish.why, wish), why)
        case Decision():
            return _tried_again(raw, waiting, wish)
        case None if loaded.now_ms >= waiting.due_ms:
            closed = _closed(raw, NOBODY, "the due time has passed")
            return _ended(raw, claims, closed, "nobody_decided")
        case None:
            return None


def _wishes(mail: Sequence[bytes]) -> Iterator[Decision | Cancellation]:
    for letter in mail:
        kind, _, body = letter.partition(b"\n")
        model = _KINDS.get(kind.split(b" ")[0])
        if model is None:
            continue
        try:
            yield parse(model, body, bytes_max=limits.ENVELOPE_BYTES_MAX, what="mail")
        except Refused:
            continue  # it was checked when it was posted; a newer one can read it


def _refused(raw: Raw, waiting: Waiting, wish: Decision) -> Commit:
    """Say why not; the letter stays, and this is not read again."""
    text = f"{wish.verb} by {wish.by}: no decision can be made about this task; retry, or abort"
    mail = raw.loaded.mail
    behind = next(n for n, each in enumerate(mail) if n >= waiting.seen and _is(each, wish)) + 1
    seen = Waiting(waiting.letter, waiting.filed_ms, waiting.due_ms, behind)
    notes = [note(raw, raw.head, "refused_decision", text)]
    return commit_of(raw, {}, {FIELD: _encode(seen)}, notes=notes, alarm_ms=waiting.due_ms)


def _is(letter: bytes, wish: Decision) -> bool:
    return next(_wishes([letter]), None) == wish


def _tried_again(raw: Raw, waiting: Waiting, wish: Decision) -> Commit:
    """Give the task back to the core: its time on the desk was not its own."""
    head, now_ms = dict(raw.head), raw.loaded.now_ms
    left_ms = max(0, (whole(head.get("deadline_ms")) or now_ms) - waiting.filed_ms)
    more = wish.budget.limits().as_amounts() if wish.budget else None
    ledger = raw.ledger
    head |= {"phase": Phase.WORKING, "letter": None, "look_ms": now_ms}
    head["deadline_ms"] = now_ms + left_ms + int((wish.time or 0) * 1000)
    head["hops_max"] = min(whole(head.get("hops_max")) + wish.hops, limits.HOPS_EVER_MAX)
    if ledger is not None and more is not None:
        ledger = ledger.raised(more)
        head["ledger"] = ledger
    notes = [note(raw, head, "decided", f"{wish.verb} by {wish.by}: {wish.why}".rstrip(": "))]
    if ledger is not None:
        granted = Granted(ledger.ceiling, head["hops_max"], head["deadline_ms"])
        text = f"{wish.by} lets the task go on"
        notes.append(note(raw, head, "granted", text, granted))
    closed = _closed(raw, wish.by, wish.why, wish)
    return commit_of(raw, head, {}, notes=notes, closed=closed, alarm_ms=now_ms, dropped=(FIELD,))


def _ended(raw: Raw, claims: Mapping[int, Claim], closed: LetterClosed | None, why: str) -> Commit:
    """End it, with what is kept where that can be read."""
    head, steps, settled = settlement(raw, claims, everything=True)
    kept = kept_in(raw)
    head |= {"phase": Phase.DONE, "outcome": Outcome.ABORTED, "stop_reason": why, "letter": None}
    head |= {"result": kept and kept.result, "confidence": kept and kept.confidence}
    text = f"{Outcome.ABORTED}: {why}"
    return commit_of(
        raw,
        head,
        steps,
        notes=[note(raw, head, "conclude", text)],
        settled=settled,
        closed=closed,
        outcome=Outcome.ABORTED,
        stop_reason=why,
        dropped=(FIELD,),
    )


def _closed(raw: Raw, by: str, why: str, wish: Decision | None = None) -> LetterClosed | None:
    waiting = raw.waiting
    if waiting is None:
        return None
    verb, decided_as = (wish.verb, wish.fingerprint()) if wish else (Verb.ABORT, "")
    return LetterClosed(waiting.letter, verb, by, why, decided_as, "")
