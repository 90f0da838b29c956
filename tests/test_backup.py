"""Everything is copied while it runs, and comes back to life as of that moment."""

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from envelopes.keys import Keys
from envelopes.scripts import connect
from orchestrator import intake
from orchestrator.backup import BackupError, restore, take
from orchestrator.doctor import Deployment, examine
from orchestrator.embedded import EmbeddedServer
from orchestrator.sim.auditor import audit
from orchestrator.store import Store
from tests.collector import collect
from tests.fleet import Fleet, ended
from tests.pages import block, commands
from tests.reader import sh
from tests.test_chaos import AGENTS, request
from tests.until import until

PAGE = "docs/how-to/backup.md"
KEYS = Keys("backup:")
BEFORE, AFTER = 20, 8
DRAIN_S = 100


@pytest.fixture
def source(tmp_path: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(tmp_path / "source") as server:
        yield server


@pytest.mark.parametrize("diskless", ["yes", "no"])
def test_a_snapshot_comes_back_to_life_with_an_append_only_file(
    source: EmbeddedServer, tmp_path: Path, diskless: str
) -> None:
    """A server with an append-only file ignores a snapshot beside it: restore writes that file."""
    large = os.urandom(3_000_000)
    with Redis.from_url(source.url) as client:
        client.config_set("repl-diskless-sync", diskless)
        client.config_set("repl-diskless-sync-delay", 0)
        client.mset({"small": "1", "large": large})
        size = take(client, tmp_path / "copy.rdb")
        assert client.ping(), "the connection was given back, and others work on"
    assert size == (tmp_path / "copy.rdb").stat().st_size > len(large)
    assert (tmp_path / "copy.rdb").stat().st_mode & 0o077 == 0
    (tmp_path / "new").mkdir(mode=0o755)
    assert restore(tmp_path / "copy.rdb", tmp_path / "new") == 2
    made = [tmp_path / "new", *(tmp_path / "new").rglob("*")]
    assert [each for each in made if each.stat().st_mode & 0o077] == [], "nobody else reads it"
    with EmbeddedServer(tmp_path / "new") as server, Redis.from_url(server.url) as client:
        assert client.get("large") == large
        assert client.config_get("appendonly")["appendonly"] == "yes"
        client.set("more", "1")
        server.kill()
        server.restart()
        assert client.dbsize() == 3, "it is durable from then on"


def test_what_is_no_snapshot_and_what_is_not_empty_is_refused(
    source: EmbeddedServer, tmp_path: Path
) -> None:
    """Error texts name the fix; half a snapshot is none."""
    (tmp_path / "text").write_text("hello")
    with pytest.raises(BackupError, match="is no snapshot"):
        restore(tmp_path / "text", tmp_path / "new")
    with Redis.from_url(source.url) as client:
        client.config_set("repl-diskless-sync-delay", 0)
        take(client, tmp_path / "copy.rdb")
        client.acl_setuser("plain", enabled=True, nopass=True, keys="*", categories=["+@read"])
    whole = (tmp_path / "copy.rdb").read_bytes()
    (tmp_path / "cut").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BackupError, match="it is cut short"):
        restore(tmp_path / "cut", tmp_path / "new")
    assert not (tmp_path / "new").exists()
    with pytest.raises(BackupError, match="name a directory that is new"):
        restore(tmp_path / "copy.rdb", source.directory)
    with (
        Redis(port=source.port, username="plain", password="") as plain,
        pytest.raises(BackupError, match="a user who may SYNC, such as admin"),
    ):
        take(plain, tmp_path / "other.rdb")
    assert sorted(each.name for each in tmp_path.glob("*.rdb*")) == ["copy.rdb"]


@pytest.mark.timeout(300)
def test_all_tasks_of_a_backup_end_once_after_a_restore_under_running_orchestrators(
    tmp_path: Path, source: EmbeddedServer
) -> None:
    """The issue: "backup and restore of a running system described and tested".

    Orchestrators live through it: what they remember is of a future that did not happen.
    """
    rng = random.Random(5)
    fleet = Fleet(tmp_path, source.url, KEYS.prefix, "tests.chaos_agents")
    client = connect(source.url)
    store = Store(client, KEYS)
    client.config_set("repl-diskless-sync-delay", 0)
    try:
        fleet.orchestrator("orchestrator-1")
        fleet.orchestrator("orchestrator-2")
        fleet.worker("threads-1")
        until("agents are registered", lambda: len(store.agents()) == AGENTS, 60)
        kept = [store.submit(intake.submission(request(rng))).task_id for _ in range(BEFORE)]
        until("it is under load", lambda: ended(store) >= BEFORE // 5, DRAIN_S)
        take(client, tmp_path / "copy.rdb")
        at_backup = ended(store)
        lost = [store.submit(intake.submission(request(rng))).task_id for _ in range(AFTER)]
        until("it goes on", lambda: ended(store) >= at_backup + 5, DRAIN_S)
        fleet.end("threads-1")
        put_back(source, tmp_path)
        fleet.effects.write_text("")
        assert [store.task(task) for task in lost] == [None] * AFTER, "as if never said"
        fleet.worker("threads-2")
        until("every task of the backup ends", lambda: ended(store) == BEFORE, DRAIN_S)
        until("nothing is left", lambda: not list(client.scan_iter(KEYS.claim("*"))))
        verdict = audit(collect(client, KEYS, kept, fleet.effects))
        broken = [
            str(one) for one in examine(Deployment.of(client, KEYS)) if one.verdict == "fault"
        ]
        said = fleet.log("orchestrator-1") + fleet.log("orchestrator-2")
    finally:
        fleet.stop()
        client.close()
    assert not verdict.violations, "\n".join(verdict.violations)
    assert broken == []
    assert "a decision failed" not in said


def put_back(server: EmbeddedServer, folder: Path) -> None:
    """Kill a server and let it go on from the snapshot, under the same address."""
    server.kill()
    restore(folder / "copy.rdb", folder / "new")
    shutil.rmtree(server.directory / "appendonlydir")
    (folder / "new" / "appendonlydir").rename(server.directory / "appendonlydir")
    server.restart()


def test_the_commands_do_it_as_the_page_says(source: EmbeddedServer, tmp_path: Path) -> None:
    """docs/how-to/backup.md, as pasted."""
    with Redis.from_url(source.url) as client:
        client.config_set("repl-diskless-sync-delay", 0)
        client.set("buckstop:x", 1)
    there = commands(block(PAGE, "$ buckstop backup"))
    there_and_back = [*there, *commands(block(PAGE, "$ buckstop restore"))]
    assert "restored: 1 key;" in sh(there_and_back, tmp_path, BUCKSTOP_URL=source.url)
