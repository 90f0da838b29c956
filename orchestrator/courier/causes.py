"""What is the same again: whoever is told of one need not be told of the next at once.

A cause is what a person would do something about: five hundred letters because the agent `write`
comes to its hop cap are one cause, however many tasks they belong to. The first news of a cause
waits NOTIFY_GATHER_S for company and becomes one message; then nothing is said of it for the quiet
time, and at its end one message says how many came on top. If a message is late, because the
service is away, what comes meanwhile joins it.

The counting is done where the deliveries are written (lua/expand_news.lua), so that any number of
couriers keep one count.
"""

from hashlib import sha256
from typing import Final

from envelopes.strict import compact
from orchestrator.news import News

_FIELDS: Final = {
    "letter.filed": ("kind", "reason", "agent"),
    "letter.refiled": ("kind", "reason", "agent"),
    "letter.decided": ("verb", "by"),
    "task.ended": ("outcome", "stop_reason"),
    "subscription.disabled": ("subscription",),
}
"""What makes two lines of an event the same, besides the tenant."""
_SAME: Final = {"letter.refiled": "letter.filed"}
_KEY_CHARS: Final = 32


def cause_of(news: News) -> tuple[str, ...]:
    """Say what a line of news is one more of."""
    fields = (*_FIELDS.get(news.event, ()), "tenant")
    parts = (news.fields.get(name, "") for name in fields)
    return (_SAME.get(news.event, news.event), *parts)


def cause_key(cause: tuple[str, ...]) -> str:
    """Name a cause as part of a key: a stranger's text may be in it."""
    return sha256(compact(cause).encode("utf-8", "replace")).hexdigest()[:_KEY_CHARS]
