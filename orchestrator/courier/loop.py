"""The loop: claim → send → settle.

Each delivery is a task of its own. The claim hands out a bounded number for each receiver, and the
sum of these bounds is what one courier has room for, so nobody waits for a place that a slow
receiver holds. What is claimed and not settled, because this process was killed, comes back when
its lease ends.

What was sent is settled even if the server is away for a moment: else it would be sent again.
"""

import asyncio
import logging
import random
from collections.abc import Coroutine, Mapping, Sequence
from typing import Final, Protocol

from redis.exceptions import RedisError

from envelopes import limits
from orchestrator.courier.box import Box, Claimed, Due, Sent, Verb
from orchestrator.courier.expander import BACK_OFF_S, said_away
from orchestrator.courier.subscription import Subscription, SubscriptionKind
from orchestrator.courier.subscriptions import Subscriptions
from orchestrator.courier.traced import SILENT, Silent

log = logging.getLogger("buckstop.courier")

_SECOND, _MINUTE, _HOUR = 1000, 60_000, 3_600_000
RETRIES_MS: Final = (
    *(5 * _SECOND, 30 * _SECOND, 2 * _MINUTE, 10 * _MINUTE),
    *(1 * _HOUR, 3 * _HOUR, 10 * _HOUR, 24 * _HOUR),
)
"""Pauses between attempts: a restart is over after the first, a bad day after the last. About the
schedule that Standard Webhooks proposes."""
_JITTER: Final = 0.1
"""Up to a tenth longer, so that what failed together does not come back together."""
IDLE_MS_MAX: Final = 5_000
"""The longest sleep: what a courier that was killed has left behind is found by then."""


class Sender(Protocol):
    """What makes one attempt."""

    async def send(self, claimed: Claimed, to: Subscription, now_ms: int) -> Sent:
        """Make one attempt, and say how it ended."""


class Courier:
    """One loop."""

    def __init__(
        self,
        box: Box,
        subscriptions: Subscriptions,
        senders: Mapping[SubscriptionKind, Sender],
        retries_ms: Sequence[int] = RETRIES_MS,
        traces: Silent = SILENT,
    ) -> None:
        self._box = box
        self._subscriptions = subscriptions
        self._senders = senders
        self._retries_ms = retries_ms
        self._traces = traces
        self._under_way: set[asyncio.Task[None]] = set()
        self._look = asyncio.Event()
        self._stopping = False

    def look(self) -> None:
        """Say that there may be something to claim."""
        self._look.set()

    def stop(self) -> None:
        """Let what is under way end, and begin nothing more."""
        self._stopping = True
        self._look.set()

    async def run(self) -> None:
        """Deliver until told to stop; back off while the server is away."""
        failures = 0
        while not self._stopping:
            try:
                await self._sleep(await self.turn())
                failures = 0
            except RedisError as error:
                await asyncio.sleep(said_away(error, failures))
                failures += 1
        await self.drain()

    async def turn(self) -> int:
        """Begin everything that is due; return after how many ms there may be more."""
        self._look.clear()
        due, known = await asyncio.to_thread(self._claim)
        for claimed in due.claimed:
            self._begin(self._deliver(claimed, known.get(claimed.subscription), due.now_ms))
        next_ms = due.now_ms + IDLE_MS_MAX if due.next_ms is None else due.next_ms
        return max(0, min(next_ms - due.now_ms, IDLE_MS_MAX))

    async def drain(self) -> None:
        """Wait until nothing is under way."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    def _claim(self) -> tuple[Due, dict[str, Subscription]]:
        due = self._box.claim()
        known = self._subscriptions.list() if due.claimed else ()
        return due, {one.id: one for one in known}

    def _begin(self, delivery: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(delivery)
        self._under_way.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._look.set()  # its receiver has a place free

    async def _sleep(self, at_most_ms: int) -> None:
        try:
            async with asyncio.timeout(at_most_ms / 1000):
                await self._look.wait()
        except TimeoutError:
            return

    # --- one delivery ---------------------------------------------------------------------------

    async def _deliver(self, claimed: Claimed, to: Subscription | None, now_ms: int) -> None:
        if to is None:
            return  # it was removed, and its deliveries with it
        told = await self._traces.begin(claimed, to)
        with told.current():
            sent = self._bounded(claimed, await self._attempt(claimed, to, now_ms))
        told.over(sent)
        settled = await self._settle(claimed, sent, self._pause_ms(claimed, sent))
        line = {
            "delivery": claimed.id,
            "subscription": to.id,
            "attempt": claimed.attempt,
            "status": sent.status,
            "why": sent.why,
        }
        log.info("delivered" if sent.verb is Verb.DONE else sent.verb.value, extra=line)
        if settled == "disabled":
            log.warning("a subscription is disabled", extra=line)

    async def _attempt(self, claimed: Claimed, to: Subscription, now_ms: int) -> Sent:
        """Send; a fault of ours counts as a failed attempt, and stops no other delivery."""
        try:
            return await self._senders[to.kind].send(claimed, to, now_ms)
        except Exception as error:
            log.exception("an attempt failed by our fault", extra={"delivery": claimed.id})
            return Sent(Verb.RETRY, why=f"our fault: {type(error).__name__}; see the courier's log")

    def _bounded(self, claimed: Claimed, sent: Sent) -> Sent:
        """Give up after the last attempt."""
        if sent.verb is Verb.RETRY and claimed.attempt > len(self._retries_ms):
            return Sent(Verb.GIVEN_UP, sent.status, sent.why)
        return sent

    def _pause_ms(self, claimed: Claimed, sent: Sent) -> int:
        if sent.verb is not Verb.RETRY:
            return 0
        pause_ms = self._retries_ms[claimed.attempt - 1]
        more = random.uniform(0, _JITTER)  # noqa: S311 -- spreads load, guards nothing
        return max(int(pause_ms * (1 + more)), sent.wait_ms)

    async def _settle(self, claimed: Claimed, sent: Sent, delay_ms: int) -> str:
        """Say how it ended; ask again while the server is away, as long as the lease lasts."""
        give_up = asyncio.get_running_loop().time() + limits.DELIVERY_LEASE_MS / 1000
        while True:
            try:
                return await asyncio.to_thread(self._box.settle, claimed, sent, delay_ms)
            except RedisError as error:
                if asyncio.get_running_loop().time() > give_up:
                    log.warning("not settled", extra={"delivery": claimed.id, "error": str(error)})
                    return "late"
                await asyncio.sleep(BACK_OFF_S[-1])
