"""A server behind Sentinels is named by one URL, which both sides read alike."""

import pytest
from redis.sentinel import MasterNotFoundError

from envelopes.address import Sentinels, with_password
from orchestrator.cli.failures import explained
from orchestrator.log import without_password
from orchestrator.settings import Settings, SettingsError
from workers.app import _broker_url, _transport_options
from workers.settings import Settings as WorkerSettings
from workers.settings import SettingsError as WorkerSettingsError

URL = "redis+sentinel://front:pa%20ss@one:26379,two,[::1]:26381/main/3?sentinel_password_file=/f"


def test_hosts_service_and_both_passwords_are_read() -> None:
    """The form: redis+sentinel://host1:26379,host2:26379/mymaster/0."""
    assert Sentinels.of(URL) == Sentinels(
        hosts=(("one", 26379), ("two", 26379), ("::1", 26381)),
        service="main",
        db=3,
        username="front",
        password="pa ss",
        password_file="/f",
    )
    assert Sentinels.of("redis+sentinel://one/main") == Sentinels((("one", 26379),), "main")


@pytest.mark.parametrize("url", ["redis://one:6379/0", "rediss://one", "unix:///run/redis.sock"])
def test_other_urls_name_a_server_itself(url: str) -> None:
    """What was there before stays as it was."""
    assert Sentinels.of(url) is None
    assert "sentinels" not in _transport_options(url)


@pytest.mark.parametrize(
    "wrong",
    [
        *("redis+sentinel://one", "redis+sentinel://one/", "redis+sentinel://one:x/main"),
        *("redis+sentinel://one/main/zero", "redis+sentinel:///main", "redis+sentinel://one/m?p=1"),
    ],
)
def test_a_wrong_url_is_refused_with_the_form(wrong: str) -> None:
    """Error texts name the fix."""
    with pytest.raises(SettingsError, match=r"BUCKSTOP_URL: Sentinels are named so: redis\+sent"):
        Settings.read({"BUCKSTOP_URL": wrong})
    with pytest.raises(WorkerSettingsError, match=r"BUCKSTOP_URL: Sentinels are named so"):
        WorkerSettings.read({"BUCKSTOP_URL": wrong})


@pytest.mark.parametrize(
    "wrong",
    [
        *("redis://:hun/ter2@one:6379/0", "redis://:hun#ter2@one", "redis://:hun?ter2@one:6379"),
        *("redis://:hunter2@one:port/0", "redis://:hunter2@one:65536/0", "redis://:hun[ter2@one"),
        *("redis://:1/hunter2@one", "redis+sentinel://one:1/hunter2@two"),
        *("redis+sentinel://:hunter2@one:65536/main", "redis+sentinel://:hun[ter2@one/main"),
    ],
)
def test_a_url_that_cannot_be_read_is_refused_and_no_piece_of_its_password_shown(
    wrong: str,
) -> None:
    """Error texts name the fix, and no secret appears in what is printed or logged."""
    for read, refusal in (
        (Settings.read, SettingsError),
        (WorkerSettings.read, WorkerSettingsError),
    ):
        with pytest.raises(refusal, match=r"BUCKSTOP_URL: .*named so: redis") as refused:
            read({"BUCKSTOP_URL": wrong})
        assert "hun" not in str(refused.value)
        assert "ter2" not in str(refused.value)
        assert refused.value.__suppress_context__, "a trace would show what could not be read"


def test_a_file_with_the_sentinels_password_that_is_not_there_is_named() -> None:
    """Every message a person reads says what happened and what to do."""
    url = "redis+sentinel://one/main?sentinel_password_file=/nowhere/secret"
    with pytest.raises(SettingsError, match="/nowhere/secret cannot be read"):
        Settings.read({"BUCKSTOP_URL": url})
    with pytest.raises(WorkerSettingsError, match="/nowhere/secret cannot be read"):
        WorkerSettings.read({"BUCKSTOP_URL": url})


def test_the_servers_password_may_stand_in_a_file_and_is_never_shown() -> None:
    """BUCKSTOP_PASSWORD_FILE: "a file with the password of the URL's user"."""
    url = with_password("redis+sentinel://front@one:1,two:2/main/0", "s cret")
    assert url == "redis+sentinel://front:s%20cret@one:1,two:2/main/0"
    assert without_password(url) == "redis+sentinel://front:***@one:1,two:2/main/0"


def test_kombu_is_given_a_url_of_its_own_kind_past_which_our_gate_stands() -> None:
    """channel.py: `sentinel://` "would name a transport of its own"."""
    assert _broker_url(URL) == "redis://front:pa%20ss@one:26379/3"
    assert _transport_options(URL)["sentinels"] == URL


def test_sentinels_that_name_no_server_are_told_of_in_words() -> None:
    """Every message a person reads says what happened; redis-py adds its own objects to it."""
    _, said, _ = explained(MasterNotFoundError("No master found for 'main' : <redis.Redis()>"))
    assert "No master found for 'main'. If" in said
    assert "<redis" not in said
