"""The one question that everybody asks of the dice."""

from random import Random


def happens(random: Random, share: float) -> bool:
    """Draw whether something happens that does in this share of cases."""
    return random.random() < share
