"""Log in at the console, and out again.

A session's cookie is new at every login, whatever the browser sent along: nobody can lay a session
of theirs under somebody else's login.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import ConfigDict, Field

from envelopes import limits
from envelopes.strict import Refused
from orchestrator.http.access import (
    COOKIE,
    Caller,
    TokenBook,
    address_of,
    csrf_of,
    identified,
    require_same_origin,
    token_of,
    unauthenticated,
)
from orchestrator.http.bodies import json_body, takes
from orchestrator.http.models import In, SessionOut
from orchestrator.http.openapi import problems
from orchestrator.http.problems import Problem
from orchestrator.tokens import Credential, Token

router = APIRouter(tags=["session"])


class Login(In):
    """What somebody logs in with: a token, or the code of a login link."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["token"]}, {"required": ["code"]}]}
    )

    token: Annotated[str, Field(max_length=limits.KEY_CHARS_MAX)] = ""
    code: Annotated[str, Field(max_length=limits.KEY_CHARS_MAX)] = ""

    def credential(self) -> Credential:
        """Return what is to be looked up, or raise Refused."""
        if len(self.model_fields_set) != 1:
            raise Refused("token", "log in either with a token or with a code")
        if "code" in self.model_fields_set:
            return Credential.code(self.code)
        found = Credential.token(self.token)
        if found is None:
            raise unauthenticated("a token reads bk_, 12 characters, _, 43 characters")
        return found


@router.post(
    "/session",
    operation_id="login",
    openapi_extra=takes("Login"),
    responses=problems("unauthenticated", "csrf", "too-many"),
)
def login(
    request: Request,
    response: Response,
    tokens: TokenBook,
    given: Annotated[Login, json_body(Login)],
) -> SessionOut:
    """Log in at the console with a token or a login code; sets the session's cookie."""
    if request.headers.get("Origin") or request.headers.get("Sec-Fetch-Site"):
        require_same_origin(request)
    answer, cookie = tokens.open_session(given.credential(), address_of(request))
    token = token_of(answer)
    if before := request.cookies.get(COOKIE):
        tokens.close_session(before)
    response.set_cookie(
        COOKIE,
        cookie,
        max_age=limits.SESSION_MS // 1000,
        path="/",
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return _session(token, cookie)


@router.get("/session", operation_id="session")
def session(request: Request, caller: Annotated[Caller, Depends(identified)]) -> SessionOut:
    """Say who is logged in, and the CSRF word of their session."""
    return _session(caller.token, request.cookies.get(COOKIE, ""))


@router.delete("/session", operation_id="logout", status_code=204, responses=problems("not-found"))
def logout(
    request: Request,
    response: Response,
    tokens: TokenBook,
    caller: Annotated[Caller, Depends(identified)],
) -> None:
    """Log out: the session ends, the token stays."""
    del caller
    cookie = request.cookies.get(COOKIE)
    if cookie is None or not tokens.close_session(cookie):
        raise Problem("not-found", "a bearer token has no session; nothing to log out of")
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")


def _session(token: Token, cookie: str) -> SessionOut:
    return SessionOut(
        name=token.name,
        scopes=list(token.scopes),
        tenant=token.tenant,
        csrf=csrf_of(cookie) if cookie else None,
    )
