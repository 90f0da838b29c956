"""Bearer tokens: who may call over HTTP, and what.

    tokens = Tokens(client, keys)
    text = tokens.new("ci", [Scope.SUBMIT, Scope.READ])     bk_4f0c2ab81d77_<43 characters>
    tokens.authenticate(Credential.token(text), "10.0.0.7")

A token is shown once, when it is made. The server keeps the SHA-256 of its secret: 256 random bits
need no slow hash, for nobody can try them all. A console's session and the code in a login link
are kept in the same way, and both stand for a token: with it they end.

Used by the command line, by `buckstop up` (which prints a login link) and by http/access.py.
"""

import json
import math
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Annotated, Any, Final, Self

from pydantic import Field
from redis import Redis

from envelopes import limits
from envelopes.keys import Keys
from envelopes.request import Name
from envelopes.scripts import Scripts
from envelopes.strict import Frozen, Refused, parse
from orchestrator.clock import server_ms
from orchestrator.lookalikes import plain, taken_for
from orchestrator.lua import LUA

_ID_BYTES: Final = 6
_TEXT: Final = re.compile(r"bk_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_DAY_MS: Final = 24 * 3_600_000
_RECORD_BYTES_MAX: Final = 4_096

SHOWN_PATTERN: Final = (
    r"^[^\u0000-\u0020\u007f-\u00a0\u00ad\u061c\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f"
    r"\u3000\ufeff\ufff0-\uffff]+( [^\u0000-\u0020\u007f-\u00a0\u00ad\u061c\u180e\u2000-\u200f"
    r"\u2028-\u202f\u205f-\u206f\u3000\ufeff\ufff0-\uffff]+)*$"
)
"""A name as people write it, one space between words: nothing that is not seen on a screen, and
nothing that turns the text around, for it stands in records as who decided."""

Shown = Annotated[str, Field(min_length=1, max_length=limits.NAME_CHARS_MAX, pattern=SHOWN_PATTERN)]


class NoRoom(Refused):
    """There are as many tokens as there may be."""


class Scope(StrEnum):
    """What a token may do."""

    SUBMIT = "submit"
    """Submit tasks, and cancel them."""
    READ = "read"
    METRICS = "metrics"
    """Read /metrics, and nothing else; `read` may do that too."""
    DECIDE = "decide"
    """Decide letters."""
    ADMIN = "admin"
    """Everything, and alone: caps, breakers, tokens, subscriptions."""


class Token(Frozen):
    """What is known of a token; its secret is not."""

    id: str
    name: Shown
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)]
    tenant: Name | None = None
    """It sees and touches this tenant's only."""
    hash: str
    created_ms: int
    expires_ms: int | None = None
    per_minute: Annotated[int, Field(ge=1, le=limits.TOKEN_PER_MINUTE_MAX)]

    def may(self, scope: Scope) -> bool:
        """Say whether it may do this."""
        return scope in self.scopes or Scope.ADMIN in self.scopes

    def as_json(self) -> dict[str, Any]:
        """Return what may be shown of it."""
        return self.model_dump(mode="json", exclude={"hash"})

    def kept(self) -> str:
        """Return it as the server keeps it: what scripts compare stands in front."""
        expires_ms = "" if self.expires_ms is None else self.expires_ms
        return f"{self.hash} {expires_ms} {self.per_minute}\n{self.model_dump_json()}"


@dataclass(frozen=True, slots=True)
class Credential:
    """What a caller shows, in the form in which the server is asked about it: nothing secret."""

    kind: str
    id: str
    hash: str = ""

    @classmethod
    def token(cls, text: str) -> Self | None:
        """Read a bearer token, or return None where it has not the form of one."""
        found = _TEXT.fullmatch(text)
        return cls("token", found[1], hashed(found[2])) if found else None

    @classmethod
    def session(cls, cookie: str) -> Self:
        """Read a session's cookie."""
        return cls("session", hashed(cookie))

    @classmethod
    def code(cls, code: str) -> Self:
        """Read a login code."""
        return cls("code", hashed(code))


@dataclass(frozen=True, slots=True)
class Answer:
    """Whose credential it is, and how long to wait before anything is done for them."""

    token: Token | None
    wait_ms: int


