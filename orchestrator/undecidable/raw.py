"""A task as it is written down, as far as that is JSON: no record is trusted to be whole."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from envelopes import Ledger, Limits, TaskRequest, limits
from orchestrator.core import state
from orchestrator.store import Loaded

FIELD: Final = state.UNDECIDABLE
"""Where a task's hash says that it is one; COMMIT writes it like a field of the core."""


class Waiting(msgspec.Struct, frozen=True):
    """What is remembered of such a task: its letter, and how much of the mail has been seen."""

    letter: str
    filed_ms: int
    due_ms: int
    seen: int


@dataclass(frozen=True, slots=True)
class Open:
    """A subtask that a step says is open."""

    field: str
    agent: str
    allowance: Limits | None
    """None where it cannot be read."""


class Raw:
    """A task as it is written down, as far as that is JSON."""

    def __init__(self, loaded: Loaded) -> None:
        fields = loaded.fields or {}
        self.loaded = loaded
        self.request = object_in(loaded.request)
        self.fields = fields if state.HEAD in fields else {**_begun(loaded), **fields}
        self.head = object_in(self.fields.get(state.HEAD))
        self.opened = dict(self._opened())

    def _opened(self) -> Iterator[tuple[int, Open]]:
        for field, text in self.fields.items():
            step = object_in(text) if field.startswith(state.STEP) else {}
            opened = step.get("open")
            if (
                isinstance(opened, dict)
                and 0 < whole(opened.get("subtask")) <= limits.SUBTASKS_EVER_MAX
            ):
                allowance = converted(opened.get("allowance"), Limits)
                yield opened["subtask"], Open(field, str(step.get("agent", "")), allowance)

    @property
    def ledger(self) -> Ledger | None:
        """Return the books, or None where they cannot be read."""
        ledger: Ledger | None = converted(self.head.get("ledger"), Ledger)
        return ledger

    @property
    def waiting(self) -> Waiting | None:
        """Return what is remembered of it, or None where it is decided by the core."""
        text = (self.loaded.fields or {}).get(FIELD)
        waiting: Waiting | None = converted(object_in(text), Waiting)
        return waiting


def _begun(loaded: Loaded) -> dict[str, bytes]:
    """Write down a task that nobody has decided on yet, so that it can be shown; if that works."""
    try:
        task = state.begin(loaded.task_id, request_in(loaded), loaded.accepted_ms)
        return state.write(None, task)[0]
    except Exception:  # noqa: BLE001  this may be what fails
        return {}


def request_in(loaded: Loaded) -> TaskRequest:
    """Read the request, or raise; it was checked when it came in."""
    return TaskRequest.model_validate_json(loaded.request or b"")


def object_in(text: bytes | None) -> dict[str, Any]:
    """Read a JSON object; what is none is an empty one."""
    try:
        found = json.loads(text or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def whole(value: Any) -> int:
    """Read a figure; what is none is 0."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0


def ms_of(seconds: Any) -> int:
    """Return a time as the request has it; the usual one where that cannot be read."""
    known = isinstance(seconds, int | float) and 0 < seconds <= limits.TIMEOUT_CEILING_S
    return int((seconds if known else limits.DESK_TIMEOUT_DEFAULT_S) * 1000)


def names_in(value: Any) -> tuple[str, ...]:
    """Read a list of names; what is none is empty."""
    return tuple(map(str, value)) if isinstance(value, list) else ()


def converted(value: Any, kind: Any) -> Any:
    """Read a record of a kind; what is none is None."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return None
