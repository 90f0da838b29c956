"""What holds for every script, and for the way scripts are run."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as Cut
from redis.exceptions import OutOfMemoryError, ResponseError

from envelopes import Amounts, Refused, limits
from envelopes.keys import Keys
from envelopes.scripts import Call, Scripts, assemble, connect, raised
from orchestrator.embedded import EmbeddedServer
from orchestrator.lua import LUA
from orchestrator.store import Store
from tests.conftest import Fresh
from tests.worlds import (
    RealWorld,
    commit,
    fetch_one,
    message,
    outgoing,
    publish,
    settled,
    submission,
)
from workers import claims

FOLDERS = (LUA, claims.LUA)
SHARED = Path(assemble.__code__.co_filename).parent / "lua"
SCRIPTS = [path for folder in FOLDERS for path in sorted(folder.glob("[!_]*.lua"))]
FRAGMENTS = [path for folder in (*FOLDERS, SHARED) for path in sorted(folder.glob("_*.lua"))]

LUA_WORDS = re.findall(
    r"\w+",
    "and break do else elseif end false for function if in local nil not or repeat return then true"
    " until while unpack KEYS ARGV redis cmsgpack math string table tonumber ipairs pairs",
)


@pytest.fixture
def world(fresh: Fresh) -> RealWorld:
    return RealWorld(fresh)


def named(paths: list[Path]) -> dict[str, Path]:
    return {path.stem: path for path in paths}


# --- the files --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", named(SCRIPTS))
def test_every_script_says_what_it_takes_checks_and_answers(name: str) -> None:
    """Each begins with what it does, KEYS, ARGV and its reply."""
    head = named(SCRIPTS)[name].read_text().split("\nlocal")[0]
    assert head.startswith(f"-- {name.upper()}: ")
    for word in ("KEYS", "ARGV", "Reply"):
        assert re.search(rf"^-- {word} ", head, re.MULTILINE)


@pytest.mark.parametrize("name", named(SCRIPTS))
def test_every_script_is_taken_by_the_server(name: str, fresh: Fresh) -> None:
    fresh.client.script_load(assemble(named(SCRIPTS)[name], fresh.keys))


@pytest.mark.parametrize("name", named(SCRIPTS))
def test_no_script_leaks_a_global(name: str, fresh: Fresh) -> None:
    """A misspelt name is a global; the server would say so only on the path that uses it."""
    text = assemble(named(SCRIPTS)[name], fresh.keys)
    bare = re.sub(r"--[^\n]*|\"[^\"]*\"|'[^']*'", "", text)
    fields = re.findall(r"[{,]\s*([a-z_\d]+) =", bare)
    declared = re.findall(
        r"\blocal function (\w+)|\blocal ([\w, ]+)|\bfor ([\w, ]+?)(?: =| in)|\(([\w, ]*)\)\n", bare
    )
    known = {*LUA_WORDS, *fields, *re.findall(r"\w+", str(declared))}
    assert set(re.findall(r"(?<![\w.:])[a-zA-Z_]\w*", bare)) <= known


@pytest.mark.parametrize("name", named([*SCRIPTS, *FRAGMENTS]))
def test_no_script_spells_a_key_or_re_encodes_a_payload(name: str) -> None:
    """Names come from keys.py; cjson damages 2**53 and turns [] into {}."""
    text = named([*SCRIPTS, *FRAGMENTS])[name].read_text()
    assert "buckstop:" not in text
    assert "cjson" not in text


def test_every_fragment_is_needed_by_some_script() -> None:
    needed = {
        name.strip()
        for path in SCRIPTS
        for line in re.findall(r"^-- needs: (.+)$", path.read_text(), re.MULTILINE)
        for name in line.split(",")
    }
    assert needed == set(named(FRAGMENTS))


def test_workers_scripts_write_no_task() -> None:
    """Whoever may write a ledger may write it raw: workers have no write permission on task:*."""
    for path in claims.LUA.glob("*.lua"):
        text = path.read_text()
        assert re.findall(r"redis\.call\('([A-Z]+)', KEY\.task ", text) == (
            ["HMGET"] if path.stem == "report" else []
        )
        assert text.count("KEY.task") == (path.stem == "report")


def test_a_misspelt_name_is_found_when_the_script_is_read(tmp_path: Path) -> None:
    for wrong in ("KEY.dew", "LIMIT.BELS_MAX"):
        (tmp_path / "typo.lua").write_text(f"return redis.call('GET', {wrong})")
        with pytest.raises(LookupError, match=wrong):
            Scripts(connect("redis://127.0.0.1:1"), tmp_path, Keys())


def test_names_and_figures_are_filled_in(tmp_path: Path) -> None:
    (tmp_path / "one.lua").write_text("return {KEY.due, KEY.claim .. 't/1', LIMIT.BELLS_MAX}")
    text = assemble(tmp_path / "one.lua", Keys("p:"))
    assert text == f'return {{"p:due", "p:claim:" .. \'t/1\', {limits.BELLS_MAX}}}'


@pytest.mark.parametrize("prefix", ['"', "\\", "a\nb", "ä"])
def test_a_prefix_cannot_become_code(tmp_path: Path, prefix: str) -> None:
    (tmp_path / "one.lua").write_text("return KEY.due")
    with pytest.raises(ValueError, match="prefix"):
        assemble(tmp_path / "one.lua", Keys(prefix))


# --- running them -----------------------------------------------------------------------------


def test_a_script_the_server_forgot_is_loaded_again(fresh: Fresh) -> None:
    """EVALSHA with reload on NOSCRIPT."""
    kept = Store(fresh.client, fresh.keys)
    for number in range(2):
        fresh.client.script_flush()
        assert kept.submit(submission(f"t{number}")).created


def test_scripts_forgotten_inside_a_pipeline_run_once_each(fresh: Fresh) -> None:
    """Some known, some not: every call has its own reply, in its place."""
    kept = Store(fresh.client, fresh.keys)
    kept.submit(submission())
    fresh.client.script_flush()
    kept.load([("t1", None)])
    folder, keys = LUA, fresh.keys
    task, mail = keys.task("t1"), keys.mail("t1")
    calls: list[Call] = [
        ("load", [task, mail], [""]),
        ("post", [task, mail], ["t1", b"first", "p1"]),
        ("load", [keys.task("t2"), mail], [""]),
        ("post", [task, mail], ["t1", b"second", "p2"]),
        ("post", [keys.task("t2"), mail], ["t2", b"third", "p3"]),
    ]
    replies = Scripts(fresh.client, folder, keys).run_many(calls)
    assert replies[0][0] == b"1"
    assert replies[1:] == [1, None, 1, 0]
    assert fresh.client.lrange(mail, 0, -1) == [b"first", b"second"]
    assert Scripts(fresh.client, folder, keys).run_many([]) == []


def test_one_bad_call_does_not_spoil_a_batch(fresh: Fresh) -> None:
    """Threads share a pipeline; each gets its own answer or its own exception."""
    Store(fresh.client, fresh.keys).submit(submission())
    task, mail = fresh.keys.task("t1"), fresh.keys.mail("t1")
    fresh.client.set("no-list", "x")
    replies = Scripts(fresh.client, LUA, fresh.keys).run_many(
        [
            ("post", [task, mail], ["t1", b"letter", "not an op"]),
            ("post", [task, "no-list"], ["t1", b"letter", "p1"]),
            ("post", [task, mail], ["t1", b"letter", "p2"]),
        ]
    )
    assert isinstance(replies[0], Refused)
    assert replies[0].field == "op"
    assert isinstance(replies[1], ResponseError)
    assert not isinstance(replies[1], Refused)
    assert replies[2] == 1
    with pytest.raises(Refused, match="op: not a short name"):
        raised(replies)


def test_a_server_that_forgets_everything_is_not_asked_for_ever(
    fresh: Fresh, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts = Scripts(fresh.client, LUA, fresh.keys)
    monkeypatch.setattr(scripts, "_load", lambda _names: None)
    fresh.client.script_flush()
    args: list[str] = [""]
    with pytest.raises(Cut, match="forgetting"):
        scripts.run("load", ["a", "b"], args)
    with pytest.raises(Cut, match="forgetting"):
        scripts.run_many([("load", ["a", "b"], args)])


def test_scripts_come_back_after_a_restart_and_so_does_the_state(
    fresh: Fresh, server: EmbeddedServer
) -> None:
    """Redis SIGKILL and restart: state and messages roll back together, or not at all."""
    world = RealWorld(fresh)
    publish(world, 1, 2)
    server.kill()
    server.restart()
    again = connect(server.url)
    kept = Store(again, fresh.keys)
    [task] = kept.load([("t1", None)])
    assert task is not None
    assert task.version == 2
    assert kept.queue_depth("a") == 2
    worker = claims.Claims(Scripts(again, claims.LUA, fresh.keys), fresh.keys, "w")
    assert len(worker.fetch([fresh.keys.queue("a")], 10)[1]) == 2


def test_clients_notice_a_dead_connection() -> None:
    """With default settings a worker sat "alive" for 150 s without work."""
    for url in ("redis://127.0.0.1:1", "unix:///nowhere"):
        settings = connect(url).connection_pool.connection_kwargs
        assert settings["socket_timeout"] == settings["socket_connect_timeout"] == 5
        assert settings["health_check_interval"] == 5
        assert settings["retry"].get_retries() == limits.RETRIES_MAX
        assert not settings["decode_responses"]
    assert connect("redis://127.0.0.1:1").connection_pool.connection_kwargs["socket_keepalive"]


def test_a_wait_is_never_longer_than_the_socket_is_patient(
    fresh: Fresh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else waiting would look like a dead connection."""
    assert limits.WAIT_MS_MAX < 1000 * limits.SOCKET_TIMEOUT_S
    kept = Store(fresh.client, fresh.keys)
    assert not kept.wait(20)
    assert not kept.wait(0)
    kept.submit(submission())
    assert kept.wait(10_000)
    waited: list[float] = []
    monkeypatch.setattr(fresh.client, "blpop", lambda _keys, timeout: waited.append(timeout))
    assert not kept.wait(10_000)
    assert waited == [limits.WAIT_MS_MAX / 1000]


