"""What the store's indexes find, found by looking at everything: a small world needs no index."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from envelopes import limits
from envelopes.letter import Facet
from envelopes.strict import Refused
from orchestrator.sim.store.letters import SimLetters
from orchestrator.store import LetterClosed, Overview
from orchestrator.store.indexes import DEFAULT, TOO_LATE
from orchestrator.wanted import ALL, ALL_TASKS, Place, Stage, TasksWanted, Wanted, most_first


class SimIndexes(SimLetters):
    """Where things are found."""

    def find_tasks(
        self, wanted: TasksWanted = ALL_TASKS, count: int = 20, before: Place | None = None
    ) -> list[Place]:
        """List tasks that are wanted, newest first."""
        fit = (Place(int(r["accepted_ms"]), i) for i, r in self._tasks(wanted))
        return _newest(fit, count, before)

    def count_tasks(self, wanted: TasksWanted = ALL_TASKS) -> int:
        """Count the tasks that are wanted."""
        return sum(1 for _ in self._tasks(wanted))

    def find_letters(
        self, wanted: Wanted = ALL, count: int = 20, before: Place | None = None
    ) -> list[Place]:
        """List open dead letters that are wanted, newest first."""
        fit = (Place(int(fields["filed_ms"]), name) for name, fields in self._open(wanted))
        return _newest(fit, count, before)

    def count_letters(self, wanted: Wanted = ALL) -> int:
        """Count the open letters that are wanted."""
        return sum(1 for _ in self._open(wanted))

    def group_letters(self, facet: Facet, wanted: Wanted = ALL) -> dict[str, int]:
        """Count the open letters that are wanted by one facet of theirs, the most in front."""
        return most_first(Counter(fields[facet].decode() for _, fields in self._open(wanted)))

    def discard_due(self) -> int:
        """Let go of messages that nobody decided in time; DISCARD_MAX at most."""
        return self.send("discard_due", self._discard_due)

    def _discard_due(self) -> int:
        now_ms = self.clock()
        due = sorted(
            (int(fields["due_ms"]), name)
            for name, fields in self.desk.items()
            if "queue" in fields and fields["state"] == b"open" and int(fields["due_ms"]) <= now_ms
        )[: limits.DISCARD_MAX]
        for _, name in due:
            self._close_message(LetterClosed(name, "discard", DEFAULT, TOO_LATE))
        self.counters["messages_defaulted"] += len(due)
        return len(due)

    def prune_tasks(self) -> int:
        """Forget tasks whose record has expired: here no index outlives a record."""
        self._expire()
        return 0

    def overview(self) -> Overview:
        """Count what there is, as of one moment."""
        stages = Counter(map(_stage, self.records.values()))
        agents = {name for name, n in self.bulkheads.in_flight.items() if n} | set(self.registered)
        queues = tuple(self.queues.values())
        alive_ms = self.clock() - limits.WORKER_TTL_MS
        return Overview(
            **{stage.value: stages[stage] for stage in Stage},
            letters=self.count_letters(),
            letters_by_kind=self.group_letters(Facet.KIND),
            waiting=sum(map(len, queues)),
            agents=len(agents),
            workers=sum(beat_ms > alive_ms for beat_ms, _ in self.beats.values()),
        )

    def _tasks(self, wanted: TasksWanted) -> Iterator[tuple[str, dict[str, bytes]]]:
        for name, record in self.records.items():
            is_at, its_tenant = _stage(record), record["tenant"].decode()
            if wanted.stage in {None, is_at} and wanted.tenant in {None, its_tenant}:
                yield name, record

    def _open(self, wanted: Wanted) -> Iterator[tuple[str, dict[str, bytes]]]:
        now_ms = self.clock()
        for name, fields in self.desk.items():
            if fields["state"] == b"open" and wanted.fits(fields, now_ms):
                yield name, fields


def _stage(record: Mapping[str, bytes]) -> str:
    if outcome := record.get("outcome"):
        return outcome.decode()
    return "on_desk" if record.get("place") == b"desk" else "open"


def _newest(places: Iterable[Place], count: int, before: Place | None) -> list[Place]:
    if count < 0:
        raise Refused("figures", "one of them is no whole number from 0 up")
    newest = sorted(places, key=lambda place: (place.ms, place.id), reverse=True)
    begins = (before.ms, before.id) if before else None
    return [p for p in newest if begins is None or (p.ms, p.id) < begins][:count]
