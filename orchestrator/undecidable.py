"""Bring a task on which no decision can be made to a person.

A decision that raises is our bug, or a record that something else has broken. The task is tried
again every few seconds, by whatever version runs then. After UNDECIDED_MAX failures in a row it is
put on the desk, and from then on decided by the little that stands here: a person can let it be
tried again (`retry`: after a fix, an upgrade), or end it (`abort`); a caller's cancellation ends it
too, and so does the letter's due time.

Nothing here asks the core to decide, for that is what fails. Records are read as plain JSON, and
what cannot be read is done without: a task without a readable head can still be ended. Claims are
taken away, and what they cost is booked, as far as steps say which there are. The mail stays where
it is, for whoever can decide again.

Called by serve.py, which loads, looks and commits.
"""

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from envelopes import Ledger, Limits, Refused, TaskRequest, limits
from envelopes.decision import Cancellation, Decision, Verb
from envelopes.letter import LetterKind
from envelopes.strict import parse
from orchestrator.core import state
from orchestrator.core.commands import Granted, Note
from orchestrator.core.facts import Claim, ClaimState
from orchestrator.core.owner import NOBODY
from orchestrator.core.result import composed
from orchestrator.core.task import Composed, Letter, Outcome, Phase, StepPhase
from orchestrator.store import Commit, LetterClosed, LetterFiled, Loaded, Settled

FIELD: Final = "undecidable"
"""Where a task's hash says that it is one; COMMIT writes it like a field of the core."""
REASON: Final = "undecidable"

_encode = msgspec.json.Encoder().encode
_SUBTASK_MAX: Final = limits.SUBTASKS_EVER_MAX
_ALLOWED: Final = (Verb.RETRY, Verb.ABORT)
_KINDS: Final[Mapping[bytes, type[Decision] | type[Cancellation]]] = {
    b"decide": Decision,
    b"cancel": Cancellation,
}


class Waiting(msgspec.Struct, frozen=True):
    """What is remembered of such a task: its letter, and how much of the mail has been seen."""

    letter: str
    filed_ms: int
    due_ms: int
    seen: int


@dataclass(frozen=True, slots=True)
class Open:
    """A subtask that a step says is open."""

    field: str
    agent: str
    allowance: Limits | None
    """None where it cannot be read."""


class Raw:
    """A task as it is written down, as far as that is JSON."""

    def __init__(self, loaded: Loaded) -> None:
        fields = loaded.fields or {}
        self.loaded = loaded
        self.request = _object(loaded.request)
        self.fields = fields if state.HEAD in fields else {**_begun(loaded), **fields}
        self.head = _object(self.fields.get(state.HEAD))
        self.opened = dict(self._opened())

    def _opened(self) -> Iterator[tuple[int, Open]]:
        for field, text in self.fields.items():
            step = _object(text) if field.startswith(state.STEP) else {}
            opened = step.get("open")
            if isinstance(opened, dict) and 0 < _whole(opened.get("subtask")) <= _SUBTASK_MAX:
                allowance = _converted(opened.get("allowance"), Limits)
                yield opened["subtask"], Open(field, str(step.get("agent", "")), allowance)

    @property
    def ledger(self) -> Ledger | None:
        """Return the books, or None where they cannot be read."""
        ledger: Ledger | None = _converted(self.head.get("ledger"), Ledger)
        return ledger

    @property
    def waiting(self) -> Waiting | None:
        """Return what is remembered of it, or None where it is decided by the core."""
        text = (self.loaded.fields or {}).get(FIELD)
        waiting: Waiting | None = _converted(_object(text), Waiting)
        return waiting


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


def filed(loaded: Loaded, claims: Mapping[int, Claim], trouble: str) -> Commit:
    """Put a task on the desk, with what its claims had cost."""
    raw, now_ms = Raw(loaded), loaded.now_ms
    number = _whole(raw.head.get("letters")) + 1
    due_ms = now_ms + _ms(raw.request.get("desk_timeout"))
    letter = Letter(f"{loaded.task_id}.{number}", REASON, now_ms, due_ms)
    head, steps, settled = _settled(raw, claims, everything=False)
    head |= {"phase": Phase.ON_DESK, "letter": letter, "letters": number, "ending": None}
    head |= {"decision": None, "rooms": ()}
    text = (
        f"no decision can be made about this task: {trouble} (tried {limits.UNDECIDED_MAX} times). "
        "It is a fault of the software or of the task's record, not of its agents; the "
        'orchestrators\' log has it as "a decision failed". Retry after a fix or an upgrade, '
        "or abort"
    )
    waiting = Waiting(letter.id, now_ms, due_ms, 0)
    return _commit(
        raw,
        head,
        steps | {FIELD: _encode(waiting)},
        notes=[_note(raw, head, REASON, trouble), _note(raw, head, "escalate", text)],
        settled=settled,
        letter=_letter(raw, head, letter, text),
        leave=_names(raw.head.get("rooms")),
        alarm_ms=due_ms,
    )


