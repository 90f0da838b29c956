"""Which letters somebody wants to see, or to decide: what all of them have in common."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from envelopes.letter import Facet


@dataclass(frozen=True, slots=True)
class Wanted:
    """Open letters with these facets that have waited this long; nothing said is no condition."""

    kind: str | None = None
    reason: str | None = None
    agent: str | None = None
    tenant: str | None = None
    least_age_ms: int | None = None

    def facets(self) -> Iterator[tuple[Facet, str]]:
        """Yield each facet that matters, and the value it must have."""
        for facet in Facet:
            if (value := getattr(self, facet)) is not None:
                yield facet, value

    def fits(self, letter: Mapping[str, bytes], now_ms: int) -> bool:
        """Say whether a letter, as it is stored, is one of them."""
        waited_ms = now_ms - int(letter["filed_ms"])
        return waited_ms >= (self.least_age_ms or 0) and all(
            letter.get(facet, b"").decode() == value for facet, value in self.facets()
        )


ALL = Wanted()
"""Every open letter."""


def most_first(counted: Mapping[str, int]) -> dict[str, int]:
    """Put the values that most letters have in front, equals by name."""
    return dict(sorted(counted.items(), key=lambda each: (-each[1], each[0])))
