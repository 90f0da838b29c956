"""The users of deploy/redis/users.acl, on a server of the tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import Fresh

_ACL = Path(__file__).parents[1] / "deploy" / "redis" / "users.acl"


def rules() -> dict[str, list[str]]:
    """Return each user's rules, as start.sh hands them to the server."""
    found: dict[str, list[str]] = {}
    for line in _ACL.read_text().splitlines():
        words = line.split()
        if words[:1] == ["user"]:
            found[words[1]] = words[2:]
        elif words and not line.startswith("#"):
            found[list(found)[-1]] += words
    return found


@contextmanager
def as_user(fresh: Fresh, name: str) -> Iterator[str]:
    """Let a user of the deployment exist for a while; give the URL with which it connects."""
    fresh.client.execute_command("ACL", "SETUSER", name, "reset", ">secret", *rules()[name])
    address = fresh.url.rpartition("@")[2]
    yield f"redis://{name}:secret@{address}"
    fresh.client.execute_command("ACL", "DELUSER", name)
