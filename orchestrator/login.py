"""A link that opens the console as the person at this machine: good once, and not for long.

Whoever can reach the server can do anything already, so they need no password to be shown in. The
code stands in the link's fragment, which browsers keep to themselves: it is in no log.
"""

from collections.abc import Sequence
from typing import Protocol

from envelopes import limits
from orchestrator.tokens import Scope, Token, id_of


class Issuer(Protocol):
    """Who makes tokens: Tokens of one server, or CellTokens of several."""

    # ruff: noqa: D102 -- each method is described where Tokens has it

    def list(self) -> list[Token]: ...
    def new(self, name: str, scopes: Sequence[Scope]) -> str: ...
    def login_code(self, token_id: str, ttl_s: int) -> str: ...


def link(tokens: Issuer, page: str, name: str, ttl_s: int = limits.LOGIN_CODE_S) -> str:
    """Return a link to a page that logs in once, as an administrator of this name."""
    known = next((one.id for one in tokens.list() if _is_theirs(one, name)), None)
    token_id = known or id_of(tokens.new(name, [Scope.ADMIN]))
    return f"{page}#code={tokens.login_code(token_id, ttl_s)}"


def _is_theirs(token: Token, name: str) -> bool:
    return token.name == name and token.may(Scope.ADMIN) and token.expires_ms is None
