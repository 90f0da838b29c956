"""A server behind Sentinels is named by one URL, which both sides read alike."""

import asyncio
import socket
import socketserver
import threading
from pathlib import Path

import pytest
from kombu import Connection as BrokerConnection
from redis.asyncio.sentinel import MasterNotFoundError as AsyncMasterNotFoundError
from redis.sentinel import MasterNotFoundError

from envelopes.address import Sentinels, tls_of, with_password
from envelopes.connection import ask, asking, connect_async
from orchestrator.cli.failures import explained
from orchestrator.log import without_password
from orchestrator.settings import Settings, SettingsError
from tests.until import until
from workers.app import _broker_url, _transport_options
from workers.channel import SentinelTransport, install
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
    """channel.py: "Kombu's own transport for that would have no gate"; Flower asks by that URL."""
    url = URL.partition("?")[0]
    assert _broker_url(url) == "sentinel://front:pa%20ss@one:26379/3"
    options = _transport_options(url)
    assert (options["sentinels"], options["master_name"]) == (url.replace(":pa%20ss", ""), "main")
    install()
    ours = BrokerConnection(_broker_url(url), transport_options=options)
    assert isinstance(ours.create_transport(), SentinelTransport)
    assert "pa%20ss" not in str(options)
    stock = BrokerConnection("sentinel://one", transport_options={"master_name": "main"})
    assert not isinstance(stock.create_transport(), SentinelTransport), "others are left to Kombu"


TLS = "rediss+sentinel://one/main?ssl_ca_certs={}&ssl_check_hostname=false"


def test_tls_is_spoken_with_sentinels_and_server_alike(tmp_path: Path) -> None:
    """docs/how-to/sentinel.md: "rediss+sentinel" is the same by TLS."""
    authority = tmp_path / "ca.crt"
    authority.touch()
    kept = Sentinels.of(url := TLS.format(authority))
    assert kept is not None
    assert (kept.tls, kept.service) == (True, "main")
    assert kept.tls_settings == {"ssl_ca_certs": str(authority), "ssl_check_hostname": False}
    assert tls_of(url) == {"ssl_cert_reqs": "required", **kept.tls_settings}
    assert WorkerSettings.read({"BUCKSTOP_URL": url}).url == url
    assert asking(kept)["ssl"] is True
    assert asking(kept)["ssl_ca_certs"] == str(authority)


@pytest.mark.parametrize(
    ("url", "settings"),
    [
        ("redis://one", None),
        ("redis+sentinel://one/main", None),
        ("rediss://one", {"ssl_cert_reqs": "required"}),
        ("rediss://one?ssl_cert_reqs=none", {"ssl_cert_reqs": "none"}),
        ("rediss+sentinel://one/main", {"ssl_cert_reqs": "required"}),
    ],
)
def test_a_worker_checks_the_servers_certificate_unless_its_url_says_otherwise(
    url: str, settings: dict[str, str] | None
) -> None:
    """Kombu by itself would check none where a rediss:// URL says nothing of it."""
    assert tls_of(url) == settings


@pytest.mark.parametrize(
    "query",
    [
        *("ssl_cert_reqs=sometimes", "ssl_check_hostname=", "ssl_ca_certs=", "ssl_min_version=1"),
        "ssl=true",
    ],
)
def test_what_is_said_wrong_of_tls_is_refused_with_the_form(query: str) -> None:
    """Error texts name the fix."""
    for url in (f"rediss+sentinel://one/main?{query}", "redis+sentinel://one/main?ssl_ca_certs=/f"):
        with pytest.raises(
            SettingsError, match=r"with rediss\+sentinel, where all of them speak TLS"
        ):
            Settings.read({"BUCKSTOP_URL": url})


def test_a_certificate_that_is_not_there_is_named() -> None:
    """Every message a person reads says what happened and what to do."""
    url = TLS.format("/nowhere/ca.crt")
    with pytest.raises(SettingsError, match=r"ssl_ca_certs: /nowhere/ca\.crt cannot be read"):
        Settings.read({"BUCKSTOP_URL": url})
    with pytest.raises(WorkerSettingsError, match=r"ssl_ca_certs: /nowhere/ca\.crt cannot be read"):
        WorkerSettings.read({"BUCKSTOP_URL": url})


def test_a_sentinel_that_does_not_answer_is_asked_once_and_then_the_next() -> None:
    """limits.SENTINEL_TIMEOUT_S: "the next Sentinel is asked ...: a dead one costs no more"."""
    asked: list[tuple[str, int]] = []

    class HangsUp(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            asked.append(self.client_address)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), HangsUp) as dead:
        threading.Thread(target=dead.serve_forever, daemon=True).start()
        url = f"redis+sentinel://127.0.0.1:{dead.server_address[1]},127.0.0.1:1/main"
        kept = Sentinels.of(url)
        assert kept is not None
        with pytest.raises(MasterNotFoundError):
            ask(kept).discover_master("main")
        with pytest.raises(AsyncMasterNotFoundError):
            asyncio.run(connect_async(url).ping())
        with socket.create_connection(dead.server_address) as last:
            until("whoever came before has been heard", lambda: last.getsockname() in asked)
        dead.shutdown()
    assert len(asked) == 3, "each way once, and we ourselves"


def test_sentinels_that_name_no_server_are_told_of_in_words() -> None:
    """Every message a person reads says what happened; redis-py adds its own objects to it."""
    _, said, _ = explained(MasterNotFoundError("No master found for 'main' : <redis.Redis()>"))
    assert "No master found for 'main': no Sentinel answers" in said
    assert "rediss+sentinel://" in said
    assert "<redis" not in said
