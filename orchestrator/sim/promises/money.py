"""Nothing is overspent, forgotten, or booked twice."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from orchestrator.sim.books import Book
from orchestrator.sim.evidence import Effect, Json, Sum, amounts
from orchestrator.sim.promises.case import Case, Checks
from orchestrator.sim.sums import clamped, least, minus, most, plus, within


def spent_and_reserved_never_exceed_the_ceiling(case: Case) -> Checks:
    """Look at the books as they stood at every line of every journal."""
    for task_id, book in case.books.items():
        for entry in book.entries:
            spent, reserved = amounts(entry.line["spent"]), amounts(entry.line["reserved"])
            total = plus(spent, reserved)
            if min(*spent, *reserved) < 0 or not within(total, entry.ceiling):
                yield f"{task_id}: spent {spent} + reserved {reserved} of {entry.ceiling}"
            else:
                yield None


def the_ending_is_kept_back_from_subtasks(case: Case) -> Checks:
    """Look at every reservation."""
    for task_id, book in case.books.items():
        for sent in book.sent:
            yield None if sent.fits else f"{task_id}/{sent.subtask} reserved from the ending"


def spent_is_the_sum_of_settlements(case: Case) -> Checks:
    """Compare every line, and the last record, with our own books."""
    for task_id, book in case.books.items():
        yield from (f"{task_id}: {stray}" for stray in book.strays)
        for entry in book.entries:
            theirs = amounts(entry.line["spent"]), amounts(entry.line["reserved"])
            ours = entry.spent, entry.reserved
            if theirs == ours:
                yield None
            else:
                why = entry.line["why"]
                yield f"{task_id} at {why}: books say {theirs}, lines add up to {ours}"
        if book.task.head is not None:
            yield _last_books(book, book.task.head)


def _last_books(book: Book, head: Json) -> str | None:
    ledger = head["ledger"]
    theirs = amounts(ledger["spent"]), amounts(ledger["reserved"])
    if theirs != (book.spent, book.reserved):
        return f"{book.task.id} ends with {theirs}, its lines add up to {book.spent, book.reserved}"
    if book.task.outcome is not None and any(theirs[1]):
        return f"{book.task.id} is over and still reserves {theirs[1]}"
    return None


def the_books_of_the_days_are_the_settlements(case: Case) -> Checks | None:
    """Compare each row with what our own books say was settled at that agent for that tenant."""
    spend = case.evidence.spend
    return None if spend is None else _by_day(case, spend)


def _by_day(case: Case, spend: Mapping[tuple[str, str], Sum]) -> Checks:
    settled: dict[tuple[str, str], Sum] = defaultdict(lambda: (0, 0, 0))
    for book in case.books.values():
        for ended in book.settled.values():
            whose = book.task.request["tenant"], ended.agent
            settled[whose] = plus(settled[whose], ended.booked)
    for tenant, agent in {**spend, **settled}:
        theirs, ours = spend.get((tenant, agent)), settled.get((tenant, agent))
        wrong = f"{agent} for {tenant}: the days' books say {theirs}, settled were {ours}"
        yield None if theirs == ours else wrong


def all_that_was_burned_is_booked(case: Case) -> Checks | None:
    """Compare each subtask's booked cost with the model's own account, from below and above."""
    effects = case.evidence.effects
    return None if effects is None else _burned(case, _by_subtask(effects))


def _burned(case: Case, by_subtask: Mapping[str, Sequence[Effect]]) -> Checks:
    for subtask, effects in by_subtask.items():
        task_id, _, number = subtask.partition("/")
        book = case.books.get(task_id)
        ended = book.settled.get(int(number)) if book else None
        if ended is None:
            continue
        gone = subtask in case.evidence.vanished
        floor = clamped(_sum(map(_known, effects)), ended.allowance)
        ceiling = plus(_sum(map(_known, effects)), _sum(map(_loose, effects)))
        low = any(
            b < f and not (gone and bound is None)
            for b, f, bound in zip(ended.booked, floor, ended.allowance, strict=True)
        )
        high = not gone and any(b > c for b, c in zip(ended.booked, ceiling, strict=True))
        if low or high:
            yield f"{subtask} burned {floor}, at most {ceiling}, and was booked {ended.booked}"
        else:
            yield None


def _known(effect: Effect) -> Sum:
    """Bound from below what the meter must have recorded of a call.

    A provider that took more than the worst case is known only once its call is settled.
    """
    if effect.real is None or effect.settled:
        return effect.real or (0, 0, 0)
    return least(effect.real, effect.worst)


def _loose(effect: Effect) -> Sum:
    """Bound what a call in flight may have been booked above that."""
    if effect.settled:
        return 0, 0, 0
    return minus(most(effect.worst, effect.real or effect.worst), _known(effect))


def no_call_is_made_that_could_overrun_its_allowance(case: Case) -> Checks | None:
    """Add up each subtask's calls in order: what was burned, and the next one at its worst."""
    effects = case.evidence.effects
    return None if effects is None else _overrun(case, _by_subtask(effects))


def _overrun(case: Case, by_subtask: Mapping[str, Sequence[Effect]]) -> Checks:
    for subtask, effects in by_subtask.items():
        task_id, _, number = subtask.partition("/")
        book = case.books.get(task_id)
        if book is None or int(number) > len(book.sent):
            continue
        allowance, burned = book.sent[int(number) - 1].allowance, (0, 0, 0)
        for effect in effects:
            if effect.real is None:
                continue
            fits = within(plus(burned, effect.worst), allowance)
            yield None if fits else f"{subtask} burned {burned} and called for {effect.worst}"
            burned = plus(burned, least(effect.real, effect.worst))


def no_charge_comes_after_the_end_of_a_subtask(case: Case) -> Checks | None:
    """Look for calls booked after the claim was taken away, after the deadline, after the end."""
    effects = case.evidence.effects
    return None if effects is None else _late(case, effects)


def _late(case: Case, effects: Iterable[Effect]) -> Checks:
    since_ms = {claim.token: claim.since_ms for claim in case.evidence.claims}
    for effect in effects:
        task_id, _, number = effect.subtask.partition("/")
        book = case.books.get(task_id)
        if book is None or effect.at_ms is None or effect.real is None:
            continue
        if int(number) > len(book.sent):
            yield f"{effect.subtask} was charged and never published"
            continue
        sent, ended = book.sent[int(number) - 1], book.settled.get(int(number))
        begun_ms = since_ms.get(effect.token, effect.at_ms)
        if effect.at_ms > min(sent.deadline_ms, begun_ms + sent.timeout_ms):
            yield f"{effect.subtask} was charged after its time was over"
        elif ended is not None and effect.at_ms > ended.at_ms:
            yield f"{effect.subtask} was charged after it had ended by {ended.why}"
        else:
            yield None


def _by_subtask(effects: Iterable[Effect]) -> Mapping[str, Sequence[Effect]]:
    found: dict[str, list[Effect]] = defaultdict(list)
    for effect in effects:
        found[effect.subtask].append(effect)
    return found


def _sum(sums: Iterable[Sum]) -> Sum:
    total: Sum = (0, 0, 0)
    for each in sums:
        total = plus(total, each)
    return total
