"""Who calls, and what they may do.

    def cancel(caller: Submits, ...): ...        a dependency for each scope

Services show a bearer token, the console its session's cookie. Either is looked up, and the call
counted, in one round trip (lua/authenticate.lua).

A cookie is sent by a browser whether its owner wants it or not. So a request that changes something
and is known by its cookie alone must come from our own page, and show that it could read what a
stranger's page cannot: the CSRF word. That word is made of the cookie's secret and kept nowhere.
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Annotated, Final

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer

from orchestrator.cells.shared import CellTokens
from orchestrator.client import Buckstop, NotFound
from orchestrator.http.problems import Problem, too_many
from orchestrator.tokens import Answer, Credential, Scope, Token, Tokens

COOKIE: Final = "buckstop_session"
CSRF_HEADER: Final = "X-CSRF-Token"
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_NEIGHBOURS: Final = 64
"""Bits of an IPv6 address that are somebody's; of the rest everybody has as many as they like."""
_UNKNOWN: Final = "unknown"
KNOWN: Final = "buckstop.caller"
"""Where a request that begins in this process has its caller: in ASGI's scope, which nobody can
write from outside (mcp/inside.py)."""

_bearer = HTTPBearer(
    scheme_name="token",
    bearerFormat="bk_<id>_<secret>",
    description="A token of `buckstop token new`; its scopes say what it may do.",
    auto_error=False,
)
_cookie = APIKeyCookie(
    scheme_name="session",
    name=COOKIE,
    description=f"A session of `POST /session`. What changes something needs {CSRF_HEADER} too.",
    auto_error=False,
)


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever was let in."""

    token: Token
    cookie: str | None = field(default=None, repr=False)
    """Of the session by which it is known, if it is by one."""
    standing: bool = False
    """Let in by whoever runs this process, not by a token that could be revoked."""

    @property
    def name(self) -> str:
        """Return who it is, for the record."""
        return self.token.name

    @property
    def tenant(self) -> str | None:
        """Return the only tenant that it sees, or None where it sees all."""
        return self.token.tenant

    def require_tenant(self, tenant: str, what: str) -> None:
        """Raise NotFound where a thing is another tenant's: to this caller there is none."""
        if self.tenant is not None and tenant != self.tenant:
            raise NotFound(f"no {what}")

    def only(self, tenant: str | None) -> str | None:
        """Return the tenant that a list is to be of, or raise Problem where it is another's."""
        if self.tenant is not None and tenant not in {None, self.tenant}:
            raise Problem(
                "forbidden", f"tenant: this token is bound to {self.tenant!r} and sees no other"
            )
        return self.tenant or tenant

    def require_all_tenants(self) -> None:
        """Raise Problem where a tenant's token asks for what is of the whole deployment."""
        if self.tenant is not None:
            raise Problem(
                "forbidden", f"this is of all tenants; the token is bound to {self.tenant!r}"
            )


def buckstop_of(request: Request) -> Buckstop:
    """Return this process's client."""
    found: Buckstop = request.app.state.buckstop
    return found


def tokens_of(request: Request) -> Tokens | CellTokens:
    """Return this process's tokens."""
    found: Tokens | CellTokens = request.app.state.tokens
    return found


Client = Annotated[Buckstop, Depends(buckstop_of)]
TokenBook = Annotated[Tokens | CellTokens, Depends(tokens_of)]


def identified(
    request: Request,
    tokens: TokenBook,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    cookie: Annotated[str | None, Depends(_cookie)],
) -> Caller:
    """Find out who calls, or raise Problem."""
    if isinstance(known := request.scope.get(KNOWN), Caller):
        return known
    credential = Credential.token(bearer.credentials) if bearer else None
    if bearer is None and cookie:
        _require_own_page(request, cookie)
        credential = Credential.session(cookie)
    if credential is None:
        raise unauthenticated("show a token: Authorization: Bearer bk_...")
    answer = tokens.authenticate(credential, address_of(request))
    return Caller(token_of(answer), None if bearer else cookie)


def perhaps(
    request: Request,
    tokens: TokenBook,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Caller | None:
    """Find out who calls, where that is shown; nobody needs to say it."""
    return None if bearer is None else identified(request, tokens, bearer, None)


def token_of(answer: Answer) -> Token:
    """Return the token that was found, or raise Problem: there is none, or it is to wait."""
    token = answer.token
    if token is not None and answer.wait_ms:
        raise too_many(answer.wait_ms, f"the token {token.name!r} may call {token.per_minute}/min")
    if token is not None:
        return token
    if answer.wait_ms:
        raise too_many(answer.wait_ms, "too many wrong tokens came from this address")
    raise unauthenticated(
        "the token is wrong, revoked or expired, or the session is over; make one with: "
        "buckstop token new"
    )


def unauthenticated(detail: str) -> Problem:
    """Tell a caller how to show who they are."""
    return Problem("unauthenticated", detail, {"WWW-Authenticate": 'Bearer realm="buckstop"'})


def require_scope(caller: Caller, scope: Scope, *others: Scope) -> None:
    """Raise Problem where a caller's token has neither this scope nor one of the others."""
    if not any(map(caller.token.may, (scope, *others))):
        raise Problem(
            "forbidden",
            f"this needs the scope {scope.value!r}; the token {caller.name!r} has: "
            + ", ".join(caller.token.scopes),
        )


def _needs(scope: Scope, *others: Scope) -> Callable[[Caller], Caller]:
    """Make a dependency that lets in whoever has this scope, or one of the others."""

    def allowed(caller: Annotated[Caller, Depends(identified)]) -> Caller:
        require_scope(caller, scope, *others)
        return caller

    return allowed


Reads = Annotated[Caller, Security(_needs(Scope.READ), scopes=[Scope.READ.value])]
Measures = Annotated[
    Caller, Security(_needs(Scope.METRICS, Scope.READ), scopes=[Scope.METRICS.value])
]
Submits = Annotated[Caller, Security(_needs(Scope.SUBMIT), scopes=[Scope.SUBMIT.value])]
Decides = Annotated[Caller, Security(_needs(Scope.DECIDE), scopes=[Scope.DECIDE.value])]
Admins = Annotated[Caller, Security(_needs(Scope.ADMIN), scopes=[Scope.ADMIN.value])]


# --- a browser's cookie --------------------------------------------------------------------------


def csrf_of(cookie: str) -> str:
    """Return the word that goes with a session, which only our own page can read."""
    return sha256(b"csrf:" + cookie.encode()).hexdigest()


def _require_own_page(request: Request, cookie: str) -> None:
    """Raise Problem where a browser may have sent the cookie on a stranger's behalf."""
    if request.method in _SAFE:
        return
    require_same_origin(request)
    shown = request.headers.get(CSRF_HEADER, "")
    if not hmac.compare_digest(shown.encode(), csrf_of(cookie).encode()):
        raise Problem("csrf", f"{CSRF_HEADER} is missing or wrong; GET /session has it")


def require_same_origin(request: Request) -> None:
    """Raise Problem where the browser does not say that its own page sent this."""
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
    own = f"{request.url.scheme}://{request.headers.get('Host', '')}"
    if site not in {"same-origin", "none"} and origin != own:
        raise Problem("csrf", "the request does not come from the console's own page")


def address_of(request: Request) -> str:
    """Return whose address it is, as far as one is somebody's own."""
    if request.client is None:
        return _UNKNOWN  # a unix socket
    try:
        address = ip_address(request.client.host)
    except ValueError:
        return _UNKNOWN
    if isinstance(address, IPv6Address):
        return str(ip_network((address, _NEIGHBOURS), strict=False).network_address)
    return str(address)
