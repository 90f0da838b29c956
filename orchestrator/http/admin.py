"""Tokens and subscriptions: who may call, and who is told."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request
from pydantic import ConfigDict, Field
from pydantic.config import JsonDict

from envelopes import limits
from envelopes.letter import LetterKind
from envelopes.request import Name
from orchestrator.cells.shared import CellSubscriptions
from orchestrator.client import NotFound
from orchestrator.courier.delivery import Delivery
from orchestrator.courier.subscription import NewSubscription, SubscriptionKind, Told
from orchestrator.courier.subscriptions import Subscriptions
from orchestrator.http.access import Admins, TokenBook
from orchestrator.http.bodies import json_body, takes
from orchestrator.http.models import WHOLE, Id, In, Listed, Out
from orchestrator.http.openapi import links, problems
from orchestrator.http.problems import Problem
from orchestrator.tokens import Scope, Shown, id_of

router = APIRouter(prefix="/v1", tags=["admin"])


# --- tokens --------------------------------------------------------------------------------------


_TENANTS_ADMIN: Final[JsonDict] = {
    "required": ["scopes", "tenant"],
    "properties": {"scopes": {"contains": {"const": "admin"}}, "tenant": {"type": "string"}},
}
"""What no token may be: admin is of the whole deployment."""


class NewToken(In):
    """A token that is to be made."""

    model_config = ConfigDict(json_schema_extra={"not": _TENANTS_ADMIN})

    name: Shown
    """Who it is; stands in the record of whatever is decided with it."""
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=len(Scope))]
    tenant: Name | None = None
    """Sees and touches this tenant's only; a tenant's token is no admin's."""
    days: Annotated[int, Field(ge=1, le=limits.TOKEN_DAYS_MAX), WHOLE] | None = None
    """How long it is good for; null for no end."""
    per_minute: Annotated[int, Field(ge=1, le=limits.TOKEN_PER_MINUTE_MAX), WHOLE] | None = None


class TokenOut(Out):
    """What is known of a token; its secret is not."""

    id: str
    name: str
    scopes: list[Scope]
    tenant: str | None
    created_ms: int
    expires_ms: int | None
    per_minute: int


class TokenMade(TokenOut):
    """A token, and its text: the only time that it is shown."""

    token: Annotated[str, Field(examples=["bk_4f0c2ab81d77_..."])]


@router.get("/tokens", operation_id="list_tokens")
def list_tokens(tokens: TokenBook, caller: Admins) -> Listed[TokenOut]:
    """List tokens, the newest first."""
    del caller
    return Listed(items=[TokenOut(**one.as_json()) for one in tokens.list()])


@router.post(
    "/tokens",
    operation_id="new_token",
    status_code=201,
    openapi_extra=takes("NewToken"),
    responses={201: links(("revoke_token", "token_id")), **problems("no-room")},
)
def new_token(
    tokens: TokenBook, caller: Admins, given: Annotated[NewToken, json_body(NewToken)]
) -> TokenMade:
    """Make a token. Its text is in this answer and nowhere else."""
    del caller
    text = tokens.new(
        given.name,
        given.scopes,
        tenant=given.tenant,
        days=given.days,
        per_minute=given.per_minute,
    )
    made = tokens.find(id_of(text))
    assert made is not None, "nobody but its maker knows the id yet"
    return TokenMade(**made.as_json(), token=text)


@router.delete(
    "/tokens/{token_id}",
    operation_id="revoke_token",
    status_code=204,
    responses=problems("not-found", "own-token"),
)
def revoke_token(token_id: Id, tokens: TokenBook, caller: Admins) -> None:
    """Revoke a token, and end every session that was opened with it."""
    if token_id == caller.token.id:
        raise Problem(
            "own-token",
            "this is the token you call with, and you would lock yourself out; revoke it with "
            f"another one, or with: buckstop token revoke {token_id}",
        )
    if not tokens.revoke(token_id):
        raise NotFound(f"no token {token_id!r}; GET /v1/tokens lists those there are")


# --- subscriptions -------------------------------------------------------------------------------


class SubscriptionOut(Out):
    """One receiver of news."""

    id: str
    kind: SubscriptionKind
    url: str
    """Without what is secret in it."""
    events: list[Told]
    kinds: list[LetterKind] | None
    tenant: str | None
    quiet_s: int
    allow_private: bool
    created_ms: int
    disabled_ms: int | None
    """Since when it is told nothing more, for it did not answer; and why."""
    why: str
    failing_ms: int | None


class SubscriptionMade(SubscriptionOut):
    """A subscription, with the secret that signs: the only time that it is shown."""

    secret: str | None = None


class Tested(Out):
    """A test that is on its way."""

    delivery: str


def subscriptions_of(request: Request) -> Subscriptions | CellSubscriptions:
    """Return this process's subscriptions."""
    found: Subscriptions | CellSubscriptions = request.app.state.subscriptions
    return found


Book = Annotated[Subscriptions | CellSubscriptions, Depends(subscriptions_of)]


@router.get("/subscriptions", operation_id="list_subscriptions")
def list_subscriptions(book: Book, caller: Admins) -> Listed[SubscriptionOut]:
    """List webhooks and notifications, the oldest first."""
    del caller
    return Listed(items=[SubscriptionOut(**one.as_json()) for one in book.list()])


@router.post(
    "/subscriptions",
    operation_id="new_subscription",
    status_code=201,
    openapi_extra=takes("NewSubscription"),
    responses={
        201: links(
            ("remove_subscription", "subscription_id"),
            ("test_subscription", "subscription_id"),
            ("list_deliveries", "subscription_id"),
        )
    },
)
def new_subscription(
    book: Book, caller: Admins, given: Annotated[NewSubscription, json_body(NewSubscription)]
) -> SubscriptionMade:
    """Tell a webhook (signed as Standard Webhooks say) or, through Apprise, people."""
    del caller
    return SubscriptionMade(**book.add(given).shown_once())


@router.delete(
    "/subscriptions/{subscription_id}",
    operation_id="remove_subscription",
    status_code=204,
    responses=problems("not-found"),
)
def remove_subscription(subscription_id: Id, book: Book, caller: Admins) -> None:
    """End a subscription; what was not delivered yet is not delivered any more."""
    del caller
    book.remove(subscription_id)


@router.post(
    "/subscriptions/{subscription_id}/test",
    operation_id="test_subscription",
    status_code=202,
    responses=problems("not-found"),
)
def test_subscription(subscription_id: Id, book: Book, caller: Admins) -> Tested:
    """Send this receiver a test."""
    del caller
    return Tested(delivery=book.test(subscription_id))


@router.get(
    "/subscriptions/{subscription_id}/deliveries",
    operation_id="list_deliveries",
    responses=problems("not-found"),
)
def list_deliveries(
    subscription_id: Id,
    book: Book,
    caller: Admins,
    limit: Annotated[int, Query(ge=1, le=limits.PAGE_MAX)] = limits.PAGE_DEFAULT,
) -> Listed[Delivery]:
    """List what was last sent to a receiver, and what became of it."""
    del caller
    return Listed(items=list(book.deliveries(subscription_id, limit)))
