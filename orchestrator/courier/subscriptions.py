"""All subscriptions of a deployment: make, find, change and end them.

    subscriptions = Subscriptions(client, keys)
    made = subscriptions.add(NewSubscription(kind=SubscriptionKind.WEBHOOK, url="https://..."))
    made.shown_once()                 with the secret: the only time that it is shown
    subscriptions.test(made.id)       a delivery to this one, so that its receiver can be tried
    subscriptions.deliveries(made.id, 20)

Used by the command line (cli/hooks.py) and by the HTTP API. Each change raises the edition, so that
a courier which was reading the news meanwhile looks at the subscriptions again.
"""

import json
import secrets
from collections.abc import Sequence
from typing import Any, Final

from redis import Redis

from envelopes import limits
from envelopes.keys import Keys
from envelopes.scripts import Scripts, new_op
from envelopes.strict import Refused
from orchestrator.client import NotFound
from orchestrator.clock import server_ms
from orchestrator.courier.address import Resolve, resolve
from orchestrator.courier.delivery import Delivery, delivery_id, delivery_of
from orchestrator.courier.signing import new_secret
from orchestrator.courier.subscription import (
    TEST,
    NewSubscription,
    Subscription,
    SubscriptionKind,
)
from orchestrator.lua import LUA

_ID_BYTES: Final = 6
_NOT_KEPT: Final = {"disabled_ms", "why", "failing_ms"}
"""Fields that stand beside the record."""


