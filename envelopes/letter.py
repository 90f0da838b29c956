"""What dead letters are about: the kinds there are, and the facets by which they are found.

A letter is filed by whoever meets the cause, in the same step: the orchestrator's COMMIT for a task
that needs a person, a worker's FETCH or QUARANTINE for a message that must not run.
"""

from enum import StrEnum
from typing import Final


class LetterKind(StrEnum):
    """What a person is asked to look at."""

    ESCALATION = "escalation"
    """A task came to a cap, and its owner's policy is to ask."""
    QUESTION = "question"
    """An agent asks something."""
    POISON = "poison"
    """A task with a step that took several workers down with it, or one that cannot be decided."""
    UNDELIVERABLE = "undeliverable"
    """A message that nobody here can run."""
    EXPIRED = "expired"
    """A message whose time was over when it was fetched."""
    FORGED = "forged"
    """A message that somebody else than an orchestrator of ours wrote, changed, moved or copied."""
    OVERSIZE = "oversize"
    """A message larger than a worker fetches."""

    @property
    def of_a_message(self) -> bool:
        """Say whether no task waits on it: there is only a message to put back or throw away."""
        return self in _OF_A_MESSAGE


_OF_A_MESSAGE: Final = {
    LetterKind.UNDELIVERABLE,
    LetterKind.EXPIRED,
    LetterKind.FORGED,
    LetterKind.OVERSIZE,
}


class Facet(StrEnum):
    """By what letters are found and counted."""

    KIND = "kind"
    REASON = "reason"
    """The rule or check that led to it, as one word: letters of one cause share it."""
    AGENT = "agent"
    TENANT = "tenant"