class Tokens:
    """The tokens of one deployment. Safe to share between threads."""

    def __init__(self, client: Redis, keys: Keys) -> None:
        self._client: Any = client
        self._keys = keys
        self._scripts = Scripts(client, LUA, keys)

    def new(
        self,
        name: str,
        scopes: Collection[Scope],
        *,
        tenant: str | None = None,
        days: int | None = None,
        per_minute: int | None = None,
        text: str | None = None,
    ) -> str:
        """Make a token and return its text, which is never shown again; or raise Refused.

        With a `text` that a deployment made beforehand, this is the token; made again it is the
        same one, and what is said of it last holds.
        """
        token_id, secret = _fresh() if text is None else _taken_apart(text)
        now_ms = server_ms(self._client)
        record = {
            "id": token_id,
            "name": plain(name),
            "scopes": [each.value for each in Scope if each in scopes],
            "tenant": tenant,
            "hash": hashed(secret),
            "created_ms": now_ms,
            "expires_ms": None if days is None else now_ms + _days(days) * _DAY_MS,
            "per_minute": limits.TOKEN_PER_MINUTE if per_minute is None else per_minute,
        }
        token = _read(json.dumps(record, ensure_ascii=False))
        if token.tenant is not None and Scope.ADMIN in token.scopes:
            raise Refused("tenant", "admin is of the whole deployment; a tenant's token has others")
        self._require_room_for(token)
        self._require_own_looks(token)
        self._client.hset(self._keys.tokens, token_id, token.kept())
        return f"bk_{token_id}_{secret}"

    def keep(self, token: Token) -> None:
        """Keep a token as it was made elsewhere (cells/shared.py)."""
        self._client.hset(self._keys.tokens, token.id, token.kept())

    def find(self, token_id: str) -> Token | None:
        """Return what is known of a token."""
        stored = self._client.hget(self._keys.tokens, token_id)
        return None if stored is None else _read(_json_of(stored))

    def list(self) -> list[Token]:
        """Return every token that was not revoked, the newest first."""
        stored = self._client.hvals(self._keys.tokens)
        tokens = (_read(_json_of(each)) for each in stored)
        return sorted(tokens, key=lambda one: (-one.created_ms, one.id))

    def revoke(self, token_id: str) -> bool:
        """End a token, and every session opened with it; False where there was none."""
        return bool(self._client.hdel(self._keys.tokens, token_id))

    def login_code(self, token_id: str, ttl_s: int = limits.LOGIN_CODE_S) -> str:
        """Make a code that logs in once as this token, for a link."""
        code = _secret()
        self._client.set(self._keys.code(hashed(code)), token_id, ex=ttl_s)
        return code

    def authenticate(self, credential: Credential, address: str) -> Answer:
        """Find whose credential this is and count the call, in one round trip."""
        c = credential
        return _answer(self._scripts.run("authenticate", [], [c.kind, c.id, c.hash, address]))

    def lasts(self, token_id: str, cookie: str | None) -> bool:
        """Say whether a token, and the session opened with it, still are; no call is counted."""
        if cookie is not None and not self._client.exists(self._keys.session(hashed(cookie))):
            return False
        token = self.find(token_id)
        return token is not None and (token.expires_ms or math.inf) > server_ms(self._client)

    def open_session(self, credential: Credential, address: str) -> tuple[Answer, str]:
        """Log in with a token or a code; return whose it is, and the new session's cookie."""
        c, cookie = credential, _secret()
        args = [c.kind, c.id, c.hash, address, hashed(cookie)]
        return _answer(self._scripts.run("open_session", [], args)), cookie

    def close_session(self, cookie: str) -> bool:
        """Log out; False where nobody was logged in."""
        return bool(self._client.delete(self._keys.session(hashed(cookie))))

    def _require_room_for(self, token: Token) -> None:
        known = self.find(token.id)
        if known is not None and known.hash == token.hash:
            return
        if known is not None:
            raise Refused(
                "text", f"there is another token {token.id}; revoke it, or make a new text"
            )
        if self._client.hlen(self._keys.tokens) >= limits.TOKENS_MAX:
            raise NoRoom("name", f"there are {limits.TOKENS_MAX:,} tokens; revoke some first")

    def _require_own_looks(self, token: Token) -> None:
        """Refuse a name that is read as somebody else's: it stands beside what was decided."""
        others = (each.name for each in self.list() if each.id != token.id)
        if other := taken_for(token.name, others):
            raise Refused("name", f"it looks like {other!r}, whose token is another; choose one")


def id_of(text: str) -> str:
    """Return the id in a token's text: its public half."""
    return text.split("_")[1]


def hashed(secret: str) -> str:
    """Return what the server keeps of a secret."""
    return sha256(secret.encode()).hexdigest()


def _fresh() -> tuple[str, str]:
    return secrets.token_hex(_ID_BYTES), _secret()


def _taken_apart(text: str) -> tuple[str, str]:
    found = _TEXT.fullmatch(text)
    if found is None:
        raise Refused(
            "text", "a token is bk_, 12 digits of 0-9a-f, _ and 43 random letters of base64url"
        )
    return found[1], found[2]


def _secret() -> str:
    return secrets.token_urlsafe(limits.TOKEN_SECRET_BITS // 8)


def _days(days: int) -> int:
    if not 1 <= days <= limits.TOKEN_DAYS_MAX:
        raise Refused("days", f"from 1 to {limits.TOKEN_DAYS_MAX:,}, or none for no end")
    return days


def _json_of(kept: bytes) -> bytes:
    return kept.partition(b"\n")[2]


def _read(record: str | bytes) -> Token:
    return parse(Token, record, bytes_max=_RECORD_BYTES_MAX, what="token")


def _answer(reply: Any) -> Answer:
    about, wait_ms = reply
    return Answer(_read(about) if about else None, wait_ms)
