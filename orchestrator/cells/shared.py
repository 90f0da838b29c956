"""What must be the same in all cells: who may call, who is told, and how much anybody may have.

The first cell of the file is home. There tokens are made and looked up; the others have copies, by
which callers are let in while home is away. Sessions of the console are at home alone, and wait for
it. Subscriptions and caps stand in each cell, for each has a courier and orchestrators of its own.

What is changed is changed everywhere, or whoever changes it is told where it is not: what is made,
for its secret is shown but once, is made all the same and the cell is noted; what is taken away is
refused. `aligned` then makes a cell as home is; so it does with a new one.

Not here: addresses at which a question is answered, which are where the question is (waits.py).
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from orchestrator.answers import NotFound
from orchestrator.cells.cell import AllAway, Cell, CellAway, ask_all
from orchestrator.cells.opened import Opened
from orchestrator.cells.where import note
from orchestrator.courier.delivery import Delivery
from orchestrator.courier.subscription import NewSubscription, Subscription
from orchestrator.tokens import Answer, Credential, Token, id_of

T = TypeVar("T")


class CellTokens:
    """The tokens of a deployment; used as Tokens is (orchestrator/tokens.py)."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        self._home, *self._others = cells

    def new(self, *about: Any, **more: Any) -> str:
        """Make a token in each cell and return its text; or raise Refused."""
        text = self._home.ask(lambda one: one.tokens.new(*about, **more))
        made = self.find(id_of(text))
        assert made is not None, "it has just been made"
        note(ask_all(self._others, lambda one: one.tokens.keep(made)).missing)
        return text

    def find(self, token_id: str) -> Token | None:
        """Return what is known of a token."""
        return self._home.ask(lambda one: one.tokens.find(token_id))

    def list(self) -> list[Token]:
        """Return every token that was not revoked, the newest first."""
        return self._home.ask(lambda one: one.tokens.list())

    def revoke(self, token_id: str) -> bool:
        """End a token in each cell; False where there was none."""
        cells = (self._home, *self._others)
        answers = ask_all(cells, lambda one: one.tokens.revoke(token_id))
        return any(answers.require_all("it is revoked").values())

    def login_code(self, token_id: str, *ttl_s: int) -> str:
        """Make a code that logs in once as this token, for a link."""
        return self._home.ask(lambda one: one.tokens.login_code(token_id, *ttl_s))

    def authenticate(self, credential: Credential, address: str) -> Answer:
        """Find whose credential this is and count the call; a token is known elsewhere too."""
        return self._known(lambda one: one.tokens.authenticate(credential, address), credential)

    def lasts(self, token_id: str, cookie: str | None) -> bool:
        """Say whether a token, and the session opened with it, still are."""
        return self._home.ask(lambda one: one.tokens.lasts(token_id, cookie))

    def open_session(self, credential: Credential, address: str) -> tuple[Answer, str]:
        """Log in at home; return whose it is, and the new session's cookie."""
        return self._home.ask(lambda one: one.tokens.open_session(credential, address))

    def close_session(self, cookie: str) -> bool:
        """Log out; False where nobody was logged in."""
        return self._home.ask(lambda one: one.tokens.close_session(cookie))

    def _known(self, what: Callable[[Opened], Answer], credential: Credential) -> Answer:
        """Ask home, and where that is away the next cell that answers."""
        there = [self._home, *self._others] if credential.kind == "token" else [self._home]
        away: list[CellAway] = []
        for cell in there:
            try:
                return cell.ask(what)
            except CellAway as gone:
                away.append(gone)
        if there == [self._home]:
            raise away[0]
        raise AllAway([name for gone in away for name in gone.cells], away[0].why)


class CellSubscriptions:
    """Who is told; used as Subscriptions is (orchestrator/courier/subscriptions.py)."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        self._home, *self._others = cells

    def add(self, new: NewSubscription) -> Subscription:
        """Make a subscription in each cell, with one secret; or raise Refused."""
        made = self._home.ask(lambda one: one.subscriptions.add(new))
        self._kept(made)
        return made

    def rotate(self, subscription_id: str) -> Subscription:
        """Give a webhook a new secret, the same in each cell."""
        made = self._home.ask(lambda one: one.subscriptions.rotate(subscription_id))
        self._kept(made)
        return made

    def enable(self, subscription_id: str) -> Subscription:
        """Send to a disabled receiver again, from each cell."""
        found = self._home.ask(lambda one: one.subscriptions.enable(subscription_id))
        others = ask_all(self._others, lambda one: one.subscriptions.enable(subscription_id))
        others.require_all("it is enabled at home and")
        return found

    def remove(self, subscription_id: str) -> None:
        """End a subscription in each cell; or raise NotFound."""
        answers = ask_all((self._home, *self._others), lambda one: _removed(one, subscription_id))
        if not any(answers.require_all("it is removed").values()):
            raise NotFound(f"there is no subscription {subscription_id!r}")

    def test(self, subscription_id: str) -> str:
        """Send this receiver a test from home; return the delivery's id."""
        return self._home.ask(lambda one: one.subscriptions.test(subscription_id))

    def list(self) -> Sequence[Subscription]:
        """Return all subscriptions, the oldest first, as they are at home."""
        return self._home.ask(lambda one: one.subscriptions.list())

    def deliveries(self, subscription_id: str, count: int) -> Sequence[Delivery]:
        """Return what was last sent to a receiver from any cell, the newest first."""
        cells = (self._home, *self._others)
        said = ask_all(cells, lambda one: one.subscriptions.deliveries(subscription_id, count)).said
        found = [delivery for some in said.values() for delivery in some]
        return sorted(found, key=lambda one: one.id, reverse=True)[:count]

    def _kept(self, made: Subscription) -> None:
        note(ask_all(self._others, lambda one: one.subscriptions.keep(made)).missing)


def aligned(home: Cell, other: Cell) -> dict[str, int]:
    """Make a cell's tokens, subscriptions and caps as they are at home; count what home has."""
    tokens = home.ask(lambda one: one.tokens.list())
    subscriptions = home.ask(lambda one: one.subscriptions.list())
    caps = home.ask(lambda one: one.store.caps())
    other.ask(lambda one: _tokens_as(one, tokens))
    other.ask(lambda one: _subscriptions_as(one, subscriptions))
    other.ask(lambda one: _caps_as(one, caps))
    return {"tokens": len(tokens), "subscriptions": len(subscriptions), "caps": len(caps)}


def _tokens_as(one: Opened, wanted: Iterable[Token]) -> None:
    ids = set()
    for token in wanted:
        one.tokens.keep(token)
        ids.add(token.id)
    for token in one.tokens.list():
        if token.id not in ids:
            one.tokens.revoke(token.id)


def _subscriptions_as(one: Opened, wanted: Iterable[Subscription]) -> None:
    ids = set()
    for subscription in wanted:
        one.subscriptions.keep(subscription)
        ids.add(subscription.id)
    for subscription in one.subscriptions.list():
        if subscription.id not in ids:
            one.subscriptions.remove(subscription.id)


def _caps_as(one: Opened, wanted: dict[str, int]) -> None:
    for about in {**one.store.caps(), **wanted}:
        kind, _, name = about.partition(":")
        one.store.set_cap("agent" if kind == "agent" else "tenant", name, wanted.get(about))


def _removed(one: Opened, subscription_id: str) -> bool:
    """Remove a subscription that may not be here, for this cell was away when it was made."""
    there = any(known.id == subscription_id for known in one.subscriptions.list())
    if there:
        one.subscriptions.remove(subscription_id)
    return there
