"""A link that opens the console as the person at this machine: good once, and not for long.

Whoever can reach the server can do anything already, so they need no password to be shown in. The
code stands in the link's fragment, which browsers keep to themselves: it is in no log.
"""

from redis import Redis

from envelopes import limits
from envelopes.keys import Keys
from orchestrator.tokens import Scope, Token, Tokens, id_of


def link(client: Redis, keys: Keys, page: str, name: str, ttl_s: int = limits.LOGIN_CODE_S) -> str:
    """Return a link to a page that logs in once, as an administrator of this name."""
    tokens = Tokens(client, keys)
    known = next((one.id for one in tokens.list() if _is_theirs(one, name)), None)
    token_id = known or id_of(tokens.new(name, [Scope.ADMIN]))
    return f"{page}#code={tokens.login_code(token_id, ttl_s)}"


def _is_theirs(token: Token, name: str) -> bool:
    return token.name == name and token.may(Scope.ADMIN) and token.expires_ms is None
