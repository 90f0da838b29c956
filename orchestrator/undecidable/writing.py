"""What becomes of a task that cannot be decided, as one commit: its books, its letter, its line."""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from envelopes import Ledger, Limits, limits
from envelopes.decision import Verb
from envelopes.letter import LetterKind
from orchestrator.core import state
from orchestrator.core.commands import Granted, Note
from orchestrator.core.facts import Claim, ClaimState
from orchestrator.core.result import composed
from orchestrator.core.task import Composed, Letter, Outcome, Phase, StepPhase
from orchestrator.store import Commit, LetterClosed, LetterFiled, Settled
from orchestrator.undecidable.raw import Raw, converted, object_in, request_in, whole

ALLOWED: Final = (Verb.RETRY, Verb.ABORT)

_encode = msgspec.json.Encoder().encode


def settlement(
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
    step = object_in(raw.fields[field])
    step.pop("open", None)
    return _encode(step | {"phase": StepPhase.WAITING, "next_hop": step.get("hop") or 0})


def kept_in(raw: Raw) -> Composed | None:
    """Return the best there is to deliver, where the record can be read."""
    try:
        request = request_in(raw.loaded)
        task = state.read(raw.loaded.task_id, raw.loaded.accepted_ms, request, raw.fields)
        kept = composed(task, task.steps) or task.earlier
        return kept if kept and len(kept.result) <= limits.RESULT_CHARS_MAX else None
    except Exception:  # noqa: BLE001  whatever is broken about the task may be broken here too
        return None


def _books(head: Mapping[str, Any]) -> dict[str, Any]:
    found = head.get("ledger")
    ledger = found if isinstance(found, Ledger) else converted(found, Ledger)
    known: Ledger = ledger or Ledger(Limits())
    return {"spent": known.spent, "reserved": known.reserved, "ceiling": known.ceiling}


def letter_of(raw: Raw, head: Mapping[str, Any], letter: Letter, text: str) -> LetterFiled:
    """Tell a person what is known of the task."""
    ledger, kept = _books(head), kept_in(raw)
    story = {
        "why": letter.why,
        "text": text,
        "question": None,
        "allowed": ALLOWED,
        "if_nobody_decides": Verb.ABORT,
        "goals": [str(raw.request.get("goal", ""))],
        "spent": ledger["spent"],
        "ceiling": ledger["ceiling"],
        "hop": whole(head.get("hop")),
        "hops_max": whole(head.get("hops_max")),
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
        reason=letter.why,
        agent="",
        step="",
        hop=whole(head.get("hop")),
    )


def commit_of(
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
    """Write a head and fields of steps, and tell of it; the mail stays where it is."""
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


def note(
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
            "hop": whole(head.get("hop")),
            "subtasks": whole(head.get("subtasks")),
            "spent": books["spent"],
            "reserved": books["reserved"],
            "notes": notes,
        }
    )
