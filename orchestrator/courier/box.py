"""The deliveries on the server: written, claimed and settled by one script each.

Any number of couriers use the same ones. None of them keeps anything that is not here: where the
news has been read to, what waits for whom, who is at what until when, and how each attempt ended.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from redis import Redis

from envelopes import limits
from envelopes.keys import Keys
from envelopes.scripts import Arg, Scripts, new_op
from orchestrator.courier.expand import NewDelivery
from orchestrator.lua import LUA
from orchestrator.news import START


class Verb(StrEnum):
    """What became of an attempt."""

    DONE = "done"
    MOOT = "moot"
    """There is nothing to tell any more."""
    RETRY = "retry"
    GIVEN_UP = "given_up"
    GONE = "gone"
    """Nobody is to send there any more."""


@dataclass(frozen=True, slots=True)
class Sent:
    """How an attempt ended."""

    verb: Verb
    status: int | None = None
    why: str = ""
    wait_ms: int = 0
    """What the receiver asked for before the next one."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that is ours for the length of a lease."""

    id: str
    token: str
    subscription: str
    event: str
    letters: tuple[str, ...]
    """The first ones that it tells of, by id."""
    count: int
    """How many it tells of."""
    more: bool
    """Whether others of its cause were told of a short while ago."""
    attempt: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Due:
    """What to send now, and when there is more."""

    now_ms: int
    next_ms: int | None
    claimed: tuple[Claimed, ...]


class Box:
    """The server as a courier sees it. Threads may share it, but one only may claim."""

    def __init__(self, client: Redis, keys: Keys) -> None:
        self._client: Any = client
        self._keys = keys
        self._scripts = Scripts(client, LUA, keys)
        self._name = new_op()
        self._claim_op = new_op()

    def place(self) -> str:
        """Return the id of the last line of news that has become deliveries."""
        found: bytes | None = self._client.hget(self._keys.courier, "place")
        return found.decode() if found else START

    def move(
        self, before: str, after: str, edition: int, deliveries: Sequence[NewDelivery]
    ) -> bool:
        """Move on in the news and write what it becomes; False where it is not as we saw it."""
        args: list[Arg] = [new_op(), before, after, edition]
        for d in deliveries:
            args += [d.id, d.subscription, d.event, d.about, d.letter, d.body]
            args += [d.cause, d.gather_ms, d.quiet_ms]
        return bool(self._scripts.run("expand_news", [], args))

    def claim(self) -> Due:
        """Take what is due, for the length of a lease."""
        op = self._claim_op
        last = self._keys.last(self._name)
        now_ms, next_ms, claimed = self._scripts.run("claim_deliveries", [last], [op])
        self._claim_op = new_op()  # not before the reply is here: a retry must be the same claim
        return Due(now_ms, next_ms, tuple(_claimed(each, record) for each, record in claimed))

    def settle(self, claimed: Claimed, sent: Sent, delay_ms: int) -> str:
        """Say how an attempt ended; return settled, late or disabled."""
        status = "" if sent.status is None else str(sent.status)
        why = sent.why[: limits.DELIVERY_WHY_CHARS]
        args: list[Arg] = [claimed.id, claimed.token, sent.verb, delay_ms, status, why]
        said: bytes = self._scripts.run("settle_delivery", [], args)
        return said.decode()


def _claimed(delivery: bytes, flat: Sequence[bytes]) -> Claimed:
    record = dict(zip(map(bytes.decode, flat[::2]), flat[1::2], strict=True))
    named = record["named"].decode("utf-8", "replace")
    return Claimed(
        id=delivery.decode(),
        token=record["token"].decode(),
        subscription=record["subscription"].decode(),
        event=record["event"].decode(),
        letters=tuple(filter(None, named.split("\n"))),
        count=int(record["letters"]),
        more=bool(record["more"]),
        attempt=int(record["attempts"]),
        body=record["body"],
    )
