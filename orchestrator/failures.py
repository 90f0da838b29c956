"""What the loop does about decisions that fail: count them, and ask a person after some in a row.

The count stands with the task, so it survives restarts and is the same for all orchestrators; it is
written on failure only, and the next commit forgets it. A server that takes no writes cannot be
counted on either: then the whole loop backs off, and no task is to blame.

A commit may be too large for what memory is left, while small ones go through. That is counted too:
a letter is small, and a person can give the server more.

What such a task becomes is decided in undecidable/.
"""

import logging
from dataclasses import replace
from typing import Final

from redis.exceptions import OutOfMemoryError

from envelopes import Refused, limits
from envelopes.scripts import new_op
from orchestrator import undecidable
from orchestrator.store import Commit, Loaded, Store

log: Final = logging.getLogger("buckstop.serve")
_SHOWN: Final = 300


class TooLarge(Exception):
    """The server has room for small commits, and not for this one."""

    def __init__(self, size: int) -> None:
        super().__init__(f"the server has no memory for what it decides, {size:,} bytes at once")


def too_large(commit: Commit, error: Exception) -> TooLarge | None:
    """Say whether a commit has failed because of its size; a small one fails on a full server."""
    full = isinstance(error, OutOfMemoryError)
    return TooLarge(commit.size) if full and commit.size >= limits.COMMIT_LARGE_BYTES else None


class Failures:
    """The failures of all tasks, as this orchestrator meets them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def count(self, task_id: str, error: Exception) -> None:
        """Count a decision that failed; the last one of a row puts the task on the desk."""
        if self._store.fail(task_id, new_op()) >= limits.UNDECIDED_MAX:
            if isinstance(error, TooLarge):
                self._ask(task_id, str(error), undecidable.MORE_MEMORY)
            else:
                first = next(iter(str(error).splitlines()), "")
                trouble = f"{type(error).__name__}: {first}"[:_SHOWN].rstrip(": ")
                self._ask(task_id, trouble, undecidable.OUR_FAULT)

    def _ask(self, task_id: str, trouble: str, advice: str) -> None:
        """Take the claims away and file a letter; who loses the race for it has nothing to do."""
        [loaded] = self._store.load([(task_id, None)])
        if loaded is None or undecidable.is_waiting(loaded):
            return
        opened = undecidable.open_subtasks(loaded)
        claims = self._store.look(task_id, opened, opened)
        [fresh] = self._store.load([(task_id, None)])  # a report may have come in between
        if fresh is not None and (fresh.version, fresh.op) == (loaded.version, loaded.op):
            self._write(undecidable.filed(fresh, claims, trouble, advice))

    def act(self, loaded: Loaded) -> None:
        """Do what a person said of a task that waits for one, or let it sleep on."""
        opened = undecidable.open_subtasks(loaded)
        claims = self._store.look(loaded.task_id, opened, opened) if opened else {}
        commit = undecidable.acted(loaded, claims)
        if commit is None:
            self._store.rest(loaded.task_id, undecidable.due_ms(loaded), new_op())
        else:
            self._write(commit)

    def _write(self, commit: Commit) -> None:
        try:
            [landed] = self._store.commit([commit])
        except Refused as refused:
            # What its claims say makes no sense. A person's word counts all the same: the task is
            # let go unsettled, and the books of its agents lack it.
            log.warning(
                "its claims cannot be settled", extra={"task": commit.task_id, "why": str(refused)}
            )
            [landed] = self._store.commit([replace(commit, settled=(), op=new_op())])
        if landed:
            letter = commit.letter.letter if commit.letter else None
            log.warning(
                "a task that cannot be decided is a person's",
                extra={"task": commit.task_id, "letter": letter, "outcome": commit.outcome},
            )
