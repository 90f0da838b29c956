"""What an app asks: the one server of a deployment, or all of its cells.

Both are asked by the same names, so that no endpoint knows which it is.
"""

from dataclasses import dataclass

from prometheus_client.registry import Collector
from redis import Redis

from envelopes.scripts import connect
from orchestrator.cells.facade import Cells, deployed
from orchestrator.cells.shared import CellSubscriptions, CellTokens
from orchestrator.cells.waits import CellWaits
from orchestrator.client import Buckstop
from orchestrator.courier.subscriptions import Subscriptions
from orchestrator.http.metrics import CellsUp, Deployment
from orchestrator.settings import Settings
from orchestrator.tokens import Tokens
from orchestrator.wait_tokens import WaitTokens


@dataclass(frozen=True, slots=True)
class Asked:
    """Everything that the requests of a process share; safe between threads."""

    buckstop: Buckstop
    tokens: Tokens | CellTokens
    waits: WaitTokens | CellWaits
    subscriptions: Subscriptions | CellSubscriptions
    figures: Collector
    client: Redis | None
    """Of the one server; None where there are cells."""

    def close(self) -> None:
        """Close all connections."""
        self.buckstop.close()
        if self.client is not None:
            self.client.close()


def asked(settings: Settings) -> Asked:
    """Connect to what the settings name; nothing is asked of a server yet."""
    buckstop = deployed(settings)
    if isinstance(buckstop, Cells):
        tokens, waits, subscriptions = buckstop.tokens, buckstop.waits, buckstop.subscriptions
        return Asked(buckstop, tokens, waits, subscriptions, CellsUp(buckstop), None)
    client, keys = connect(settings.url), settings.keys
    return Asked(
        buckstop=buckstop,
        tokens=Tokens(client, keys),
        waits=WaitTokens(client, keys),
        subscriptions=Subscriptions(client, keys),
        figures=Deployment(client, keys),
        client=client,
    )
