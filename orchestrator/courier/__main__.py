"""`python -m orchestrator.courier`: run one courier until SIGTERM or SIGINT."""

import asyncio
import logging
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Final

from envelopes import limits
from envelopes.exports import Exports, exporting
from envelopes.scripts import connect
from orchestrator import log as log_lines
from orchestrator.checks import wait_until_fit
from orchestrator.courier.box import Box
from orchestrator.courier.expander import Expander
from orchestrator.courier.loop import Courier, Sender
from orchestrator.courier.notify import Notifications
from orchestrator.courier.subscription import SubscriptionKind
from orchestrator.courier.subscriptions import Subscriptions
from orchestrator.courier.traced import telling
from orchestrator.courier.webhook import Webhooks
from orchestrator.news import NewsStream
from orchestrator.settings import Settings
from orchestrator.store import Store

log = logging.getLogger("buckstop.courier")

_THREADS: Final = limits.SUBSCRIPTIONS_MAX * limits.DELIVERIES_AT_ONCE
"""Names to look up and notifications to send, each of which may hang: as many as are under way."""


async def deliver(settings: Settings, exported: Exports | None = None) -> None:
    """Read the news in a thread, deliver in this loop, and stop when told to."""
    client, keys = connect(settings.url), settings.keys
    threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="deliver")
    subscriptions, box = Subscriptions(client, keys), Box(client, keys)
    notifications = Notifications(threads, Store(client, keys), settings.console)
    async with aclosing(Webhooks(threads)) as webhooks:
        senders: dict[SubscriptionKind, Sender] = {
            SubscriptionKind.WEBHOOK: webhooks,
            SubscriptionKind.NOTIFY: notifications,
        }
        courier = Courier(box, subscriptions, senders, traces=telling(exported, client, keys))
        reader = Reader(Expander(box, subscriptions, NewsStream(client, keys.news)), courier)
        _stop_on_signal(courier)
        reader.start()
        log.info("delivering", extra={"server": log_lines.without_password(settings.url)})
        await courier.run()
    if reader.failed:
        raise SystemExit(1)
    log.info("stopped")


class Reader(threading.Thread):
    """Reads the news. It may be cut off at any moment, for it moves on in one script.

    A fault of ours in it ends the whole process: a courier that reads nothing would look alive.
    """

    def __init__(self, expander: Expander, courier: Courier) -> None:
        super().__init__(name="news", daemon=True)
        self._expander = expander
        self._courier = courier
        self._loop = asyncio.get_running_loop()
        self.failed = False

    def run(self) -> None:
        """Read on until the process ends."""
        try:
            self._expander.run(lambda: self._loop.call_soon_threadsafe(self._courier.look))
        except Exception:
            if self._loop.is_closed():
                return  # the process ends
            log.exception("the news cannot be read; ending, to be started again")
            self.failed = True
            self._loop.call_soon_threadsafe(self._courier.stop)


def _stop_on_signal(courier: Courier) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, courier.stop)


def main() -> None:
    """Run one courier until SIGTERM or SIGINT."""
    log_lines.start(process="courier", pid=os.getpid())
    settings = Settings.read()
    wait_until_fit(connect(settings.url))
    with exporting("buckstop.courier") as exported:
        asyncio.run(deliver(settings, exported))


if __name__ == "__main__":
    main()
