"""Hops, subtasks, re-plans, deadlines: it always stops, and every step is in its place."""

from collections.abc import Iterable

from orchestrator.sim.books import Book
from orchestrator.sim.evidence import Inputs
from orchestrator.sim.plans import JUDGES
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
    """Count. What judges are asked ends the task, and no cap stands in the way of an ending."""
    for task_id, book in case.books.items():
        most = book.task.request["subtasks_max"]
        over = [sent.subtask for sent in book.sent[most:] if sent.role not in JUDGES]
        yield f"{task_id} published {over} of {most} subtasks" if over else None


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
            elif replan.number > most + (not replan.in_force):  # one too many ends it
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
        sent = book.sent[int(number) - 1]
        wrong = [n for n, by in given.made_by.items() if not _made(book, n, by)]
        if tuple(given.made_by) != sent.needs or wrong:
            yield f"{given.subtask} of step {sent.step} was given {dict(given.made_by)}"
        else:
            yield None


def _made(book: Book, need: str, by: str | None) -> bool:
    if by is None:
        return need in book.dropped
    return "/" not in by or by in book.makers.get(need, set())  # a parrot does not say who it is


def a_step_goes_to_whom_it_is_meant_for(case: Case) -> Checks:
    """Compare every message's agent with who was to do the step: planned, next, handed over to."""
    for task_id, book in case.books.items():
        for sent in book.sent:
            wrong = sent.agent not in sent.meant_for
            told = f"{task_id}/{sent.subtask} went to {sent.agent}, not {sorted(sent.meant_for)}"
            yield told if wrong else None


def after_a_cap_only_judges_are_asked(case: Case) -> Checks:
    """Look at what went out while the owner was making up its mind."""
    for task_id, book in case.books.items():
        for sent in book.sent:
            if sent.ending:
                wrong = sent.role not in JUDGES
                yield f"{task_id}/{sent.subtask}: {sent.role} after a cap" if wrong else None


def a_manager_is_asked_no_more_often_than_there_are_hops(case: Case) -> Checks:
    """Count the rounds."""
    for task_id, book in case.books.items():
        if book.task.request["manager"] is not None:
            over = book.rounds > book.hops_max
            yield f"{task_id}: {book.rounds} rounds of {book.hops_max}" if over else None


def an_answer_reaches_the_step_that_asked(case: Case) -> Checks | None:
    """Compare what every agent was told of people's answers with what people had answered."""
    inputs = case.evidence.inputs
    return None if inputs is None else _told(case, inputs)


def _told(case: Case, inputs: Iterable[Inputs]) -> Checks:
    for given in inputs:
        task_id, _, number = given.subtask.partition("/")
        book = case.books.get(task_id)
        if book is None or int(number) > len(book.sent):
            continue
        sent = book.sent[int(number) - 1]
        if sent.answers != given.answers:
            yield f"{given.subtask} was told {given.answers}, people had said {sent.answers}"
        elif sent.answers:
            yield None
