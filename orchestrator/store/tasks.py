"""One task: its record, its mail, its history, and what its commits say while one listens."""

from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from envelopes import limits
from orchestrator.store.part import Part


class Tasks(Part):
    """What there is to know of a task, and the way to write to it."""

    def task(self, task_id: str) -> dict[str, bytes] | None:
        """Return a task's whole record."""
        return self._hash(self._keys.task(task_id))

    def post(self, task_id: str, letter: bytes, op: str) -> bool:
        """Put a letter into a task's mail and wake it; False where there is no such open task."""
        keys = [self._keys.task(task_id), self._keys.mail(task_id)]
        return bool(self._scripts.run("post", keys, [task_id, letter, op]))

    def journal(self, task_id: str) -> list[bytes]:
        """Return a task's history, oldest first."""
        return list(self._client.lrange(self._keys.journal(task_id), 0, -1))

    def journal_from(
        self, task_id: str, after: int | None, count: int
    ) -> tuple[list[tuple[int, bytes]], int | None]:
        """Return up to `count` lines of a task's history behind a place, each with its own.

        Places are counted from 0 and stay for ever, though the oldest lines may be gone. With them
        comes what to say as `after` for more, or None where there is no more by now.
        """
        keys = [self._keys.task(task_id), self._keys.journal(task_id)]
        first, lines, more = self._scripts.run(
            "journal", keys, [0 if after is None else after + 1, count]
        )
        numbered = list(enumerate(lines, first))
        return numbered, numbered[-1][0] if numbered and more else None

    def events(self, task_id: str) -> "Events":
        """Listen to a task's commits: `with store.events(id) as events: events.get(1.0)`."""
        return Events(self._client, self._keys.events(task_id))


class Events:
    """What a task's commits say, from the moment the `with` block is entered.

    What was said before is in the task's record: read it after entering, and nothing is missed.
    """

    def __init__(self, client: Any, channel: str) -> None:
        self._pubsub: Any = client.pubsub()
        self._channel = channel

    def __enter__(self) -> Self:
        self._pubsub.subscribe(self._channel)
        self._pubsub.get_message(timeout=limits.SOCKET_TIMEOUT_S)  # the server's word: subscribed
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pubsub.close()

    def get(self, timeout_s: float) -> bytes | None:
        """Return the next line, or None where none came in time."""
        message = self._pubsub.get_message(ignore_subscribe_messages=True, timeout=timeout_s)
        return None if message is None else bytes(message["data"])

    def __iter__(self) -> Iterator[bytes]:
        while True:
            if (line := self.get(limits.SOCKET_TIMEOUT_S)) is not None:
                yield line
