"""One task: its record, its mail, its history, as lua/post.lua and lua/_journal.lua keep them."""

from collections.abc import Iterator, Sequence
from typing import Self

from envelopes import limits
from orchestrator.sim.store.checks import figure, named
from orchestrator.sim.store.part import SimPart, digits


class SimTasks(SimPart):
    """What there is to know of a task, and the way to write to it."""

    def task(self, task_id: str) -> dict[str, bytes] | None:
        """Return a task's whole record."""
        self._expire()
        return dict(self.records[task_id]) if task_id in self.records else None

    def post(self, task_id: str, letter: bytes, op: str) -> bool:
        """Put a letter into a task's mail and wake it; False where there is no such open task."""
        return self.send("post", lambda: self._post(task_id, letter, op))

    def _post(self, task_id: str, letter: bytes, op: str) -> bool:
        named(op)
        record = self.records.get(task_id, {})
        posted = record.get("posted", b" ")
        if f" {op} ".encode() in posted:
            return True
        if not self.is_open(task_id):
            return False
        self.mail[task_id].append(letter)
        record["posted"] = (f" {op}".encode() + posted)[: limits.POSTED_REMEMBERED_CHARS]
        self.wake(task_id)
        return True

    def journal(self, task_id: str) -> list[bytes]:
        """Return a task's history, oldest first."""
        self._expire()
        return list(self.journals.get(task_id, ()))

    def journal_from(
        self, task_id: str, after: int | None, count: int
    ) -> tuple[list[tuple[int, bytes]], int | None]:
        """Return up to `count` lines of a task's history behind a place, each with its own."""
        figure("count", count)
        wanted = figure("after", 0 if after is None else after + 1)
        lines = self.journal(task_id)
        dropped = int(self.records.get(task_id, {}).get("noted", len(lines))) - len(lines)
        begin = max(wanted - dropped, 0)
        numbered = list(enumerate(lines, dropped))[begin : begin + count]
        more = bool(numbered) and begin + count < len(lines)
        return numbered, numbered[-1][0] if more else None

    def _add_lines(self, task_id: str, lines: Sequence[bytes]) -> None:
        """Add to a task's journal; each line keeps its place, though the oldest are dropped."""
        if not lines:
            return
        record, journal = self.records[task_id], self.journals[task_id]
        record["noted"] = digits(int(record.get("noted", b"0")) + len(lines))
        self.journals[task_id] = [*journal, *lines][-limits.JOURNAL_MAX :]

    def events(self, task_id: str) -> "SimEvents":
        """Listen to a task's commits."""
        return SimEvents(self.said[task_id])


class SimEvents:
    """What a task's commits say, from the moment the `with` block is entered."""

    def __init__(self, said: list[bytes]) -> None:
        self._said = said
        self._heard = len(said)

    def __enter__(self) -> Self:
        self._heard = len(self._said)
        return self

    def __exit__(self, *_: object) -> None:
        self._heard = len(self._said)

    def get(self, timeout_s: float) -> bytes | None:  # noqa: ARG002 -- nothing here blocks
        """Return the next line, or None where there is none."""
        if self._heard == len(self._said):
            return None
        self._heard += 1
        return self._said[self._heard - 1]

    def __iter__(self) -> Iterator[bytes]:
        while (line := self.get(0)) is not None:
            yield line
