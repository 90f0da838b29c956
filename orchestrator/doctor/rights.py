"""What users of the server may do, against what their roles need.

A role's needs are data below: which keys it writes, and which it reads besides. Each need is tried
by a command that changes nothing even where it is allowed (an absent member is taken out, a list is
trimmed to all of itself). The user who asks tries for itself; whoever may use ACL DRYRUN sees the
other roles' users too.

deploy/redis/users.acl gives each role just this; a test holds both against each other.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from redis.exceptions import NoPermissionError, ResponseError

from envelopes.keys import Keys
from orchestrator.checks import Finding, Verdict
from orchestrator.doctor.deployment import Deployment

Command = tuple[str | bytes | int, ...]
_NOBODY: Final = "doctor"
"""Stands for any name in a key, and for a member that no key has."""
_WITHOUT_EFFECT: Final[Mapping[str, tuple[str, tuple[str | int, ...]]]] = {
    "hash": ("HDEL", (_NOBODY,)),
    "list": ("LTRIM", (0, -1)),
    "zset": ("ZREM", (_NOBODY,)),
    "set": ("SREM", (_NOBODY,)),
    "stream": ("XDEL", ("0-1",)),
    "string": ("GETEX", ()),
}
"""A write of each type that changes nothing."""
_TYPES: Final = {
    "hash": "task claim last inflight breakers turns atwork letter letter_facets spend stats "
    "submissions_held agents caps tokens wait subscriptions disabled failing courier delivery "
    "cause declared_caps",
    "list": "submissions mail journal bell queue queue_bell calibration dead_letters delivered",
    "zset": "due lanes room called waiting letters letters_by discards tasks tasks_by expiring "
    "workers deliveries outbox sending",
    "set": "letter_values",
    "stream": "news",
    "string": "serving speaks arrivals idempotency worker rate failed session code",
}
_TYPE_OF: Final = {name: kind for kind, names in _TYPES.items() for name in names.split()}
_DESK: Final = "letter letters letters_by letter_values letter_facets discards dead_letters news"
_WRITES: Final[Mapping[str, str]] = {
    "orchestrator": "task mail journal claim last due bell queue queue_bell serving lanes inflight "
    "breakers room turns called atwork waiting calibration spend idempotency tasks tasks_by "
    f"expiring stats arrivals speaks submissions submissions_held {_DESK}",
    "worker": "speaks mail claim last due bell queue queue_bell lanes agents declared_caps workers "
    f"worker stats {_DESK}",
    "front": "task mail journal due bell queue queue_bell lanes idempotency tasks tasks_by waiting "
    "atwork arrivals caps breakers room turns called stats last tokens rate failed session code "
    "wait subscriptions disabled failing courier deliveries outbox sending delivered delivery "
    f"cause {_DESK}",
}
_READS: Final[Mapping[str, str]] = {
    "orchestrator": "agents caps declared_caps workers",
    "worker": "task",
    "front": "claim agents workers worker spend calibration inflight",
}
ROLES: Final = tuple(_WRITES)
"""Whose needs are known; "front" is also whoever gives commands."""


def needs(role: str, keys: Keys) -> list[Command]:
    """Return a harmless command for everything that a role must be able to do."""
    writes = [_write(name, keys) for name in _WRITES[role].split()]
    reads: list[Command] = [("EXISTS", _key(name, keys)) for name in _READS[role].split()]
    return [*writes, *reads, ("TIME",), ("INFO", "server")]


def of_this_user(d: Deployment) -> Iterator[Finding]:
    """Try what the present user needs."""
    missing = [each for each in needs(d.role, d.keys) if not _allowed(d.client, each)]
    yield _judged("rights", "this user", d.role, missing)


def of_all_roles(d: Deployment) -> Iterator[Finding]:
    """Ask for each role's user whether it may do what it needs, where we may ask."""
    try:
        users = {name.decode() for name in d.client.execute_command("ACL", "USERS")}
    except ResponseError as error:
        why = f"the server does not let us ask for others ({error})"
        yield Finding("roles", Verdict.UNKNOWN, why, "buckstop doctor as the user admin")
        return
    there = [role for role in ROLES if role in users]
    for role in there:
        missing = [each for each in needs(role, d.keys) if not _would_be(d.client, role, each)]
        yield _judged("roles", f"the user {role}", role, missing)
    if not there:
        yield Finding("roles", Verdict.GOOD, "no user is made for one role only")


def of_the_default_user(d: Deployment) -> Iterator[Finding]:
    """Look for the trap: Redis 7.0 reads its append-only file with this user's rights."""
    try:
        flat = d.client.execute_command("ACL", "GETUSER", "default")
    except ResponseError as error:
        why = f"the server does not let us look at its user default ({error})"
        yield Finding("default user", Verdict.UNKNOWN, why, "buckstop doctor as the user admin")
        return
    info = d.client.info("server")
    version = str(info.get("redis_version", "")) if info.get("server_name") != "valkey" else ""
    yield default_user(flat, version)


def default_user(flat: Any, version: str) -> Finding:
    """Judge the user default by its record; the version is empty for a Valkey."""
    pairs = flat.items() if isinstance(flat, Mapping) else zip(flat[::2], flat[1::2], strict=True)
    found = {_text(name): value for name, value in pairs}
    commands, keys = _text(found["commands"]), _text(found["keys"])
    if commands == "+@all" and "~*" in keys:
        return Finding("default user", Verdict.GOOD, "it has the rights to read what was written")
    trap = version.startswith("7.0.")
    return Finding(
        "default user",
        Verdict.REFUSED if trap else Verdict.NOTE,
        "the user default has not every right; Redis 7.0 reads its append-only file as this user, "
        "and leaves out at the next start what it may not do: accepted tasks would be gone"
        + ("" if trap else ". This server is another version, so nothing is lost here"),
        "ACL SETUSER default off ~* &* +@all (off is safe: nobody can log in as it), then ACL SAVE",
    )


def _judged(check: str, who: str, role: str, missing: Sequence[Command]) -> Finding:
    if not missing:
        return Finding(check, Verdict.GOOD, f"{who} may do all that {role} needs")
    first = " ".join(_text(part) for part in missing[0][:2])
    more = f", and {len(missing) - 1} more" if missing[1:] else ""
    return Finding(
        check,
        Verdict.FAULT,
        f"{who} may not do what {role} needs: {first}{more}",
        f"give it the rights of {role} in deploy/redis/users.acl, then: ACL LOAD",
    )


def _write(name: str, keys: Keys) -> Command:
    command, more = _WITHOUT_EFFECT[_TYPE_OF[name]]
    return (command, _key(name, keys), *more)


def _key(name: str, keys: Keys) -> str:
    if name == "idempotency":
        return keys.idempotency(_NOBODY, _NOBODY)
    found = getattr(keys, name)
    return str(found(_NOBODY) if callable(found) else found)


def _allowed(client: Any, command: Command) -> bool:
    try:
        client.execute_command(*command)
    except NoPermissionError:
        return False
    except ResponseError:
        return True  # allowed, and refused for another reason: another check speaks of that
    return True


def _would_be(client: Any, user: str, command: Command) -> bool:
    said = client.execute_command("ACL", "DRYRUN", user, *command)
    return _text(said) == "OK"


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " ".join(map(_text, value))
    return value.decode() if isinstance(value, bytes) else str(value)
