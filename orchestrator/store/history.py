"""What has happened: the news, the books of the days, the counters.

Nothing here is read to decide a task.
"""

from collections.abc import Iterator

from redis import Redis

from envelopes.keys import Keys
from orchestrator.books import DayBooks, Spend
from orchestrator.news import News, NewsStream
from orchestrator.store.part import Part


class History(Part):
    """What those ask who watch."""

    def __init__(self, client: Redis, keys: Keys) -> None:
        super().__init__(client, keys)
        self._news = NewsStream(client, keys.news)
        self._books = DayBooks(client, keys, self._scripts)

    def news(self, after: str, count: int, block_ms: int = 0) -> list[News]:
        """Return up to `count` lines of news behind this one, waiting for the first if need be."""
        return self._news.read(after, count, block_ms)

    def follow_news(self, after: str) -> Iterator[News]:
        """Yield news behind this line, for ever."""
        return self._news.follow(after)

    def last_news(self) -> str:
        """Return the id of the last line of news; behind it comes what is still to happen."""
        return self._news.last()

    def news_gap(self, after: str) -> bool:
        """Say whether lines of news behind this one may be gone."""
        return self._news.has_gap(after)

    def spend(self, days: int) -> list[Spend]:
        """Return what was spent today and on the days before it, this many together."""
        return self._books.read(days)

    def stats(self) -> dict[str, int]:
        """Return all counters that have counted anything."""
        counters = self._hash(self._keys.stats) or {}
        return {name: int(count) for name, count in counters.items()}
