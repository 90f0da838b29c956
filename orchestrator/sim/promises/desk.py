"""Letters have causes, and nothing below the bar leaves without a person."""

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from jsonschema import Draft202012Validator

from orchestrator.sim.books import Book
from orchestrator.sim.evidence import Json, LetterEvidence
from orchestrator.sim.promises.case import Case, Checks

_REQUESTS: Final = frozenset(("escalation", "poison", "question"))
"""Kinds of letters that a task files; all others are messages that were set aside."""


def letters_and_causes_are_one_to_one(case: Case) -> Checks:
    """Match the letters of every task with the lines that filed and closed them."""
    filed = defaultdict(list)
    strangers = 0
    for letter in case.evidence.letters:
        if letter.fields.get("kind") in _REQUESTS:
            filed[letter.fields["task"]].append(letter)
        else:
            strangers += 1
    for task_id, book in case.books.items():
        letters = filed.pop(task_id, [])
        if len(letters) != len(book.escalated):
            yield f"{task_id}: {len(letters)} letters for {len(book.escalated)} causes"
        elif letters:
            yield _closed_as_written(book, letters)
    yield from (f"{task_id} has letters and no record" for task_id in filed)
    kept = case.evidence.stats.get("quarantined", 0) - case.evidence.stats.get(
        "letters_not_kept", 0
    )
    if kept or strangers:
        yield None if kept == strangers else f"{kept} messages set aside, {strangers} letters"
    yield from _decisions_on_messages(case)


def _closed_as_written(book: Book, letters: Sequence[LetterEvidence]) -> str | None:
    verbs = sorted(
        f"{m.fields['verb']} by {m.fields['by']}" for m in letters if m.fields.get("verb")
    )
    lines = sorted(line["text"].split(": ")[0] for line in book.decided)
    if verbs != lines:
        return f"{book.task.id}: letters were closed by {verbs}, its journal says {lines}"
    still_open = len(letters) - len(verbs)
    if still_open != (0 if book.task.outcome else int(_on_desk(book))):
        return f"{book.task.id} has {still_open} open letters"
    return None


def _decisions_on_messages(case: Case) -> Checks:
    """Match decided letters of messages with the lines in the journals of the tasks they name."""
    for letter in case.evidence.letters:
        fields = letter.fields
        task = case.evidence.tasks.get(fields.get("task", ""))
        if fields.get("kind") in _REQUESTS or task is None or fields.get("state") == "open":
            continue
        said = f"{fields['verb']} by {fields['by']} of the message in letter {letter.id}"
        lines = [
            line
            for line in task.journal
            if line["why"] == f"message_{fields['verb']}" and line["text"].startswith(said)
        ]
        yield None if len(lines) == 1 else f"{task.id} has {len(lines)} lines of: {said}"


def _on_desk(book: Book) -> bool:
    return book.task.head is not None and book.task.head["letter"] is not None


def every_letter_says_why_whence_and_when(case: Case) -> Checks:
    """Look at what a person needs of each letter."""
    for letter in case.evidence.letters:
        fields = letter.fields
        origin = fields.get("story" if fields.get("kind") in _REQUESTS else "bytes")
        whence = fields.get("task") or fields.get("queue")
        if not (fields.get("why") and whence and fields.get("filed_ms") and origin):
            yield f"letter {letter.id} is incomplete: {sorted(fields)}"
        elif letter.listed != (fields.get("state") == "open"):
            where = "on" if letter.listed else "off"
            yield f"letter {letter.id} is {fields.get('state')}, and {where} the list"
        elif fields.get("state") != "open" and not (fields.get("by") and fields.get("decided_ms")):
            yield f"letter {letter.id} left the desk without a recorded act"
        else:
            yield None


def nothing_below_the_bar_leaves_without_a_person(case: Case) -> Checks:
    """Put every delivered result through a gate of our own."""
    for task, _, head in case.ended():
        if task.outcome == "aborted" or head["stop_reason"].startswith(("decided", "nobody")):
            continue
        wanted, schema = task.request["confidence_min"], task.request["result_schema"]
        if head["result"] is None or head["confidence"] < wanted:
            yield f"{task.id} delivered at confidence {head['confidence']}, the bar is {wanted}"
        elif schema and not Draft202012Validator(schema).is_valid(json.loads(head["result"])):
            yield f"{task.id} delivered what breaks its schema"
        else:
            yield None


def a_completed_task_is_whole(case: Case) -> Checks:
    """Look for tasks called completed with steps neither done nor dropped.

    Where a finish line asks for nothing but a result, that may be there before every step is done.
    """
    for task, book, head in case.ended():
        amended = head["stop_reason"].startswith("decided: amend")
        if task.outcome == "completed" and not amended and not _achieved(task.request["until"]):
            left = [
                name
                for name, state in book.states().items()
                if state not in {"done", "dropped", "reopened"}
            ]
            yield f"{task.id} is completed and {left} are not done" if left else None


def _achieved(until: Json) -> bool:
    """Say whether a finish line looks at what was produced, anywhere in it."""
    goals = until["kind"] in {"confidence", "result_matches", "custom"}
    return goals or any(_achieved(each) for each in until.get("of", ()))