# --- replies that never come ------------------------------------------------------------------


def test_a_fetch_that_failed_is_repeated_by_the_next_one(
    world: RealWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not one message is lost with a reply, even where the client has given up retrying."""
    publish(world, 1, 2)
    world.push(world.keys.queue("a"), b"not ours")
    worker = world.worker("w")
    run = world._workers.run

    def cut(*call: object) -> None:
        run(*call)  # type: ignore[arg-type]
        raise Cut("after the effect")

    with monkeypatch.context() as broken:
        broken.setattr(world._workers, "run", cut)
        with pytest.raises(Cut):
            worker.fetch([world.keys.queue("a")], 10)
    assert world.store.queue_depth("a") == 0
    _, fetched = worker.fetch([world.keys.queue("b"), world.keys.queue("a")], 1)
    assert [one.state for one in fetched] == ["claimed", "claimed", "foreign"]
    assert {one.queue for one in fetched} == {world.keys.queue("a")}
    assert worker.fetch([world.keys.queue("a")], 10)[1] == []


def test_a_claim_that_failed_is_repeated_by_the_next_one(
    world: RealWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.store.submit(submission())
    run = world.store._scripts.run

    def cut(*call: object) -> None:
        run(*call)  # type: ignore[arg-type]
        raise Cut("after the effect")

    with monkeypatch.context() as broken:
        broken.setattr(world.store._scripts, "run", cut)
        with pytest.raises(Cut):
            world.store.claim(1)
    assert world.store.claim(1).task_ids == ["t1"]
    assert world.store.claim(1).task_ids == []


# --- a full server ----------------------------------------------------------------------------


@pytest.fixture
def full(world: RealWorld) -> Iterator[RealWorld]:
    """Give a world with one subtask running and one waiting, on a server without memory left."""
    publish(world, 1, 2)
    fetch_one(world)
    world.store.submit(submission("t2"))
    faulty = commit(1, "published", "t2", publish=(outgoing(world, 3, "b"),))
    assert world.store.commit([faulty]) == [True]
    world.store.look("t2", [], [3])
    ended = settled(3, agent="b", verdict="fault")
    assert world.store.commit([commit(2, "fault", "t2", settled=ended)]) == [True]
    world.client.config_set("maxmemory", 1)
    yield world
    world.client.config_set("maxmemory", 0)


def test_a_full_server_pops_no_message_that_it_cannot_record(full: RealWorld) -> None:
    """Redis full: popping is still allowed while writes are refused, so Kombu loses messages."""
    before = full.snapshot()
    worker = full.worker("w")
    with pytest.raises(OutOfMemoryError):
        worker.fetch([full.keys.queue("a")], 10)
    assert full.snapshot() == before
    full.client.config_set("maxmemory", 0)
    assert [one.state for one in worker.fetch([full.keys.queue("a")], 10)[1]] == ["claimed"]


def test_a_full_server_refuses_every_script_as_a_whole(full: RealWorld) -> None:
    """There is no rollback: commands that only remove are allowed, so none may come first."""
    token = full.client.hget(full.keys.claim("t1/1"), "token").decode()
    queue, worker = full.keys.queue("a"), full.worker("w")
    ended = [("c1", Amounts())]
    calls: list[Callable[[], object]] = [
        lambda: full.store.submit(submission("t9", key="k")),
        lambda: full.store.look("t1", [], [1]),
        lambda: full.store.post("t1", b"letter", "p1"),
        lambda: full.store.commit(
            [commit(2, "op2", dropped=("s:a",), settled=settled(9), publish=(outgoing(full, 3),))]
        ),
        lambda: full.store.commit([commit(2, "op2", outcome="aborted")]),
        lambda: full.store.set_cap("agent", "a", 1),
        lambda: full.store.set_cap("tenant", "default", None),
        lambda: full.store.reset_breaker("b"),
        lambda: worker.hand_back("t1/1", token, queue, b"raw"),
        lambda: worker.charge("t1/1", token, "c1", Amounts(1, 1, 1), []),
        lambda: worker.report("t1/1", token, ended, b"{}"),
        lambda: worker.beat([("t1/1", token)], "{}"),
        lambda: worker.register({"a": {}}),
        lambda: worker.quarantine("r", "k", queue, b"raw", "w", ("t1/1", token)),
    ]
    before = full.snapshot()
    for call in calls:
        with pytest.raises(OutOfMemoryError):
            call()
        assert full.snapshot() == before


# --- sizes ---------------------------------------------------------------------------------------


def test_a_fetch_reads_the_header_behind_a_large_body(world: RealWorld) -> None:
    """The body comes first in the message; it is base64, so the search runs through it fast."""
    raw = message("t1", 1).replace(b"QUJD", b"QUJD" * 50_000)
    publish(world, 1, message=raw)
    fetched = fetch_one(world)
    assert (fetched.state, fetched.raw) == ("claimed", raw)


# --- what is forgotten ---------------------------------------------------------------------------


def test_a_worker_that_fell_silent_is_forgotten_in_the_end(world: RealWorld) -> None:
    """Its record goes after a few beats, its name stays long enough to ask what died."""
    world.worker("silent").beat([], '{"pid":1}')
    record = world.keys.worker("silent")
    assert world.client.get(record) == b'{"pid":1}'
    assert 0 < world.client.pttl(record) <= limits.WORKER_TTL_MS
    world.pass_time(limits.WORKERS_KEPT_MS // 2)
    world.worker("other").beat([], "{}")
    assert world.client.zrange(world.keys.workers, 0, -1) == [b"silent", b"other"]
    world.pass_time(limits.WORKERS_KEPT_MS // 2)
    world.worker("other").beat([], "{}")
    assert world.client.zrange(world.keys.workers, 0, -1) == [b"other"]


OPEN_INDEXES = (":stage:open", ":tenant:default", ":stage:open|tenant:default")


def test_the_indexes_of_tasks_do_not_grow_for_ever(world: RealWorld) -> None:
    """What has expired is forgotten in all of them, and nothing else is."""
    for number in range(4):
        world.store.submit(submission(f"t{number}"))
    for number in range(4):
        world.store.commit([commit(1, "end", f"t{number}", outcome="aborted")])
    world.store.submit(submission("t9"))
    assert world.store.prune_tasks() == 0
    world.pass_time(60_000)
    assert world.store.prune_tasks() == 4
    left = {f"{world.keys.prefix}tasks{which}".encode() for which in ("", *OPEN_INDEXES)}
    assert set(world.client.scan_iter(f"{world.keys.prefix}tasks*")) == left
    assert all(world.client.zrange(index, 0, -1) == [b"t9"] for index in left)
    assert not world.client.exists(world.keys.expiring)
    assert world.store.prune_tasks() == 0


def test_an_idempotency_key_is_kept_as_long_as_its_task(world: RealWorld) -> None:
    world.store.submit(submission(key="k"))
    idem, task = world.keys.idempotency("default", "k"), world.keys.task("t1")
    assert world.client.pttl(idem) == world.client.pttl(task) == -1
    world.store.commit([commit(1, "end", outcome="aborted", retention_ms=5_000)])
    assert 0 < world.client.pttl(idem) <= 5_000
    assert 0 < world.client.pttl(task) <= 5_000


def test_what_was_handed_out_is_not_kept_for_ever(world: RealWorld) -> None:
    publish(world, 1)
    world.store.post("t1", b"letter", "p1")
    world.store.claim(1)
    fetch_one(world)
    kept = world.client.keys(world.keys.last("*"))
    assert len(kept) == 2
    assert all(0 < world.client.pttl(key) <= limits.REPLY_KEPT_MS for key in kept)
