"""Every task ends once, nothing is lost, nothing happens twice or for nothing."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Final

from orchestrator.sim.promises.case import Case, Checks

OUTCOMES: Final = frozenset(("completed", "partial", "aborted"))


def every_acknowledged_task_has_exactly_one_outcome(case: Case) -> Checks:
    """Look for tasks that never ended, or ended twice."""
    seen: dict[str, set[str]] = defaultdict(set)
    for task_id, outcome in case.evidence.endings or ():
        seen[task_id].add(outcome)
    for task_id in sorted(case.evidence.acknowledged):
        book = case.books.get(task_id)
        if book is None:
            yield f"{task_id} was acknowledged and is gone"
            continue
        recorded, lines = book.task.outcome, len(book.concluded)
        if recorded not in OUTCOMES or lines != 1:
            yield f"{task_id} ended {lines} times, with {recorded}"
        elif seen[task_id] - {recorded}:
            yield f"{task_id} is {recorded}, and was seen to end {sorted(seen[task_id])}"
        else:
            yield None


def nothing_is_lost_and_nothing_unexpected(case: Case) -> Checks:
    """Compare what there is with what was acknowledged, and with what was ever attempted."""
    there = frozenset(case.books)
    for task_id in sorted(case.evidence.acknowledged | there):
        if task_id not in there:
            yield f"{task_id} was acknowledged and is lost"
        elif task_id not in case.evidence.attempted:
            yield f"{task_id} was never submitted by anybody"
        else:
            yield None


def final_is_final(case: Case) -> Checks:
    """Look for anything that was decided after the end, and for records that disagree on it.

    What becomes of a message that was set aside is told whenever somebody decides it.
    """
    for task, book, head in case.ended():
        whys = [line["why"] for line in task.journal if not line["why"].startswith("message_")]
        last = whys[-1] if whys else "nothing"
        if last != "conclude":
            yield f"{task.id}: {last} came after its end"
        elif head["outcome"] != task.outcome or head["phase"] != "done":
            yield f"{task.id} is {task.outcome} to the store and {head['outcome']} to the core"
        elif book.open:
            yield f"{task.id} ended with {len(book.open)} subtasks open"
        else:
            yield None


def every_decision_can_be_made(case: Case) -> Checks:
    """Look for decisions out of which an exception came."""
    yield from case.evidence.failures
    if case.books:
        yield None


def a_wake_without_news_changes_nothing(case: Case) -> Checks | None:
    """Look at decisions that had nothing to decide."""
    wakes = case.evidence.wakes
    if wakes is None:
        return None
    return (f"{w.task}: it changed {w.changed}" if w.changed else None for w in wakes)


def a_cancelled_task_goes_no_further(case: Case) -> Checks | None:
    """Look at the tasks whose caller wished to stop before the end."""
    cancelled = case.evidence.cancelled
    return None if cancelled is None else _stopped(case, cancelled)


def _stopped(case: Case, cancelled: Mapping[str, int]) -> Checks:
    """A task ends in the very decision that reads the wish; the simulation's mail fits one wake."""
    for task, book, head in case.ended():
        wished_ms = cancelled.get(task.id)
        ended = [line["at_ms"] for line in book.concluded]
        asked = [line["at_ms"] for line in task.journal if line["why"] == "stop_asked"]
        if head["stop_reason"] == "cancelled" and wished_ms is None:
            yield f"{task.id} was stopped, and nobody had asked for it"
        elif wished_ms is not None and (asked or wished_ms < max(ended, default=0)):
            stopped = asked == ended and task.outcome == "aborted"
            went_on = f"{task.id}, asked at {asked} to stop, went on to {task.outcome} at {ended}"
            yield None if stopped else went_on


def a_repeated_call_answers_the_same_and_changes_nothing(case: Case) -> Checks | None:
    """Look at every call whose reply was lost."""
    retries = case.evidence.retries
    if retries is None:
        return None
    return (
        None if r.same_answer and r.changed_nothing else f"{r.call}: sent twice, it was not as once"
        for r in retries
    )


def an_open_task_is_never_neglected(case: Case) -> Checks:
    """Look for tasks that nothing would ever wake, and for what was left lying on the way."""
    yield from case.evidence.neglected
    for task_id, book in case.books.items():
        yield (
            None if book.task.outcome or book.task.alarm else f"{task_id} is open, without an alarm"
        )


def a_finished_task_leaves_nothing_behind(case: Case) -> Checks:
    """Look for mail, alarms, claims and messages of tasks that are over."""
    for task, _, _ in case.ended():
        left = {
            "an alarm": task.alarm,
            "mail": task.mail,
            "claims": task.claims,
            "messages": task.messages,
        }
        names = [name for name, there in left.items() if there]
        yield f"{task.id} is over and leaves {', '.join(names)}" if names else None
