"""One message to one receiver: what it is called, and what has become of it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

_NUMBER_DIGITS: Final = 6
"""Lines of news told in one millisecond stay in order as text up to a million."""


def delivery_id(news_id: str, subscription: str) -> str:
    """Name what this line of news becomes for this subscription: always the same, so once only.

    As text it sorts as the news does, and it has no dot in it: one separates what is signed.
    """
    at_ms, _, number = news_id.partition("-")
    return f"msg_{at_ms}-{number.zfill(_NUMBER_DIGITS)}-{subscription}"


@dataclass(frozen=True, slots=True)
class Delivery:
    """What can be shown of a delivery."""

    id: str
    event: str
    about: str
    """The letter, or the task."""
    letters: int
    """How many it tells of; more than one only in a notification."""
    state: str
    """waiting | sending | done | given_up | moot"""
    attempts: int
    status: int | None
    """Of the last answer, where there was one."""
    why: str
    """Why the last attempt failed, or why there is none any more."""
    created_ms: int
    due_ms: int
    """When it is tried next, or was first."""
    ended_ms: int | None

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)


def delivery_of(delivery: bytes, record: Mapping[bytes, bytes]) -> Delivery:
    """Read a delivery's record."""
    said = {name.decode(): value.decode("utf-8", "replace") for name, value in record.items()}
    return Delivery(
        id=delivery.decode(),
        event=said["event"],
        about=said["about"],
        letters=int(said["letters"]),
        state=said["state"],
        attempts=int(said["attempts"]),
        status=int(said["status"]) if said.get("status") else None,
        why=said.get("why", ""),
        created_ms=int(said["created_ms"]),
        due_ms=int(said["due_ms"]),
        ended_ms=int(said["ended_ms"]) if "ended_ms" in said else None,
    )
