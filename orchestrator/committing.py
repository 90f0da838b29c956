"""What a decision is to the store: one commit, with everything that leaves in it."""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final, TypeVar

import msgspec

from orchestrator.core.commands import (
    CloseLetter,
    Command,
    Conclude,
    Decision,
    Escalate,
    Judged,
    Leave,
    Settle,
    Wait,
)
from orchestrator.store import Commit, LetterClosed, LetterFiled, Loaded, Outgoing, Settled
from orchestrator.view import state_of

EVENT_NOTES_MAX: Final = 20
"""Journal lines in one announcement; whoever wants all of them reads the journal."""

Kind = TypeVar("Kind", bound=Command)
_encode = msgspec.json.Encoder().encode


def of(kind: type[Kind], decision: Decision) -> Iterator[Kind]:
    """Yield a decision's commands of one kind."""
    return (each for each in decision.commands if isinstance(each, kind))


def commit_of(
    loaded: Loaded,
    decision: Decision,
    written: tuple[dict[str, bytes], tuple[str, ...]],
    publish: Sequence[Outgoing],
    retention_ms: int,
) -> Commit:
    """Put into one commit what was decided on a task as it was loaded.

    `written` are the fields of its new state, and those it has no more.
    """
    fields, dropped = written
    commit = Commit(
        task_id=loaded.task_id,
        version=loaded.version,
        base=loaded.op,
        op=secrets.token_hex(8),
        fields=fields,
        dropped=dropped,
        mail_read=len(loaded.mail),
        alarm_ms=decision.alarm_ms,
        journal=tuple(map(_encode, decision.notes)),
        settled=tuple(
            Settled(each.subtask, each.agent, each.served.value, each.booked)
            for each in of(Settle, decision)
        ),
        publish=tuple(publish),
        letter=next(map(_filed, of(Escalate, decision)), None),
        letter_closed=next(map(_closed, of(CloseLetter, decision)), None),
        event=b"",
        outcome=next((each.outcome for each in of(Conclude, decision)), None),
        retention_ms=retention_ms,
        enter=tuple(each.agent for each in of(Wait, decision)),
        leave=tuple(each.agent for each in of(Leave, decision)),
        judged=tuple(map(_encode, _judged(decision))),
        stop_reason=decision.task.stop_reason or "",
    )
    return replace(commit, event=_event(decision, loaded.version + commit.raises))


def _judged(decision: Decision) -> Iterator[Judged]:
    return (judged for each in of(CloseLetter, decision) for judged in each.judged)


def _filed(escalate: Escalate) -> LetterFiled:
    return LetterFiled(
        letter=escalate.letter,
        kind=escalate.kind,
        why=escalate.why,
        due_ms=escalate.due_ms,
        story=escalate.story.encode(),
        reason=escalate.reason,
        agent=escalate.agent,
        step=escalate.step,
        hop=escalate.hop,
    )


def _closed(close: CloseLetter) -> LetterClosed:
    c = close
    return LetterClosed(c.letter, c.verb, c.by, c.why, c.decided_as, c.said)


def _event(decision: Decision, version: int) -> bytes:
    """Write what whoever watches the task is told of this commit."""
    task = decision.task
    return _encode(
        {
            "task": task.id,
            "tenant": task.terms.tenant,
            "version": version,
            "state": state_of(task),
            "phase": task.phase,
            "outcome": task.outcome,
            "hop": task.hop,
            "subtasks": task.subtasks,
            "spent": task.ledger.spent,
            "reserved": task.ledger.reserved,
            "notes": decision.notes[-EVENT_NOTES_MAX:],
        }
    )
