"""A server that cannot keep promises is refused, with the fix named; then the fix works."""

from collections.abc import Callable, Iterator

import pytest
from redis import Redis

from envelopes import PlanDone, limits
from envelopes.decision import Decision, Verb
from envelopes.seal import Signer
from orchestrator import checks
from orchestrator.checks import Finding, Unfit, Verdict, inspect, require_fit, require_room
from orchestrator.client import Buckstop
from orchestrator.embedded import EmbeddedServer
from orchestrator.serve import Orchestrator
from orchestrator.settings import Settings
from orchestrator.store import Store
from orchestrator.wanted import Wanted
from orchestrator.wire import Wire
from tests.conftest import Fresh
from tests.hands import Hand


@pytest.fixture
def settings(client: Redis) -> Iterator[Redis]:
    """Hand out a client whose server settings are put back afterwards."""
    names = ("appendonly", "appendfsync", "maxmemory", "maxmemory-policy")
    before = {name: client.config_get(name)[name] or "" for name in names}
    yield client
    for name, value in before.items():
        client.config_set(name, value)


def finding(client: Redis, check: str) -> Finding:
    [found] = [one for one in inspect(client) if one.check == check]
    return found


def test_the_embedded_server_passes_every_check(client: Redis) -> None:
    """Embedded server: AOF on, `always`, `noeviction`."""
    assert {one.verdict for one in inspect(client)} == {Verdict.GOOD}
    assert require_fit(client) == ()


@pytest.mark.parametrize(
    ("name", "bad", "check"),
    [
        ("appendonly", "no", "appendonly"),
        ("appendfsync", "no", "appendfsync"),
        ("maxmemory-policy", "allkeys-lru", "maxmemory-policy"),
        ("maxmemory-policy", "volatile-ttl", "maxmemory-policy"),
    ],
)
def test_a_wrong_setting_is_refused_and_the_named_fix_heals_it(
    settings: Redis, name: str, bad: str, check: str
) -> None:
    """Start-up checks: "clear refusal with the fix named"."""
    settings.config_set(name, bad)
    with pytest.raises(Unfit) as refused:
        require_fit(settings)
    [found] = refused.value.findings
    assert found.check == check
    assert found.fix in str(refused.value)
    command = found.fix.partition(" (")[0].split()
    assert command[:2] == ["CONFIG", "SET"]
    settings.config_set(command[2], command[3])
    require_fit(settings)


def test_everysec_is_allowed_and_noted(settings: Redis) -> None:
    """Durability: "`everysec` is a documented choice"."""
    settings.config_set("appendfsync", "everysec")
    [note] = require_fit(settings)
    assert note.verdict is Verdict.NOTE
    assert "last second" in note.found


def memory_used(client: Redis) -> int:
    """Fill some memory, of which what connections come and go with is little; return how much."""
    client.set("ballast", bytes(20_000_000))
    return int(client.info("memory")["used_memory"])


def test_new_work_is_refused_while_memory_is_nearly_full(settings: Redis) -> None:
    """Redis full: "Refuse new work early"; it heals when there is room again."""
    used = memory_used(settings)
    settings.config_set("maxmemory", int(used * 4))
    require_room(settings)
    settings.config_set("maxmemory", int(used * 1.05))
    with pytest.raises(Unfit, match="CONFIG SET maxmemory"):
        require_room(settings)
    settings.config_set("maxmemory", 0)
    require_room(settings)


def test_without_config_rights_it_says_what_it_could_not_see(
    server: EmbeddedServer, client: Redis
) -> None:
    """CONFIG may be forbidden: most stands in INFO; the rest is reported as not checked."""
    client.acl_setuser(
        "plain", enabled=True, passwords="+pw", keys="*", categories=["+@all"], commands=["-config"]
    )
    with Redis(host="127.0.0.1", port=server.port, username="plain", password="pw") as plain:
        [unknown] = require_fit(plain)
        assert (unknown.check, unknown.verdict) == ("appendfsync", Verdict.UNKNOWN)
        assert "should be always" in unknown.found
        client.config_set("maxmemory-policy", "allkeys-lru")
        with pytest.raises(Unfit, match="maxmemory-policy"):
            require_fit(plain)
    client.acl_deluser("plain")


def test_without_info_rights_it_says_that_nothing_was_checked(
    server: EmbeddedServer, client: Redis
) -> None:
    """What could not be checked is said, and is no reason to stop."""
    client.acl_setuser(
        "blind",
        enabled=True,
        passwords="+pw",
        keys="*",
        categories=["+@all"],
        commands=["-info", "-config"],
    )
    with Redis(host="127.0.0.1", port=server.port, username="blind", password="pw") as blind:
        [unknown] = require_fit(blind)
        assert "nothing could be checked" in unknown.found
        require_room(blind)
    client.acl_deluser("blind")


@pytest.mark.parametrize(
    ("info", "check", "says"),
    [
        ({"redis_version": "6.0.16"}, checks._version, "run Redis 6.2"),
        ({"redis_version": "5.0"}, checks._version, "too old"),
        ({"cluster_enabled": 1}, checks._alone, "without cluster mode"),
        (
            {"role": "slave", "master_host": "10.0.0.1", "master_port": 6379},
            checks._alone,
            "10.0.0.1:6379",
        ),
        ({"aof_last_write_status": "err"}, checks._last_write, "free space"),
    ],
)
def test_a_server_that_we_cannot_start_here_is_judged_by_what_it_says(
    info: dict[str, object], check: "checks.Check", says: str
) -> None:
    """Redis too old, a cluster, a replica, a full disk: refused with the fix named."""
    found = check(info)
    assert found.verdict is Verdict.REFUSED
    assert says in str(found)


