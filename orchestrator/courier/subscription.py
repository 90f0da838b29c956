"""One receiver of news: where it is, what it wants to hear of, and what has become of it.

A record holds a webhook's secret, or an Apprise URL, in which a password or a token stands. The
courier must be able to use them, so they lie on the server as they are: whoever can read that can
read them. They are shown once, when they are made; `as_json` never shows them, and neither does
`repr`, so they get into no log and no trace.
"""

from enum import StrEnum
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import Field

from envelopes import limits
from envelopes.letter import LetterKind
from envelopes.request import Name
from envelopes.strict import Frozen


class SubscriptionKind(StrEnum):
    """How a receiver is told."""

    WEBHOOK = "webhook"
    """By a signed POST, for programs: one for each line of news."""
    NOTIFY = "notify"
    """By a message through Apprise, for people: one for each cause."""


class Told(StrEnum):
    """What one can subscribe to; the names are those of the news."""

    TASK_ACCEPTED = "task.accepted"
    TASK_ENDED = "task.ended"
    LETTER_FILED = "letter.filed"
    """And letter.refiled with it: the same letter, once its reason is known."""
    LETTER_DECIDED = "letter.decided"
    SUBSCRIPTION_DISABLED = "subscription.disabled"


TEST: Final = "subscription.test"
"""Told to one subscription alone, whatever it wants to hear of."""
_WITH: Final = {"letter.refiled": Told.LETTER_FILED.value}
_USUAL: Final = {
    SubscriptionKind.WEBHOOK: (Told.TASK_ENDED, Told.LETTER_FILED, Told.LETTER_DECIDED),
    SubscriptionKind.NOTIFY: (Told.LETTER_FILED,),
}


Events = Annotated[tuple[Told, ...], Field(min_length=1, max_length=len(Told))]
Kinds = Annotated[tuple[LetterKind, ...], Field(min_length=1, max_length=len(LetterKind))]


class NewSubscription(Frozen):
    """What somebody who subscribes says."""

    kind: SubscriptionKind
    url: Annotated[str, Field(min_length=1, max_length=limits.HOOK_URL_CHARS_MAX, repr=False)]
    """https://..., or for a notification an Apprise URL (slack://, mailto://, pagerduty:// ...)."""
    events: Events | None = None
    """None for the usual ones of the kind."""
    kinds: Kinds | None = None
    """Of letters, these kinds only."""
    tenant: Name | None = None
    """This tenant's news only; None for all."""
    quiet_s: Annotated[int, Field(ge=0, le=limits.QUIET_MAX_S)] = limits.QUIET_DEFAULT_S
    """After a message, how long nothing more of its cause; of webhooks every one is sent."""
    allow_private: bool = False
    """Let it lead into private networks, by http too."""

    @property
    def wanted(self) -> tuple[Told, ...]:
        """Return what it wants to hear of."""
        return self.events or _USUAL[self.kind]


class Subscription(Frozen):
    """One receiver, as it is kept."""

    id: str
    kind: SubscriptionKind
    url: Annotated[str, Field(repr=False)]
    events: tuple[Told, ...]
    kinds: tuple[LetterKind, ...] | None
    tenant: str | None
    quiet_s: int
    allow_private: bool
    created_ms: int
    secret: Annotated[str, Field(repr=False)] = ""
    """Of a webhook."""
    old_secret: Annotated[str, Field(repr=False)] = ""
    """Signs beside the new one until then."""
    old_until_ms: int = 0
    disabled_ms: int | None = None
    """Kept beside the record, by the scripts that see a receiver fail; with the reason."""
    why: str = ""
    failing_ms: int | None = None
    """Since when nothing but failure; None where the last attempt worked, or there was none."""

    def secrets_at(self, now_ms: int) -> tuple[str, ...]:
        """Return the secrets that sign now, the newest first."""
        old = self.old_secret and now_ms < self.old_until_ms
        return (self.secret, self.old_secret) if old else (self.secret,)

    def wants(self, event: str, kind: str, tenant: str) -> bool:
        """Say whether it is to be told of such news."""
        return (
            _WITH.get(event, event) in self.events
            and (self.tenant is None or self.tenant == tenant)
            and (self.kinds is None or not kind or kind in self.kinds)
        )

    def as_json(self) -> dict[str, Any]:
        """Return what may be shown of it at any time."""
        hidden = {"secret", "old_secret", "old_until_ms"}
        return {**self.model_dump(mode="json", exclude=hidden), "url": self.shown_url}

    def shown_once(self) -> dict[str, Any]:
        """Return the same with the secret: for whoever has just made it, and never again."""
        return self.as_json() | ({"secret": self.secret} if self.secret else {})

    @property
    def shown_url(self) -> str:
        """Return its URL without what may be a secret: of an Apprise URL that is all of it."""
        if self.kind is SubscriptionKind.NOTIFY:
            return f"{self.url.partition('://')[0]}://***"
        parts = urlsplit(self.url)
        return parts._replace(query=parts.query and "***", fragment="").geturl()
