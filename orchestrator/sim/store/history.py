"""What has happened: the news, the books of the days, the counters."""

from orchestrator.books import Spend
from orchestrator.news import News
from orchestrator.sim.store.part import SimPart


class SimHistory(SimPart):
    """What those ask who watch."""

    def news(self, after: str, count: int, block_ms: int = 0) -> list[News]:  # noqa: ARG002 -- nothing here blocks
        """Return up to `count` lines of news behind this one."""
        return self.told_news.read(after, count)

    def last_news(self) -> str:
        """Return the id of the last line of news."""
        return self.told_news.last()

    def news_gap(self, after: str) -> bool:
        """Say whether lines of news behind this one may be gone."""
        return self.told_news.has_gap(after)

    def spend(self, days: int) -> list[Spend]:
        """Return what was spent today and on the days before it, this many together."""
        return self.day_books.read(days)

    def stats(self) -> dict[str, int]:
        """Return all counters that have counted anything."""
        return {name: count for name, count in self.counters.items() if count}
