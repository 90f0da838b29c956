"""What people read has a plural only where there is one: 1 task, 2 tasks."""

import pytest

from envelopes.counted import counted, doing
from envelopes.ledger import Limits
from orchestrator import checks


@pytest.mark.parametrize(
    ("count", "what", "said"),
    [
        (0, "task", "0 tasks"),
        (1, "task", "1 task"),
        (1_000, "delivery", "1,000 deliveries"),
        (1, "delivery", "1 delivery"),
    ],
)
def test_things_are_counted_as_people_do(count: int, what: str, said: str) -> None:
    assert counted(count, what) == said


def test_one_does_and_many_do() -> None:
    """Sentences are whole: `1 re-plan is used up`, `1 letter waits for a person`."""
    assert (doing(1, "task"), doing(2, "task")) == ("1 task is", "2 tasks are")
    assert counted(2, "line of news", "lines of news") == "2 lines of news"
    assert checks.desk(1).found == "1 letter waits for a person"
    assert str(Limits(tokens=1, calls=2)) == "1 token, 2 calls"
