"""What has happened is told, once."""

from collections import Counter
from collections.abc import Iterator

from orchestrator.sim.promises.case import Case, Checks

Told = tuple[str, str]
"""What, and of which task or letter."""


def what_has_happened_is_told_once(case: Case) -> Checks | None:
    """Compare the news with what is left: tasks and their ends, letters and what became of them."""
    news = case.evidence.news
    return None if news is None else _told(case, Counter(news))


def _told(case: Case, told: Counter[Told]) -> Checks:
    happened = set(_happened(case))
    for each in happened:
        yield None if told[each] == 1 else f"{each} was told {told[each]} times"
    for each in told.keys() - happened:
        yield f"{each} was told and has not happened"


def _happened(case: Case) -> Iterator[Told]:
    for task in case.evidence.tasks.values():
        yield "task.accepted", task.id
        if task.outcome is not None:
            yield "task.ended", task.id
    for letter in case.evidence.letters:
        yield "letter.filed", letter.id
        if letter.fields["state"] == "decided":
            yield "letter.decided", letter.id
