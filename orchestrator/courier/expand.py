"""Who is to be told what: from lines of news and subscriptions to deliveries. Pure.

A webhook's body is written here, once: every attempt sends the same bytes under the same id. It is
small: ids and facts, by which the receiver can ask for more.

    {"type": "letter.filed", "timestamp": "2026-02-03T04:05:06.789Z",
     "data": {"news": "1770091506789-0", "letter": "...", "task": "...", "tenant": "default",
              "kind": "escalation", "reason": "hop_cap", "agent": "write", "why": "..."}}
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from envelopes import limits
from envelopes.strict import compact
from orchestrator.courier.causes import cause_key, cause_of
from orchestrator.courier.delivery import delivery_id
from orchestrator.courier.subscription import TEST, Subscription, SubscriptionKind
from orchestrator.news import News, place


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """One line of news for one receiver, before it is written."""

    id: str
    subscription: str
    event: str
    about: str
    """The letter, or the task; what a list of deliveries shows."""
    letter: str
    body: bytes
    cause: str = ""
    """It joins a message of the same cause; empty where each is sent by itself."""
    gather_ms: int = 0
    quiet_ms: int = 0


def expand(news: Sequence[News], subscriptions: Sequence[Subscription]) -> list[NewDelivery]:
    """Return what these lines become, in the order of the news."""
    return [
        _delivery(line, each) for line in news for each in subscriptions if _is_told(each, line)
    ]


def payload(news: News) -> dict[str, Any]:
    """Return a line of news as others are told of it; what does not apply is left out."""
    facts = {name: value for name, value in news.fields.items() if value and name != "at_ms"}
    return {
        "type": news.event,
        "timestamp": _moment(int(news.fields["at_ms"])),
        "data": {"news": news.id, **facts},
    }


def _is_told(subscription: Subscription, news: News) -> bool:
    if news.event == TEST:
        return news.fields.get("subscription") == subscription.id
    if subscription.disabled_ms is not None or place(news.id)[0] < subscription.created_ms:
        return False
    kind, tenant = news.fields.get("kind", ""), news.fields.get("tenant", "")
    return subscription.wants(news.event, kind, tenant)


def _delivery(news: News, subscription: Subscription) -> NewDelivery:
    letter = news.fields.get("letter", "")
    facts = (letter, news.fields.get("task", ""), news.fields.get("subscription", ""))
    return NewDelivery(
        id=delivery_id(news.id, subscription.id),
        subscription=subscription.id,
        event=news.event,
        about=next(filter(None, facts), ""),
        letter=letter,
        body=compact(payload(news)).encode("utf-8", "backslashreplace"),
        **dict(_grouping(news, subscription)),
    )


def _grouping(news: News, subscription: Subscription) -> Iterator[tuple[str, Any]]:
    if subscription.kind is SubscriptionKind.NOTIFY and news.event != TEST:
        yield "cause", cause_key(cause_of(news))
        yield "gather_ms", limits.NOTIFY_GATHER_S * 1000
        yield "quiet_ms", subscription.quiet_s * 1000


def _moment(at_ms: int) -> str:
    moment = datetime.fromtimestamp(at_ms // 1000, UTC).replace(microsecond=at_ms % 1000 * 1000)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
