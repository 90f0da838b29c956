"""A courier on the real server, whose clock a test moves: news in, deliveries out, no sleeping."""

import asyncio
import json
import ssl
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Any

from redis import Redis
from worlds import RealWorld

from envelopes.scripts import connect
from envelopes.strict import parse
from orchestrator.courier.address import Resolve, resolve
from orchestrator.courier.box import Box
from orchestrator.courier.expander import Expander
from orchestrator.courier.loop import Courier, Sender
from orchestrator.courier.notify import Notifications
from orchestrator.courier.subscription import NewSubscription, Subscription, SubscriptionKind
from orchestrator.courier.subscriptions import Subscriptions
from orchestrator.courier.webhook import Webhooks
from orchestrator.news import NewsStream
from tests.conftest import Fresh

TOLD_MS = 4_000_000_000_000
"""When what is told happened: after any subscription was made, whenever a test runs."""
AT_ONCE = (0, 0, 0)
"""Three more attempts, without a pause."""


class PostOffice(RealWorld):
    """The store, its clock, and a courier."""

    def __init__(self, fresh: Fresh, resolve: Resolve = resolve) -> None:
        super().__init__(fresh)
        self.resolve = resolve
        self.subscriptions = Subscriptions(self.client, self.keys, resolve)
        self._hold_clock(self.subscriptions._scripts)
        self.news = NewsStream(self.client, self.keys.news)
        self.box = self.another_box(self.client)

    def another_box(self, client: Redis | None = None) -> Box:
        """Make what another courier has, with the same clock."""
        box = Box(client or connect(self.url), self.keys)
        self._hold_clock(box._scripts)
        return box

    def hook(self, url: str, **more: Any) -> Subscription:
        """Subscribe a webhook on this machine."""
        return self._add(SubscriptionKind.WEBHOOK, url, more)

    def person(self, url: str, **more: Any) -> Subscription:
        """Subscribe a person's service on this machine."""
        return self._add(SubscriptionKind.NOTIFY, url, more)

    def _add(self, kind: SubscriptionKind, url: str, more: dict[str, Any]) -> Subscription:
        said = {"kind": kind, "url": url, "allow_private": True} | more
        raw = json.dumps(said)
        return self.subscriptions.add(
            parse(NewSubscription, raw, bytes_max=10_000, what="subscription")
        )

    def tell(self, event: str = "letter.filed", count: int = 1, **fields: str) -> list[str]:
        """Tell news as the scripts do; return the ids of its lines."""
        plain = {"task": "t1", "tenant": "default", "letter": "t1.1", "kind": "escalation",
                 "reason": "hop_cap", "agent": "write", "why": "hop cap 12 reached"}  # fmt: skip
        line: Any = {"event": event, "at_ms": TOLD_MS} | plain | fields
        return [self.client.xadd(self.keys.news, line).decode() for _ in range(count)]

    def expand(self) -> int:
        """Turn all news into deliveries; return how many."""
        expander, written = Expander(self.box, self.subscriptions, self.news), 0
        while self.news.read(self.box.place(), 1):
            written += expander.turn(0)
        return written

    def deliver(self, *, turns: int = 20, **more: Any) -> None:
        """Expand the news, and deliver until nothing is due any more."""
        self.expand()
        asyncio.run(self._deliver(turns, more))

    async def _deliver(self, turns: int, more: dict[str, Any]) -> None:
        with ThreadPoolExecutor(16) as threads:
            async with aclosing(self.webhooks(threads, **more)) as webhooks:
                courier = self.courier(webhooks, threads)
                for _ in range(turns):
                    await courier.turn()
                    if not courier._under_way:
                        break
                    await courier.drain()

    def webhooks(
        self, threads: ThreadPoolExecutor, timeout_s: float = 60, tls: ssl.SSLContext | None = None
    ) -> Webhooks:
        """Make a sender of webhooks."""
        return Webhooks(threads, self.resolve, timeout_s, tls)

    def courier(
        self,
        webhooks: Webhooks,
        threads: ThreadPoolExecutor,
        box: Box | None = None,
        retries_ms: Sequence[int] = AT_ONCE,
    ) -> Courier:
        """Make a courier."""
        desk = "https://desk.example"
        people = Notifications(threads, self.store, desk, self.resolve, webhooks._timeout_s)
        senders: dict[SubscriptionKind, Sender] = {
            SubscriptionKind.WEBHOOK: webhooks,
            SubscriptionKind.NOTIFY: people,
        }
        return Courier(box or self.box, self.subscriptions, senders, retries_ms)

    def states(self, subscription: Subscription) -> list[str]:
        """Return what has become of a receiver's deliveries, the newest first."""
        return [one.state for one in self.subscriptions.deliveries(subscription.id, 100)]
