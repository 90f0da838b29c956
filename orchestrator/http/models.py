"""What goes in and out over HTTP, where the client's own records are not enough."""

from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from envelopes.strict import Frozen
from orchestrator.tokens import Scope

Item = TypeVar("Item")


class In(Frozen):
    """What a caller sends: complete, and nothing extra."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Out(BaseModel):
    """What a caller gets."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Page(Out, Generic[Item]):
    """Some items of a list."""

    items: list[Item]
    next: str | None = None
    """Pass it as `cursor` for those that follow; null where there are no more."""


class SessionOut(Out):
    """Who is logged in."""

    name: str
    scopes: list[Scope]
    tenant: str | None
    csrf: str | None
    """Send it as X-CSRF-Token with whatever changes something; null for a bearer token."""


class Cancelled(Out):
    """What became of a wish to stop."""

    asked: bool
    state: str


Json = dict[str, Any]
