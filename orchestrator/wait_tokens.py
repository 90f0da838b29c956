"""Addresses at which one question is answered, once, by whoever has them.

    waits = WaitTokens(client, keys)
    token, until_ms = waits.new(letter, task, by="ada", ttl_s=3600, due_ms=...)
    waits.look(token, "10.0.0.7")
    waits.answer(token, wait.task, decision)

An outside service (a form, a chat's button, a script) needs no token of its own then. The server
keeps the SHA-256 of the secret. What is answered stays as a record for a while, so that whoever
comes second is told so.
"""

import secrets
from dataclasses import dataclass
from typing import Any, Final

from redis import Redis

from envelopes import limits
from envelopes.decision import Decision
from envelopes.keys import Keys
from envelopes.scripts import Scripts, new_op
from envelopes.versions import written_for_anybody
from orchestrator.clock import server_ms
from orchestrator.lua import LUA
from orchestrator.tokens import hashed

_KEPT_MS: Final = limits.RETENTION_S * 1000


@dataclass(frozen=True, slots=True)
class Wait:
    """What is at an address."""

    open: bool
    letter: str
    task: str
    by: str
    """Who has given it away."""
    until_ms: int


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found, and how long to wait before anything is said of it."""

    wait: Wait | None
    wait_ms: int


class WaitTokens:
    """The addresses of one deployment. Safe to share between threads."""

    def __init__(self, client: Redis, keys: Keys) -> None:
        self._client: Any = client  # its types leave open whether replies are decoded; ours are not
        self._keys = keys
        self._scripts = Scripts(client, LUA, keys)

    def new(self, letter: str, task: str, by: str, ttl_s: int, due_ms: int) -> tuple[str, int]:
        """Make an address for a letter; return its secret, and when it is over."""
        token = secrets.token_urlsafe(limits.TOKEN_SECRET_BITS // 8)
        key = self._keys.wait(hashed(token))
        until_ms = min(server_ms(self._client) + ttl_s * 1000, due_ms)
        about = {"letter": letter, "task": task, "by": by, "until_ms": until_ms}
        with self._client.pipeline(transaction=True) as pipe:
            pipe.hset(key, mapping=about)
            pipe.pexpireat(key, until_ms + _KEPT_MS)
            pipe.execute()
        return token, until_ms

    def look(self, token: str, address: str) -> Looked:
        """Look what is there, and count the look."""
        state, wait_ms, *about = self._scripts.run("look_wait", [], [hashed(token), address])
        if not about:
            return Looked(None, wait_ms)
        *texts, until_ms = about
        letter, task, by = (text.decode() for text in texts)
        return Looked(Wait(state == b"open", letter, task, by, until_ms), wait_ms)

    def answer(self, token: str, task: str, decision: Decision) -> bool:
        """Post the one answer to its task; False where there was one, or it comes too late."""
        keys = [self._keys.task(task), self._keys.mail(task)]
        text = f"decide\n{written_for_anybody('decision', decision)}".encode()
        said = self._scripts.run("answer_wait", keys, [hashed(token), task, text, new_op()])
        return bool(said == b"taken")
