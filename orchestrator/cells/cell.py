"""One cell as it is asked by those who see several: by whom, how long, and whether it is away.

A cell that does not answer costs whoever asked some time, and then nobody else any: it rests for
CELL_REST_S, in which it is away to everybody at once; then one asks it, and all do once that was
answered. And it has threads of its own, so that what hangs in one cell holds up no question to
another.
"""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from threading import Lock
from typing import Generic, TypeVar

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from envelopes import limits
from orchestrator.cells.file import Listed, NobodyHome
from orchestrator.cells.opened import Opened
from orchestrator.log import without_password
from orchestrator.settings import Settings

T = TypeVar("T")


class CellAway(RedisConnectionError):
    """A cell does not answer; what is in other cells is not touched by that."""

    def __init__(self, cells: Iterable[str], why: str) -> None:
        self.cells = tuple(sorted(cells))
        self.why = why
        named = " and ".join(repr(each) for each in self.cells)
        are = "cells {} are" if len(self.cells) > 1 else "cell {} is"
        super().__init__(f"{are.format(named)} away: {why}")


class AllAway(CellAway):
    """No cell answers at all."""


@dataclass(frozen=True, slots=True)
class Answers(Generic[T]):
    """What those cells said that answered, by name in the order of the file; and who did not."""

    said: dict[str, T]
    away: tuple[CellAway, ...] = ()

    @property
    def missing(self) -> list[str]:
        """Name the cells that have not answered."""
        return [name for one in self.away for name in one.cells]

    def require_all(self, what: str) -> dict[str, T]:
        """Return what all have said, or raise CellAway saying what was done and where not."""
        if not self.away:
            return self.said
        there = f"{what} in {', '.join(self.said)}, and not there" if self.said else "nothing done"
        raise CellAway(self.missing, f"{there}; say it again once it is back. {self.away[0].why}")


class Cell:
    """One cell. Safe to share between threads."""

    def __init__(self, listed: Listed, common: Settings) -> None:
        self.listed = listed
        self.name = listed.name
        self._common = common
        self._threads = ThreadPoolExecutor(limits.CELL_THREADS, f"cell-{listed.name}")
        self._lock = Lock()
        self._connected: Opened | None = None
        self._rests_until: float | None = None
        """When it may be tried again; None while it answers."""
        self._why = ""

    def ask(self, what: Callable[[Opened], T]) -> T:
        """Ask it something in this thread, or raise CellAway."""
        self._require_turn()
        try:
            answer = what(self.opened())
        except CellAway:
            raise
        except (RedisConnectionError, RedisTimeoutError, NobodyHome) as gone:
            raise self.note_away(str(gone)) from gone
        except Exception:
            self.note_back()  # it has answered, if only to refuse
            raise
        self.note_back()
        return answer

    def asked(self, what: Callable[[Opened], T]) -> Future[T]:
        """Ask it in a thread of its own; while it rests, no thread is waited for."""
        if self._rests_until is not None and time.monotonic() < self._rests_until:
            away: Future[T] = Future()
            away.set_exception(CellAway([self.name], self._why))
            return away
        return self._threads.submit(self.ask, what)

    def note_away(self, why: str) -> CellAway:
        """Let it rest, and return the exception that says so."""
        url = self.listed.url
        self._why = f"{why} ({without_password(url)})" if url else why
        self._rests_until = time.monotonic() + limits.CELL_REST_S
        if url is None:  # an `up` that is started again listens elsewhere
            self.close()
        return CellAway([self.name], self._why)

    def note_back(self) -> None:
        """Let it be asked again at once: somebody has heard of it."""
        self._rests_until = None

    def _require_turn(self) -> None:
        """Raise CellAway while it rests; of those who come afterwards, one tries for all."""
        with self._lock:
            if self._rests_until is None:
                return
            if time.monotonic() < self._rests_until:
                raise CellAway([self.name], self._why)
            self._rests_until = time.monotonic() + limits.CELL_REST_S

    def opened(self) -> Opened:
        """Return what asks its server, or raise NobodyHome; nothing is asked yet."""
        with self._lock:
            if self._connected is None:
                self._connected = Opened(self.settings())
            return self._connected

    def settings(self) -> Settings:
        """Return what is to be known before one connects to it, or raise NobodyHome."""
        return replace(
            self._common, url=self.listed.where(), found_in=f"cell {self.name}", cells=None
        )

    def close(self) -> None:
        """Close its connection; it is made again when somebody asks."""
        with self._lock:
            connected, self._connected = self._connected, None
        if connected is not None:
            connected.close()

    def end(self) -> None:
        """Close it for good; a question that hangs is not waited for."""
        self.close()
        self._threads.shutdown(wait=False, cancel_futures=True)


def ask_all(cells: Iterable[Cell], what: Callable[[Opened], T]) -> Answers[T]:
    """Ask cells the same, side by side; who has not answered within CELL_ASK_S is away."""
    return ask_each((cell, what) for cell in cells)


def ask_each(questions: Iterable[tuple[Cell, Callable[[Opened], T]]]) -> Answers[T]:
    """Ask each cell something, as ask_all does."""
    asked = [(cell, cell.asked(what)) for cell, what in questions]
    give_up = time.monotonic() + limits.CELL_ASK_S
    said: dict[str, T] = {}
    away: list[CellAway] = []
    for cell, answer in asked:
        try:
            said[cell.name] = answer.result(max(0.0, give_up - time.monotonic()))
        except CellAway as gone:
            away.append(gone)
        except TimeoutError:
            answer.cancel()
            away.append(cell.note_away(f"no answer within {limits.CELL_ASK_S:g} s"))
    return Answers(said, tuple(away))
