"""How subscriptions and deliveries look in a terminal."""

from collections.abc import Sequence

from rich.table import Column, Table
from rich.text import Text

from orchestrator.clock import moment
from orchestrator.courier.delivery import Delivery
from orchestrator.courier.subscription import Subscription

_STATES = {"done": "green", "given_up": "red", "waiting": "yellow", "sending": "cyan"}


def hook_table(hooks: Sequence[Subscription]) -> Table:
    """List subscriptions."""
    whole = Column("id", no_wrap=True)
    table = Table(whole, "kind", "to", "tells of", "tenant", "state", box=None)
    for one in hooks:
        kinds = f" ({', '.join(one.kinds)})" if one.kinds else ""
        told = ", ".join(one.events) + kinds
        table.add_row(one.id, one.kind, Text(one.shown_url), told, one.tenant or "all", _state(one))
    return table


def delivery_table(deliveries: Sequence[Delivery]) -> Table:
    """List deliveries."""
    table = Table("told", "event", "about", "state", "tries", "answer", "why", box=None)
    for one in deliveries:
        more = f" and {one.letters - 1} more" if one.letters > 1 else ""
        state = Text(one.state, style=_STATES.get(one.state, ""))
        answer = "" if one.status is None else str(one.status)
        why = Text(one.why if one.state != "waiting" else _next(one))
        about = Text(one.about + more)
        row = (moment(one.created_ms), one.event, about, state, str(one.attempts), answer, why)
        table.add_row(*row)
    return table


def _next(one: Delivery) -> str:
    tried = f"{one.why}; " if one.why else ""
    return f"{tried}due at {moment(one.due_ms)}"


def _state(one: Subscription) -> Text:
    if one.disabled_ms is not None:
        return Text(f"disabled at {moment(one.disabled_ms)}: {one.why}", style="red")
    if one.failing_ms is not None:
        return Text(f"failing since {moment(one.failing_ms)}", style="yellow")
    return Text("works", style="green")
