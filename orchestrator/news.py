"""What has happened, for whoever wants to be told: a short line for each event, oldest first.

    event            fields besides task, tenant and at_ms
    ---------------  ---------------------------------------------------------------------------
    task.accepted
    task.ended       outcome, stop_reason
    letter.filed     letter, kind, reason, agent, why (its beginning)
    letter.refiled   the same: what was filed as unread has been looked at, and this is the reason
    letter.decided   letter, kind, reason, agent, verb, by
    subscription.disabled, subscription.test   subscription, why; of no tenant (courier/)

The script that makes it happen tells it, in the same step (envelopes/lua/_news.lua): nothing
happens untold, and nothing is told that has not happened. A field that does not apply is empty. The
task of a letter is the one that the message names; a stranger's names none.

The stream is bounded. A reader keeps the id of the last line it has read, and goes on behind it,
however long it was away; `has_gap` says whether lines it has not seen are gone by then.
"""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from envelopes import limits
from envelopes.strict import Refused

START: Final = "0-0"
"""Before the first line."""
GAP: Final = "gap"
"""Told by `follow` in place of lines that are gone."""
_AGAIN_S: Final = 1.0
_ID = re.compile(r"\d{1,19}(-\d{1,19})?", re.ASCII)

Line = tuple[bytes, Mapping[bytes, bytes]]
"""One line as the server gives it."""


@dataclass(frozen=True, slots=True)
class News:
    """One thing that has happened."""

    id: str
    """Its place in the stream; every later line's is higher."""
    event: str
    fields: Mapping[str, str]


def news_of(line: Line) -> News:
    """Read one line."""
    line_id, flat = line
    fields = {name.decode(): _text(value) for name, value in flat.items()}
    return News(line_id.decode(), fields.pop("event"), fields)


def after_of(after: str) -> str:
    """Return the id to go on behind, or refuse what is none."""
    if not _ID.fullmatch(after):
        raise Refused("after", f"the id of a line of news is like {START}, not {after[:40]!r}")
    return after


class NewsStream:
    """The stream on the server."""

    def __init__(self, client: Redis, key: str) -> None:
        self._client: Any = client  # its types leave open whether replies are decoded; ours are not
        self._key = key

    def read(self, after: str, count: int, block_ms: int = 0) -> list[News]:
        """Return up to `count` lines behind this one; wait for the first, WAIT_MS_MAX at most."""
        after = after_of(after)
        if count <= 0:
            return []
        block = min(block_ms, limits.WAIT_MS_MAX) if block_ms > 0 else None
        found: Sequence[Any] = self._client.xread({self._key: after}, count=count, block=block)
        return [news_of(line) for _, lines in found or () for line in lines]

    def follow(self, after: str) -> Iterator[News]:
        """Yield what happens behind this line, for ever; GAP first, where lines of it are gone.

        A server that goes away is waited for, WATCH_AWAY_S at most, and nothing is lost over it.
        """
        if self.has_gap(after):
            yield News(after, GAP, {})
        heard = time.monotonic()
        while True:
            try:
                lines = self.read(after, limits.LIVE_PAGE, limits.WAIT_MS_MAX)
            except (RedisConnectionError, RedisTimeoutError):
                if time.monotonic() - heard > limits.WATCH_AWAY_S:
                    raise
                time.sleep(_AGAIN_S)
                continue
            for news in lines:
                yield news
                after = news.id
            heard = time.monotonic()

    def last(self) -> str:
        """Return the id of the last line, or START where there is none."""
        found: Sequence[Line] = self._client.xrevrange(self._key, count=1)
        return found[0][0].decode() if found else START

    def has_gap(self, after: str) -> bool:
        """Say whether lines behind this one may be gone."""
        if after_of(after) == START:
            return False
        found: Sequence[Line] = self._client.xrange(self._key, count=1)
        return bool(found) and place(found[0][0].decode()) > place(after)


def place(line_id: str) -> tuple[int, int]:
    """Return an id as it is compared."""
    at_ms, _, number = line_id.partition("-")
    return int(at_ms), int(number or 0)


def _text(value: bytes) -> str:
    """Read a field; a stranger's text may be anything."""
    return value.decode("utf-8", "backslashreplace")
