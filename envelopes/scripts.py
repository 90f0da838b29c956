"""Run Lua scripts on the server. How to reach it is in connection.py.

Whatever must happen together happens in one script. A script is a file; before it is sent,

    -- needs: _bell, _amounts      puts those fragments in front of it: from the script's own
                                   folder, or from envelopes/lua, which both sides share
    KEY.due, KEY.claim             becomes the key's name, or the beginning of it, under our prefix
    LIMIT.BELLS_MAX                becomes the figure from envelopes/limits.py

so that neither a key nor a limit is spelled twice, and a misspelt one is refused when the script is
read, not when it is run. Names written into the text are not declared as KEYS: one server, with
replicas if you like, but not a cluster.

Three rules for every script. It checks everything before its first write, since nothing is rolled
back. Its first write is of a kind that a full server refuses, so it is refused as a whole: a full
server still allows commands that only remove. Sent twice, because the first reply was lost, it
changes nothing more and answers the same.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from hashlib import sha1
from pathlib import Path
from typing import Any
from uuid import uuid4

from redis import Redis, exceptions
from redis.exceptions import NoScriptError, ResponseError

from envelopes import limits
from envelopes.connection import connect
from envelopes.keys import Keys
from envelopes.strict import Refused

__all__ = ["Arg", "Call", "Scripts", "assemble", "connect", "new_op", "raised"]

Arg = str | bytes | int
Call = tuple[str, Sequence[str], Sequence[Arg]]
"""A script's name, its KEYS and its ARGV."""

_SHARED = Path(__file__).parent / "lua"
_NAMES = (
    *("due", "bell", "tasks", "letters", "agents", "workers", "stats", "calibration"),
    *("inflight", "caps", "declared_caps", "breakers", "atwork", "arrivals"),
    *("letter_facets", "dead_letters", "tenant_default", "expiring", "discards", "letters_due"),
    *("news", "tokens", "serving", "submissions", "submissions_held", "stale"),
    *("subscriptions", "disabled", "failing", "courier", "deliveries"),
)
_STEMS = (
    *("task", "mail", "claim", "letter", "worker", "events", "queue", "queue_bell", "stale_on"),
    *("lanes", "room", "turns", "called", "waiting", "letters_by", "letter_values"),
    *("rate", "failed", "session", "code", "wait", "speaks"),
    *("tasks_by", "journal", "spend"),
    *("outbox", "sending", "delivered", "delivery", "cause"),
)
_FOLDERS_KEPT = 4  # ours and the workers', under one prefix; a test may have another for each world
_HEALS_MAX = 3  # a server that forgets its scripts more often than this within one call is ill


def new_op() -> str:
    """Name one operation, so that its retry is known as the same one."""
    return uuid4().hex


class Scripts:
    """The scripts of one folder, by file name; safe to share between threads."""

    def __init__(self, client: Redis, folder: Path, keys: Keys) -> None:
        self._client: Any = client  # half of its methods have no types
        self._texts, self._shas = map(dict, _assembled(folder, keys))

    def run(self, name: str, keys: Sequence[str], args: Sequence[Arg]) -> Any:
        """Run one script and return its reply; raise Refused where it found an argument wrong."""
        for _ in range(_HEALS_MAX):
            try:
                return self._client.execute_command(*self._command(name, keys, args))
            except NoScriptError:
                self._load([name])
            except ResponseError as error:
                raise _translated(error) from None
        raise exceptions.ConnectionError(f"the server keeps forgetting the script {name!r}")

    def run_many(self, calls: Sequence[Call]) -> list[Any]:
        """Run scripts in one round trip; a call that failed has its exception in its place.

        Calls of one batch must not depend on each other's order: after a restart of the server
        those it no longer knows are sent again behind the rest.
        """
        replies: list[Any] = [None] * len(calls)
        waiting = list(range(len(calls)))
        for _ in range(_HEALS_MAX):
            for number, reply in zip(waiting, self._send([calls[n] for n in waiting]), strict=True):
                replies[number] = reply
            waiting = [n for n in waiting if isinstance(replies[n], NoScriptError)]
            if not waiting:
                return [_translated(r) if isinstance(r, ResponseError) else r for r in replies]
            self._load(sorted({calls[n][0] for n in waiting}))
        raise exceptions.ConnectionError("the server keeps forgetting its scripts")

    def _send(self, calls: Sequence[Call]) -> list[Any]:
        with self._client.pipeline(transaction=False) as pipe:
            for name, keys, args in calls:
                pipe.execute_command(*self._command(name, keys, args))
            return list(pipe.execute(raise_on_error=False))

    def _command(self, name: str, keys: Sequence[str], args: Sequence[Arg]) -> tuple[Arg, ...]:
        return ("EVALSHA", self._shas[name], len(keys), *keys, *args)

    def _load(self, names: Sequence[str]) -> None:
        for name in names:
            self._client.script_load(self._texts[name])


def raised(replies: list[Any]) -> list[Any]:
    """Return the replies of a batch, or raise the first exception among them."""
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies


@lru_cache(maxsize=_FOLDERS_KEPT)
def _assembled(folder: Path, keys: Keys) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Put a folder's scripts together, which takes some 20 ms; return texts and digests by name."""
    texts = {
        path.stem: assemble(path, keys)
        for path in sorted(folder.glob("*.lua"))
        if not path.stem.startswith("_")
    }
    return texts, {name: _sha(text) for name, text in texts.items()}


def assemble(path: Path, keys: Keys) -> str:
    """Put a script together: its fragments, its own text, names and figures filled in."""
    words = _words(keys)

    def fill(found: re.Match[str]) -> str:
        if found[0] not in words:
            raise LookupError(f"{path.name} says {found[0]}, which is no key and no limit")
        return words[found[0]]

    return re.sub(r"\b(?:KEY|LIMIT)\.\w+", fill, _joined(path))


def _joined(path: Path) -> str:
    text = path.read_text()
    if needs := re.search(r"^-- needs: (.+)$", text, re.MULTILINE):
        fragments = [_fragment(path.parent, name.strip()) for name in needs[1].split(",")]
        return "\n".join([*fragments, text])
    return text


def _fragment(folder: Path, name: str) -> str:
    own = folder / f"{name}.lua"
    return (own if own.exists() else _SHARED / f"{name}.lua").read_text()


@cache
def _words(keys: Keys) -> Mapping[str, str]:
    names = {name: getattr(keys, name) for name in _NAMES}
    stems = {name: getattr(keys, name)("") for name in _STEMS}
    figures = {name: figure for name, figure in vars(limits).items() if isinstance(figure, int)}
    return {f"KEY.{name}": _quoted(text) for name, text in (names | stems).items()} | {
        f"LIMIT.{name}": str(figure) for name, figure in figures.items()
    }


def _sha(text: str) -> str:
    return sha1(text.encode(), usedforsecurity=False).hexdigest()  # what EVALSHA calls a script


def _quoted(text: str) -> str:
    """Write a text as Lua reads it; a prefix is plain, or it is refused here."""
    if not text.isascii() or not text.isprintable() or '"' in text or "\\" in text:
        raise ValueError(f"{text!r}: a key prefix is printable ASCII without quotes or backslashes")
    return f'"{text}"'


def _translated(error: ResponseError) -> Exception:
    """Turn a script's own refusal into ours: which argument, and why."""
    found = re.match(r"REFUSED (\S+): (.*)", str(error))
    return Refused(found[1], found[2]) if found else error
