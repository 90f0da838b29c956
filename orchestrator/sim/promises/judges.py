"""Judges, owner agents, the finish line: who may say what of a result, and what it is worth."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from envelopes import limits
from orchestrator.sim.books import CAPS, Book, Ending
from orchestrator.sim.evidence import Inputs, Json, TaskEvidence
from orchestrator.sim.promises.case import Case, Checks

_WORDS: Final = ("complete", "escalate", "abort")
_BY_PEOPLE: Final = ("decided", "nobody", "cancelled")


def nobody_judges_what_it_made(case: Case) -> Checks | None:
    """Look at who had made the result that a validator was shown."""
    inputs = case.evidence.inputs
    return None if inputs is None else _judged(case, inputs)


def _judged(case: Case, inputs: Sequence[Inputs]) -> Checks:
    for given in inputs:
        task_id, _, number = given.subtask.partition("/")
        book = case.books.get(task_id)
        if given.shown is None or book is None or int(number) > len(book.sent):
            continue
        sent = book.sent[int(number) - 1]
        if sent.role == "validator":
            made = set(_made_by(json.loads(given.shown)))
            own = [each for each in book.sent if f"{task_id}/{each.subtask}" in made]
            wrong = sent.agent in {each.agent for each in own}
            yield f"{given.subtask}: {sent.agent} judges what it made" if wrong else None


def _made_by(value: Any) -> Iterator[str]:
    """Find the subtasks whose work is in a result."""
    if isinstance(value, dict):
        by = value.get("by")
        if isinstance(by, str):
            yield by
        for each in value.values():
            yield from _made_by(each)
    elif isinstance(value, list):
        for each in value:
            yield from _made_by(each)


def no_result_leaves_against_a_verdict(case: Case) -> Checks:
    """Hold every delivered result against what the validators said of it."""
    shown = {each.subtask: each.shown for each in case.evidence.inputs or ()}
    for task, book, head in case.ended():
        if task.outcome == "aborted" or head["stop_reason"].startswith(_BY_PEOPLE):
            continue
        for name in task.request["validators"]:
            said = list(_verdicts(book, name, shown, head["result"]))
            sure = max((_worth(line) for line in said), default=-1.0)
            wrong = sure < head["confidence"]
            told = f"{task.id} left at {head['confidence']}, {name} leaves it {sure}"
            yield told if wrong else None


def _verdicts(book: Book, name: str, shown: dict[str, str | None], result: str) -> Iterator[Json]:
    """List what a validator has said of this result; of any, where nobody saw what it was shown."""
    for line in book.verdicts:
        sent = book.last_sent(line["step"])
        if line["agent"] != name or sent is None or sent.role != "validator":
            continue
        seen = shown.get(f"{book.task.id}/{sent.subtask}")
        if not shown or (seen is not None and json.loads(seen) == json.loads(result)):
            yield line


def _worth(line: Json) -> float:
    """Say how sure a result can be at most after a verdict."""
    said = line["text"].partition(":")[0]
    if said == "no verdict":
        return -1.0
    sure: float = line["confidence"]
    return sure if said == "ok" else 1 - sure


# --- the owner agent -----------------------------------------------------------------------------


def an_owner_agents_word_is_done(case: Case) -> Checks:
    """Compare what became of every cap with what the owner agent had said in time.

    A task whose time ran out before anything was begun has nothing to be judged.
    """
    said = {each.subtask: each.said for each in case.evidence.inputs or ()}
    for task_id, book in case.books.items():
        owner = book.task.request["owner"]
        for ending in book.endings if owner is not None and book.sent else ():
            if ending.end is not None and not _by_cancelling(ending.end):
                wrong = _not_done(ending) or _misheard(book, ending, said)
                yield f"{task_id} at {ending.why}: {wrong}" if wrong else None


def _by_cancelling(end: Json) -> bool:
    return bool(end["why"] == "conclude" and end["text"].endswith(": cancelled"))


def _not_done(ending: Ending) -> str | None:
    end = ending.end or {}
    became = end["why"] if end["why"] == "escalate" else end["text"].partition(":")[0]
    late = end["at_ms"] >= ending.at_ms + limits.LAST_WORDS_MS
    may = {"complete": {"partial", "escalate"}, "abort": {"aborted"}}.get(
        ending.word or "", {"escalate"}
    )
    if became not in ({"escalate"} if late else may):
        return f"the owner agent said {ending.word}, and it was {became}"
    return None


def _misheard(book: Book, ending: Ending, said: dict[str, str | None]) -> str | None:
    sent = None if ending.asked is None else book.last_sent(ending.asked)
    envelope = None if sent is None else said.get(f"{book.task.id}/{sent.subtask}")
    if envelope is None or sent is None:
        return None
    told = book.settled.get(sent.subtask)
    wanted = _word(envelope) if told is not None and told.why == "envelope" else "escalate"
    return f"it said {wanted}, taken down is {ending.word}" if wanted != ending.word else None


def _word(envelope: str) -> str:
    try:
        read = json.loads(envelope)
    except ValueError:
        return "escalate"
    result = read.get("result") if isinstance(read, dict) else None
    word = result.get("decision") if isinstance(result, dict) else None
    sensible = word in _WORDS and read.get("status") == "success"
    return str(word) if sensible else "escalate"


# --- the finish line -----------------------------------------------------------------------------


def a_task_ends_as_it_may(case: Case) -> Checks:
    """Look at why every task ended: a cap, a person, its caller, or the line that it declared."""
    for task, book, head in case.ended():
        why = head["stop_reason"]
        if why in CAPS or why.startswith(_BY_PEOPLE):
            yield None
            continue
        fired = why.split(" & ")
        untrue = [each for each in fired if not _true(each, task, book)]
        if untrue:
            yield f"{task.id} ended by {untrue}, which was not so"
        else:
            crossed = _crossed(task.request["until"], set(fired))
            yield None if crossed else f"{task.id} ended by {why}, which is not its finish line"


def _crossed(until: Json, fired: set[str]) -> bool:
    match until["kind"]:
        case "all":
            return all(_crossed(each, fired) for each in until["of"])
        case "any":
            return any(_crossed(each, fired) for each in until["of"])
        case "plan_done" | "result_matches":
            return until["kind"] in fired
        case "confidence" | "rounds" | "stalled":
            return f"{until['kind']}>={until['at_least']}" in fired
        case "spent":
            return f"spent>={until['share']}" in fired
        case "elapsed":
            return f"elapsed>={until['seconds']}s" in fired
        case _:
            return f"custom:{until['agent']}" in fired


def _true(fired: str, task: TaskEvidence, book: Book) -> bool:
    """Check, of what a finish line can be, what our own books can tell."""
    kind, _, bound = fired.replace("custom:", "custom>=").partition(">=")
    at_ms = book.concluded[-1]["at_ms"] if book.concluded else 0
    match kind:
        case "plan_done":
            return {"done", "dropped", "reopened"}.issuperset(book.states().values())
        case "rounds":
            return book.rounds >= int(bound)
        case "elapsed":
            return bool(at_ms >= task.accepted_ms + float(bound.removesuffix("s")) * 1000)
        case "spent":
            pairs = zip(book.spent, book.ceiling, strict=True)
            return any(most is not None and had >= most * float(bound) for had, most in pairs)
        case "custom":
            said = (line for line in book.verdicts if line["agent"] == bound)
            return any(line["text"].startswith("ok") for line in said)
    return True
