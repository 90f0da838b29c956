"""The news without a server: what envelopes/lua/_news.lua tells, told again in Python."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from envelopes import limits
from orchestrator.news import START, News, after_of, place

FILED: Final = ("letter", "task", "tenant", "kind", "reason", "agent", "why")
DECIDED: Final = ("letter", "task", "tenant", "kind", "reason", "agent", "verb", "by")
ENDED: Final = ("task", "tenant", "outcome", "stop_reason")
ACCEPTED: Final = ("task", "tenant")


@dataclass(slots=True)
class SimNews:
    """The stream; a line's id is the time, and a number among those of the same time."""

    clock: Callable[[], int]
    lines: list[News] = field(default_factory=list)

    def tell(self, event: str, names: Sequence[str], fields: Mapping[str, bytes]) -> None:
        """Add a line with these fields; one that is not there is told as empty."""
        told = {name: _shortened(fields.get(name, b"")) for name in names}
        told["at_ms"] = str(self.clock())
        self.lines.append(News(self._next_id(), event, told))
        del self.lines[: -limits.NEWS_MAX]

    def _next_id(self) -> str:
        now_ms = self.clock()
        last_ms, number = place(self.last())
        return f"{last_ms}-{number + 1}" if last_ms >= now_ms else f"{now_ms}-0"

    def read(self, after: str, count: int) -> list[News]:
        """Return up to `count` lines behind this one."""
        behind = place(after_of(after))
        return [line for line in self.lines if place(line.id) > behind][: max(count, 0)]

    def last(self) -> str:
        """Return the id of the last line, or START where there is none."""
        return self.lines[-1].id if self.lines else START

    def has_gap(self, after: str) -> bool:
        """Say whether lines behind this one may be gone."""
        if after_of(after) == START:
            return False
        return bool(self.lines) and place(self.lines[0].id) > place(after)


def _shortened(value: bytes) -> str:
    """Cut a text between two characters, not inside one."""
    cut = len(value) > limits.DEAD_LETTER_WHY_BYTES
    text = value[: limits.DEAD_LETTER_WHY_BYTES]
    return text.decode("utf-8", "ignore" if cut else "backslashreplace")