@pytest.mark.parametrize("version", ["6.2.0", "7.0.15", "7.2.4", "10.0"])
def test_newer_servers_are_good(version: str) -> None:
    """Redis 6.2 and newer, and Valkey."""
    assert checks._version({"redis_version": version}).verdict is Verdict.GOOD


def test_an_orchestrator_waits_until_the_advice_is_followed(
    settings: Redis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Wrong eviction policy, no AOF, server away: "refuse ... with the fix named; heals"."""
    settings.config_set("maxmemory-policy", "allkeys-lru")
    pauses: list[float] = []

    def somebody_follows_the_advice(pause_s: float) -> None:
        pauses.append(pause_s)
        if len(pauses) == 3:
            settings.config_set("maxmemory-policy", "noeviction")

    monkeypatch.setattr("orchestrator.checks.time.sleep", somebody_follows_the_advice)
    checks.wait_until_fit(settings)
    assert pauses == [0.1, 0.2, 0.5]
    assert "CONFIG SET maxmemory-policy noeviction" in caplog.records[0].__dict__["why"]


def test_an_orchestrator_waits_for_a_server_that_is_away(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Redis unreachable: "progress after return"."""

    class EnoughError(Exception):
        pass

    def enough(pause_s: float) -> None:
        raise EnoughError

    monkeypatch.setattr("orchestrator.checks.time.sleep", enough)
    with Redis(port=1, socket_connect_timeout=1) as nobody, pytest.raises(EnoughError):
        checks.wait_until_fit(nobody)
    assert "cannot be reached" in caplog.records[0].__dict__["why"]


def test_short_memory_does_not_keep_an_orchestrator_from_ending_work(settings: Redis) -> None:
    """Redis full: "nothing accepted is lost": ending work is what makes room."""
    settings.config_set("maxmemory", int(memory_used(settings) * 1.05))
    with pytest.raises(Unfit):
        require_fit(settings)
    checks.wait_until_fit(settings)


# --- the desk ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("letters", "verdict"),
    [
        (0, Verdict.GOOD),
        (limits.LETTERS_WARN - 1, Verdict.GOOD),
        (limits.LETTERS_WARN, Verdict.NOTE),
        (limits.LETTERS_MAX - 1, Verdict.NOTE),
        (limits.LETTERS_MAX, Verdict.REFUSED),
    ],
)
def test_the_desk_is_bounded_with_an_alarm_long_before(letters: int, verdict: Verdict) -> None:
    """The issue: "Bounded in number with an alarm long before the bound"."""
    finding = checks.desk(letters)
    assert finding.verdict is verdict
    assert (verdict is Verdict.GOOD) != ("buckstop letters" in finding.fix)


@pytest.fixture
def small_desk(fresh: Fresh, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Make the desk hold four letters; the call files so many more."""
    monkeypatch.setattr(checks, "LETTERS_MAX", 4)
    monkeypatch.setattr(checks, "LETTERS_WARN", 2)
    claims = Hand(fresh.client, fresh.keys, "a").claims
    said = ("unsigned", "forged", fresh.keys.queue("a"), b"raw", "not signed", None)
    return lambda count: [claims.quarantine(*said) for _ in range(count)] and None


def test_new_work_is_refused_while_the_desk_is_full(
    fresh: Fresh, small_desk: Callable[[int], None]
) -> None:
    """Intake refuses at the bound, and takes work again once somebody has decided."""
    small_desk(3)
    settings = Settings.read({"BUCKSTOP_URL": fresh.url, "BUCKSTOP_PREFIX": fresh.keys.prefix})
    with Buckstop(settings=settings) as buckstop:
        asked = {"agent": "a", "budget": {"calls": 1}, "timeout": 60, "until": PlanDone()}
        buckstop.submit(goal="before", **asked)
        small_desk(1)
        with pytest.raises(Unfit, match=r"4 letters wait .* buckstop decide --all"):
            buckstop.submit(goal="full", **asked)
        said = Decision(letter="any", verb=Verb.DISCARD, by="ann")
        assert buckstop.decide_all(Wanted(kind="forged"), said).decided == 4
        buckstop.submit(goal="after", **asked)
        assert len(buckstop.tasks().items) == 2


def test_an_orchestrator_says_in_its_log_that_the_desk_fills_up(
    fresh: Fresh, small_desk: Callable[[int], None], caplog: pytest.LogCaptureFixture
) -> None:
    """Once a minute, with what to do about it."""
    wire = Wire(Signer(bytes(32)), fresh.keys)
    small_desk(1)
    for _ in range(2):
        Orchestrator(Store(fresh.client, fresh.keys), wire).turn(idle_ms_max=1)
    assert [line for line in caplog.messages if "desk" in line] == []
    small_desk(1)
    loop = Orchestrator(Store(fresh.client, fresh.keys), wire)
    loop.turn(idle_ms_max=1)
    loop.turn(idle_ms_max=1)
    [line] = [each for each in caplog.records if "desk" in each.message]
    assert line.__dict__["found"].startswith("2 letters wait")
    assert "buckstop letters" in line.__dict__["fix"]