class Subscriptions:
    """The subscriptions on the server. Safe to share between threads."""

    def __init__(self, client: Redis, keys: Keys, resolve: Resolve = resolve) -> None:
        self._client: Any = client  # its types leave open whether replies are decoded; ours are not
        self._keys = keys
        self._scripts = Scripts(client, LUA, keys)
        self._resolve = resolve

    # --- change ---------------------------------------------------------------------------------

    def add(self, new: NewSubscription) -> Subscription:
        """Make a subscription, or raise Refused; its secret is shown by `shown_once`, once."""
        self._check(new)
        made = Subscription(
            id=secrets.token_hex(_ID_BYTES),
            kind=new.kind,
            url=new.url,
            events=new.wanted,
            kinds=new.kinds,
            tenant=new.tenant,
            quiet_s=new.quiet_s,
            allow_private=new.allow_private,
            created_ms=server_ms(self._client),
            secret=new_secret() if new.kind is SubscriptionKind.WEBHOOK else "",
        )
        self._save(made, expected=b"")
        return made

    def rotate(self, subscription_id: str) -> Subscription:
        """Give a webhook a new secret; the old one signs beside it for a day."""
        raw = self._raw(subscription_id)
        before = _read(raw)
        if before.kind is not SubscriptionKind.WEBHOOK:
            raise Refused("id", "a notification has no secret; remove it, and make another")
        fresh = {
            "secret": new_secret(),
            "old_secret": before.secret,
            "old_until_ms": server_ms(self._client) + limits.HOOK_ROTATION_MS,
        }
        after = before.model_copy(update=fresh)
        self._save(after, expected=raw)
        return after

    def keep(self, made: Subscription) -> None:
        """Keep a subscription as it was made elsewhere (cells/shared.py)."""
        kept: bytes | None = self._client.hget(self._keys.subscriptions, made.id)
        self._save(made, expected=kept or b"")

    def enable(self, subscription_id: str) -> Subscription:
        """Send to a disabled receiver again, from now on."""
        self._raw(subscription_id)
        with self._client.pipeline(transaction=True) as pipe:
            pipe.hincrby(self._keys.courier, "edition", 1)
            pipe.hdel(self._keys.disabled, subscription_id)
            pipe.hdel(self._keys.failing, subscription_id)
            pipe.execute()
        return self.find(subscription_id)

    def remove(self, subscription_id: str) -> None:
        """End a subscription; what waits for its receiver is gone. Raise NotFound for none."""
        if not self._scripts.run("remove_subscription", [], [subscription_id, new_op()]):
            raise _unknown(subscription_id)

    def test(self, subscription_id: str) -> str:
        """Tell this receiver, and nobody else, that it is a test; return the delivery's id."""
        self._raw(subscription_id)
        said = {"event": TEST, "at_ms": server_ms(self._client), "tenant": "", "task": ""}
        said["subscription"] = subscription_id
        line: bytes = self._client.xadd(self._keys.news, said, maxlen=limits.NEWS_MAX)
        return delivery_id(line.decode(), subscription_id)

    # --- read -----------------------------------------------------------------------------------

    def list(self) -> Sequence[Subscription]:
        """Return all subscriptions, the oldest first."""
        return self.edition()[1]

    def edition(self) -> tuple[int, Sequence[Subscription]]:
        """Return all subscriptions, and the number that rises whenever they change."""
        k = self._keys
        with self._client.pipeline(transaction=True) as pipe:
            pipe.hget(k.courier, "edition")
            for key in (k.subscriptions, k.disabled, k.failing):
                pipe.hgetall(key)
            edition, kept, disabled, failing = pipe.execute()
        found = [_read(raw, disabled.get(name), failing.get(name)) for name, raw in kept.items()]
        return int(edition or 0), sorted(found, key=lambda one: (one.created_ms, one.id))

    def find(self, subscription_id: str) -> Subscription:
        """Return one subscription, or raise NotFound."""
        found = [one for one in self.edition()[1] if one.id == subscription_id]
        if not found:
            raise _unknown(subscription_id)
        return found[0]

    def deliveries(self, subscription_id: str, count: int) -> Sequence[Delivery]:
        """Return a receiver's last deliveries, those that wait and those that are over."""
        self._raw(subscription_id)
        k, last = self._keys, count - 1
        with self._client.pipeline(transaction=True) as pipe:
            pipe.zrevrange(k.outbox(subscription_id), 0, last)
            pipe.zrevrange(k.sending(subscription_id), 0, last)
            pipe.lrange(k.delivered(subscription_id), 0, last)
            ids = sorted({each for some in pipe.execute() for each in some}, reverse=True)[:count]
        with self._client.pipeline(transaction=False) as pipe:
            for each in ids:
                pipe.hgetall(k.delivery(each.decode()))
            records = pipe.execute()
        return [delivery_of(i, record) for i, record in zip(ids, records, strict=True) if record]

    # --- inside ---------------------------------------------------------------------------------

    def _check(self, new: NewSubscription) -> None:
        if new.kind is SubscriptionKind.WEBHOOK:
            from orchestrator.courier.endpoint import checked  # noqa: PLC0415 -- httpx is slow

            checked(new.url, allow_private=new.allow_private, resolve=self._resolve)
        else:
            from orchestrator.courier.apprise_url import (  # noqa: PLC0415 -- Apprise is slower
                check_apprise_url,
            )

            check_apprise_url(new.url, allow_private=new.allow_private, resolve=self._resolve)

    def _save(self, subscription: Subscription, expected: bytes) -> None:
        record = subscription.model_dump_json(exclude=_NOT_KEPT)
        said = self._scripts.run("save_subscription", [], [subscription.id, expected, record])
        if said == b"full":
            raise Refused("subscriptions", f"there are {limits.SUBSCRIPTIONS_MAX}; remove some")
        if said == b"changed":
            raise Refused("id", "somebody else has just changed this subscription; look again")

    def _raw(self, subscription_id: str) -> bytes:
        raw: bytes | None = self._client.hget(self._keys.subscriptions, subscription_id)
        if raw is None:
            raise _unknown(subscription_id)
        return raw


def _read(raw: bytes, disabled: bytes | None = None, failing: bytes | None = None) -> Subscription:
    at_ms, _, why = (disabled or b"").decode("utf-8", "backslashreplace").partition(" ")
    beside = {
        "disabled_ms": int(at_ms) if at_ms else None,
        "why": why,
        "failing_ms": int(failing) if failing else None,
    }
    return Subscription.model_validate_json(json.dumps(json.loads(raw) | beside))


def _unknown(subscription_id: str) -> NotFound:
    return NotFound(f"there is no subscription {subscription_id[:40]!r}; see: buckstop hooks list")
