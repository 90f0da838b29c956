"""Hops, subtasks, re-plans, deadlines: it always stops, and every step is in its place."""

from collections.abc import Iterable

from orchestrator.sim.books import Book, plans
from orchestrator.sim.evidence import Inputs
from orchestrator.sim.promises.case import Case, Checks


def no_message_is_beyond_the_hop_cap(case: Case) -> Checks:
    """Look at every message that went out."""
    for task_id, book in case.books.items():
        for sent in book.sent:
            over = sent.hop > sent.hops_max
            yield f"{task_id}/{sent.subtask}: hop {sent.hop} of {sent.hops_max}" if over else None


def a_message_is_one_hop_after_its_cause(case: Case) -> Checks:
    """Compare every message's hop with that of what caused it."""
    for task_id, book in case.books.items():
        for sent in book.sent:
            if sent.hop == sent.hop_expected:
                yield None
            else:
                why = f"hop {sent.hop}, its cause says {sent.hop_expected}"
                yield f"{task_id}/{sent.subtask}: {why}"


def no_task_publishes_more_subtasks_than_it_may(case: Case) -> Checks:
    """Count."""
    for task_id, book in case.books.items():
        sent, most = len(book.sent), book.task.request["subtasks_max"]
        yield f"{task_id} published {sent} of {most} subtasks" if sent > most else None


def a_step_goes_out_when_its_needs_are_there(case: Case) -> Checks:
    """Look at what was known of a step when its message went out."""
    for task_id, book in case.books.items():
        for sent in book.sent:
            yield (
                None if sent.ready else f"{task_id}/{sent.subtask}: step {sent.step} was not ready"
            )


def nothing_goes_out_after_the_deadline(case: Case) -> Checks:
    """Look at when every message went out."""
    for task_id, book in case.books.items():
        for sent in book.sent:
            late = sent.at_ms >= sent.deadline_ms
            yield f"{task_id}/{sent.subtask} went out after the deadline" if late else None


def a_new_plan_differs_from_every_earlier_one(case: Case) -> Checks:
    """Look at every re-plan, and count them."""
    for task_id, book in case.books.items():
        most = book.task.request["replans_max"]
        for replan in book.replans:
            if replan.repeats:
                yield f"{task_id}: re-plan {replan.number} is a plan that was in force before"
            elif replan.number > most:
                yield f"{task_id}: re-plan {replan.number} of {most}"
            else:
                yield None


def an_agent_is_given_what_its_needs_produced(case: Case) -> Checks | None:
    """Compare every input with who made it."""
    inputs = case.evidence.inputs
    return None if inputs is None else _given(case, inputs)


def _given(case: Case, inputs: Iterable[Inputs]) -> Checks:
    for given in inputs:
        task_id, _, number = given.subtask.partition("/")
        book = case.books.get(task_id)
        if book is None or int(number) > len(book.sent):
            yield f"{given.subtask} reached an agent and was never published"
            continue
        step = book.sent[int(number) - 1].step
        needs = {
            tuple(s["needs"]) for plan in plans(book.task.request) for s in plan if s["id"] == step
        }
        wrong = [n for n, by in given.made_by.items() if not _made(book, n, by)]
        if tuple(given.made_by) not in needs or wrong:
            yield f"{given.subtask} of step {step} was given {dict(given.made_by)}"
        else:
            yield None


def _made(book: Book, need: str, by: str | None) -> bool:
    return need in book.dropped if by is None else by in book.makers.get(need, set())
