"""What can be wrong with the server and its users: broken for real, and told with the fix."""

import os
import re
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from envelopes.keys import Keys
from orchestrator.checks import Verdict
from orchestrator.doctor import Deployment, examine, fit, rights
from orchestrator.embedded import EmbeddedServer
from tests.ward import KEY, Ward

ROOT = Path(__file__).parents[1]
ACL = ROOT / "deploy/redis/users.acl"


# --- the server ----------------------------------------------------------------------------------


def test_what_the_check_command_finds_is_found_here_too(ward: Ward) -> None:
    """Redis full, wrong policy, no AOF: "refuse new work with the fix named"."""
    ward.client.config_set("maxmemory-policy", "allkeys-lru")
    found = ward.finding("maxmemory-policy")
    assert found.verdict is Verdict.REFUSED
    assert found.fix == "CONFIG SET maxmemory-policy noeviction"
    assert ward.examine()[0] == found, "the worst comes first"


def test_writes_that_need_replicas_and_have_none_are_found(ward: Ward) -> None:
    """A server that turns every write down says why."""
    ward.client.config_set("min-replicas-to-write", 1)
    try:
        found = ward.finding("replicas")
    finally:
        ward.client.config_set("min-replicas-to-write", 0)
    assert found.verdict is Verdict.REFUSED
    assert "CONFIG SET min-replicas-to-write 0" in found.fix


def rewriting(client: Redis) -> bool:
    info = client.info("persistence")
    return bool(info["aof_rewrite_in_progress"] or info["aof_rewrite_scheduled"])


def test_a_failed_rewrite_is_found(tmp_path: Path) -> None:
    """The append-only file that cannot be made small fills the disk one day."""
    with EmbeddedServer(tmp_path / "s") as server, Redis.from_url(server.url) as client:
        client.set("large", os.urandom(1_000_000))
        unlimited = resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (65_536, -1))
        client.bgrewriteaof()
        while rewriting(client):
            client.ping()
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, unlimited)
        deployment = Deployment.of(client, Keys())
        [found] = [one for one in examine(deployment) if one.check == "rewrite"]
    assert found.verdict is Verdict.FAULT
    assert "BGREWRITEAOF" in found.fix


def test_a_worker_whose_clock_is_wrong_is_named(ward: Ward) -> None:
    """Clock ±2 h on any process: "no effect", and somebody is told."""
    seconds, _ = ward.client.time()
    ward.worker("late", "a", at_ms=(seconds - 7200) * 1000)
    found = ward.finding("clock")
    assert found.verdict is Verdict.NOTE
    assert "worker late" in found.found
    assert "behind" in found.found
    assert fit(ward.examine())


# --- rights --------------------------------------------------------------------------------------


def rules() -> dict[str, list[str]]:
    """Read deploy/redis/users.acl: the words of each user."""
    lines = [line for line in ACL.read_text().splitlines() if line and line[0] != "#"]
    users: dict[str, list[str]] = {}
    for line in lines:
        words = line.split()
        if words[0] == "user":
            mine = users[words[1]] = words[2:]
        else:
            mine += words
    return users


def admitted(client: Redis, prefix: str, role: str, words: list[str]) -> None:
    own = [word.replace("buckstop:", prefix) for word in words]
    client.execute_command("ACL", "SETUSER", role, "reset", "on", "nopass", *own)


@pytest.fixture
def users(ward: Ward) -> Iterator[Ward]:
    """Make the roles' users as they are deployed."""
    for role in rights.ROLES:
        admitted(ward.client, ward.keys.prefix, role, rules()[role])
    yield ward
    for role in rights.ROLES:
        ward.client.acl_deluser(role)


def as_user(ward: Ward, server: EmbeddedServer, role: str) -> Deployment:
    client = Redis(port=server.port, username=role, password="")
    return Deployment.of(client, ward.keys, role, KEY)