def _letter(raw: Raw, head: Mapping[str, Any], letter: Letter, text: str) -> LetterFiled:
    ledger, kept = _books(head), _kept(raw)
    story = {
        "why": letter.why,
        "text": text,
        "question": None,
        "allowed": _ALLOWED,
        "if_nobody_decides": Verb.ABORT,
        "goals": [str(raw.request.get("goal", ""))],
        "spent": ledger["spent"],
        "ceiling": ledger["ceiling"],
        "hop": _whole(head.get("hop")),
        "hops_max": _whole(head.get("hops_max")),
        "kept": None if kept is None else msgspec.Raw(kept.result.encode()),
        "confidence": None if kept is None else kept.confidence,
        "trail": head.get("received") or [],
        "steps": [],
        "verdicts": [],
    }
    return LetterFiled(
        letter=letter.id,
        kind=LetterKind.POISON,
        why=text,
        due_ms=letter.due_ms,
        story=_encode(story),
        reason=REASON,
        agent="",
        step="",
        hop=_whole(head.get("hop")),
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
        case Decision() if wish.letter != waiting.letter or wish.verb not in _ALLOWED:
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
    notes = [_note(raw, raw.head, "refused_decision", text)]
    return _commit(raw, {}, {FIELD: _encode(seen)}, notes=notes, alarm_ms=waiting.due_ms)


def _is(letter: bytes, wish: Decision) -> bool:
    return next(_wishes([letter]), None) == wish


def _tried_again(raw: Raw, waiting: Waiting, wish: Decision) -> Commit:
    """Give the task back to the core: its time on the desk was not its own."""
    head, now_ms = dict(raw.head), raw.loaded.now_ms
    left_ms = max(0, (_whole(head.get("deadline_ms")) or now_ms) - waiting.filed_ms)
    more = wish.budget.limits().as_amounts() if wish.budget else None
    ledger = raw.ledger
    head |= {"phase": Phase.WORKING, "letter": None, "look_ms": now_ms}
    head["deadline_ms"] = now_ms + left_ms + int((wish.time or 0) * 1000)
    head["hops_max"] = min(_whole(head.get("hops_max")) + wish.hops, limits.HOPS_EVER_MAX)
    if ledger is not None and more is not None:
        ledger = ledger.raised(more)
        head["ledger"] = ledger
    notes = [_note(raw, head, "decided", f"{wish.verb} by {wish.by}: {wish.why}".rstrip(": "))]
    if ledger is not None:
        granted = Granted(ledger.ceiling, head["hops_max"], head["deadline_ms"])
        text = f"{wish.by} lets the task go on"
        notes.append(_note(raw, head, "granted", text, granted))
    closed = _closed(raw, wish.by, wish.why, wish)
    return _commit(raw, head, {}, notes=notes, closed=closed, alarm_ms=now_ms, dropped=(FIELD,))


def _ended(raw: Raw, claims: Mapping[int, Claim], closed: LetterClosed | None, why: str) -> Commit:
    """End it, with what is kept where that can be read."""
    head, steps, settled = _settled(raw, claims, everything=True)
    kept = _kept(raw)
    head |= {"phase": Phase.DONE, "outcome": Outcome.ABORTED, "stop_reason": why, "letter": None}
    head |= {"result": kept and kept.result, "confidence": kept and kept.confidence}
    text = f"{Outcome.ABORTED}: {why}"
    return _commit(
        raw,
        head,
        steps,
        notes=[_note(raw, head, "conclude", text)],
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


# --- books ---------------------------------------------------------------------------------------


def _settled(
    raw: Raw, claims: Mapping[int, Claim], *, everything: bool
) -> tuple[dict[str, Any], dict[str, bytes], tuple[Settled, ...]]:
    """Book what was taken away: the head, the steps that are open no more, the claims to forget.

    What has reported waits in the mail for whoever can decide again; only an end settles it too.
    """
    head, steps, settled = dict(raw.head), dict[str, bytes](), list[Settled]()
    ledger = raw.ledger
    for subtask, opened in raw.opened.items():
        claim = claims.get(subtask, Claim(ClaimState.ABSENT))
        if claim.state is ClaimState.REPORTED and not everything:
            continue
        booked = claim.charged
        if opened.allowance is not None:
            if claim.state is ClaimState.ABSENT:  # the record is gone: assume the worst
                booked = opened.allowance.as_amounts()
            booked = booked.clamped(opened.allowance)
            ledger = ledger and ledger.settle(opened.allowance, booked)
        settled.append(Settled(subtask, opened.agent, "", booked))
        steps[opened.field] = _not_open(raw, opened.field)
    return (head if ledger is None else head | {"ledger": ledger}), steps, tuple(settled)


def _not_open(raw: Raw, field: str) -> bytes:
    step = _object(raw.fields[field])
    step.pop("open", None)
    return _encode(step | {"phase": StepPhase.WAITING, "next_hop": step.get("hop") or 0})


def _kept(raw: Raw) -> Composed | None:
    """Return the best there is to deliver, where the record can be read."""
    try:
        request = _request(raw.loaded)
        task = state.read(raw.loaded.task_id, raw.loaded.accepted_ms, request, raw.fields)
        kept = composed(task, task.steps) or task.earlier
        return kept if kept and len(kept.result) <= limits.RESULT_CHARS_MAX else None
    except Exception:  # noqa: BLE001  whatever is broken about the task may be broken here too
        return None


def _books(head: Mapping[str, Any]) -> dict[str, Any]:
    found = head.get("ledger")
    ledger = found if isinstance(found, Ledger) else _converted(found, Ledger)
    known: Ledger = ledger or Ledger(Limits())
    return {"spent": known.spent, "reserved": known.reserved, "ceiling": known.ceiling}


# --- writing -------------------------------------------------------------------------------------


def _commit(
    raw: Raw,
    head: Mapping[str, Any],
    fields: Mapping[str, bytes],
    *,
    notes: Sequence[Mapping[str, Any]],
    settled: tuple[Settled, ...] = (),
    letter: LetterFiled | None = None,
    closed: LetterClosed | None = None,
    outcome: Outcome | None = None,
    stop_reason: str = "",
    alarm_ms: int | None = None,
    leave: tuple[str, ...] = (),
    dropped: tuple[str, ...] = (),
) -> Commit:
    loaded, begun = raw.loaded, raw.fields if state.HEAD not in (raw.loaded.fields or {}) else {}
    written = {**begun, **fields} | ({state.HEAD: _encode(head)} if raw.head and head else {})
    return Commit(
        task_id=loaded.task_id,
        version=loaded.version,
        base=loaded.op,
        op=secrets.token_hex(8),
        fields=written,
        dropped=dropped,
        mail_read=0,
        alarm_ms=alarm_ms,
        journal=tuple(map(_encode, notes)),
        settled=settled,
        publish=(),
        letter=letter,
        letter_closed=closed,
        event=_event(raw, head or raw.head, outcome, notes),
        outcome=outcome,
        retention_ms=loaded.retention_ms,
        leave=leave,
        stop_reason=stop_reason,
    )


def _note(
    raw: Raw, head: Mapping[str, Any], why: str, text: str, granted: Granted | None = None
) -> dict[str, Any]:
    """Write a line of the journal, of the fields that every line has (commands.Note)."""
    books = _books(head)
    absent = dict.fromkeys(Note.__struct_fields__)
    said = {"at_ms": raw.loaded.now_ms, "why": why, "text": text, "granted": granted}
    return absent | said | {"spent": books["spent"], "reserved": books["reserved"]}


def _event(
    raw: Raw,
    head: Mapping[str, Any],
    outcome: Outcome | None,
    notes: Sequence[Mapping[str, Any]],
) -> bytes:
    books, phase = _books(head), head.get("phase") or Phase.WORKING
    return _encode(
        {
            "task": raw.loaded.task_id,
            "tenant": raw.request.get("tenant") or "default",
            "version": raw.loaded.version + 1,
            "state": outcome or phase,
            "phase": phase,
            "outcome": outcome,
            "hop": _whole(head.get("hop")),
            "subtasks": _whole(head.get("subtasks")),
            "spent": books["spent"],
            "reserved": books["reserved"],
            "notes": notes,
        }
    )


def _begun(loaded: Loaded) -> dict[str, bytes]:
    """Write down a task that nobody has decided on yet, so that it can be shown; if that works."""
    try:
        task = state.begin(loaded.task_id, _request(loaded), loaded.accepted_ms)
        return state.write(None, task)[0]
    except Exception:  # noqa: BLE001  this may be what fails
        return {}


def _request(loaded: Loaded) -> TaskRequest:
    return TaskRequest.model_validate_json(loaded.request or b"")


def _object(text: bytes | None) -> dict[str, Any]:
    try:
        found = json.loads(text or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0


def _ms(seconds: Any) -> int:
    """Return a time as the request has it; the usual one where that cannot be read."""
    known = isinstance(seconds, int | float) and 0 < seconds <= limits.TIMEOUT_CEILING_S
    return int((seconds if known else limits.DESK_TIMEOUT_DEFAULT_S) * 1000)


def _names(value: Any) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else ()


def _converted(value: Any, kind: Any) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return None
