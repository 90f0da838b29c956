"""One cell's server, and everything that is asked there: made when it is first needed."""

from functools import cached_property

from envelopes.scripts import connect
from orchestrator.cells.reservations import Reservations
from orchestrator.client import Buckstop
from orchestrator.courier.subscriptions import Subscriptions
from orchestrator.records import Records
from orchestrator.settings import Settings
from orchestrator.tokens import Tokens
from orchestrator.wait_tokens import WaitTokens


class Opened:
    """What one cell can be asked. Safe to share between threads."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.buckstop = Buckstop(settings=settings)
        self.store: Records = self.buckstop.store
        self.client = connect(settings.url)

    @cached_property
    def reservations(self) -> Reservations:
        """Return what idempotency keys stand for."""
        return Reservations(self.client, self.settings.keys)

    @cached_property
    def tokens(self) -> Tokens:
        """Return its bearer tokens."""
        return Tokens(self.client, self.settings.keys)

    @cached_property
    def waits(self) -> WaitTokens:
        """Return its addresses at which questions are answered."""
        return WaitTokens(self.client, self.settings.keys)

    @cached_property
    def subscriptions(self) -> Subscriptions:
        """Return who is told of its news."""
        return Subscriptions(self.client, self.settings.keys)

    def close(self) -> None:
        """Close the connections."""
        self.buckstop.close()
        self.client.close()