@pytest.mark.parametrize("role", rights.ROLES)
def test_the_deployed_rights_are_enough_for_their_role(
    users: Ward, server: EmbeddedServer, role: str
) -> None:
    """deploy/redis/users.acl: "Each user has only what its processes need"."""
    deployment = as_user(users, server, role)
    found = examine(deployment)
    assert [one.verdict for one in found if one.check == "rights"] == [Verdict.GOOD], found
    unseen = {one.check for one in found if one.verdict is Verdict.UNKNOWN}
    assert "default user" in unseen, "it may not look at users, and says so"
    assert [one.verdict for one in users.examine() if one.check == "roles"] == [Verdict.GOOD] * 3
    deployment.client.close()


def keys_of(role: str) -> list[str]:
    """Name every key pattern of ours that a role is given."""
    return [word for word in rules()[role] if re.match(r"(~|%R~)buckstop:\w", word)]


@pytest.mark.parametrize("role", rights.ROLES)
def test_each_right_that_is_missing_is_found(users: Ward, role: str) -> None:
    """The rights of a user against what its role needs: none can be forgotten."""
    deployment = Deployment.of(users.client, users.keys)
    for pattern in keys_of(role):
        left = [word for word in rules()[role] if word not in {pattern, "%R~buckstop:*"}]
        admitted(users.client, users.keys.prefix, role, left)
        found = [one for one in rights.of_all_roles(deployment) if role in one.found]
        assert [one.verdict for one in found] == [Verdict.FAULT], pattern
        assert f"the rights of {role}" in found[0].fix


def test_a_user_that_lacks_a_right_is_told_which(users: Ward, server: EmbeddedServer) -> None:
    """The present user: what it may not do is named by command and key."""
    left = [word for word in rules()["front"] if "caps" not in word]
    admitted(users.client, users.keys.prefix, "front", left)
    deployment = as_user(users, server, "front")
    [found] = [one for one in examine(deployment) if one.check == "rights"]
    assert found.verdict is Verdict.FAULT
    assert f"HDEL {users.keys.caps}" in found.found
    deployment.client.close()


def test_looking_at_rights_changes_nothing(ward: Ward) -> None:
    """A doctor does no harm: the probes are commands without effect."""
    ward.submit()
    ward.client.execute_command("ACL", "SETUSER", "worker", "on", "nopass", "~*", "+@all")
    before = {key: ward.client.dump(key) for key in ward.client.keys(f"{ward.keys.prefix}*")}
    ward.examine()
    after = {key: ward.client.dump(key) for key in ward.client.keys(f"{ward.keys.prefix}*")}
    ward.client.acl_deluser("worker")
    assert after == before


@pytest.mark.parametrize(
    ("version", "verdict"), [("7.0.15", Verdict.REFUSED), ("7.2.4", Verdict.NOTE)]
)
def test_the_trap_of_the_default_user_is_told(
    tmp_path: Path, version: str, verdict: Verdict
) -> None:
    """Redis 7.0 "reads its append-only file as the user `default`"; the named fix heals it."""
    with EmbeddedServer(tmp_path / "s") as server, Redis.from_url(server.url) as client:
        client.execute_command("ACL", "SETUSER", "admin", "on", "nopass", "~*", "&*", "+@all")
        client.execute_command("ACL", "SETUSER", "default", "resetkeys", "-@all")
        with Redis(port=server.port, username="admin", password="") as admin:
            trapped = admin.execute_command("ACL", "GETUSER", "default")
            found = rights.default_user(trapped, version)
            assert found.verdict is verdict
            [seen] = [
                one for one in examine(Deployment.of(admin, Keys())) if one.check == found.check
            ]
            assert seen.verdict is Verdict.NOTE, "this one is no Redis 7.0"
            admin.execute_command(*found.fix.partition(" (")[0].split())
            healed = admin.execute_command("ACL", "GETUSER", "default")
            assert rights.default_user(healed, version).verdict is Verdict.GOOD
            admin.execute_command("ACL", "SETUSER", "default", "on")
