"""The guard: nobody reaches through us what only we can reach."""

import ipaddress
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import example, given, settings
from hypothesis import strategies as st
from post_office import PostOffice
from receiver import receiving
from standardwebhooks import Webhook

from envelopes.strict import Refused
from orchestrator.courier.address import Resolve, objection
from orchestrator.courier.apprise_url import check_apprise_url
from orchestrator.courier.endpoint import checked
from tests.conftest import Fresh

PUBLIC = "93.184.216.34"


def at(*addresses: str) -> Resolve:
    """Make a resolver that knows one answer."""
    return lambda _host, _port: list(addresses)


# --- addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
        *("0.0.0.0", "0.1.2.3", "100.64.0.1", "100.127.255.254", "169.254.169.254", "169.254.0.1"),
        *("192.0.0.8", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.51.100.1", "203.0.113.1"),
        *("224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
        *("::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:0:7f00:1"),
        *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "100::1", "2001::1"),
        *("2001:db8::1", "2001:20::1", "2002:7f00:1::", "2002:5db8:d822::1", "3fff::1"),
        *("fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%2", "fec0::1", "ff02::1", "5f00::1"),
    ],
)
def test_an_address_that_not_anybody_can_reach_is_refused(address: str) -> None:
    """Private, loopback, link-local, mapped, embedded, multicast, reserved: none of them."""
    assert objection(ipaddress.ip_address(address), allow_private=False) is not None
    with pytest.raises(Refused) as refused:
        checked("https://x.example/", allow_private=False, resolve=at(address))
    assert address in refused.value.why


@pytest.mark.parametrize(
    "address",
    [PUBLIC, "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"],
)
def test_an_ordinary_address_is_taken(address: str) -> None:
    """The check above can fail."""
    assert objection(ipaddress.ip_address(address), allow_private=False) is None


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "::1", "fd00::1", "::ffff:10.0.0.1"])
def test_private_addresses_are_open_to_whom_an_administrator_says(address: str) -> None:
    assert objection(ipaddress.ip_address(address), allow_private=True) is None


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "224.0.0.1", "0.0.0.0", "::"],
)
def test_credentials_of_clouds_stay_closed_even_then(address: str) -> None:
    """`allow_private` "does not open link-local addresses, where clouds keep their credentials"."""
    assert objection(ipaddress.ip_address(address), allow_private=True) is not None


@settings(deadline=None)
@given(st.ip_addresses(v=4))
def test_no_way_of_writing_an_ipv4_address_changes_what_is_thought_of_it(
    address: ipaddress.IPv4Address,
) -> None:
    """Mapped and translated addresses are judged by what they stand for."""
    plain = objection(address, allow_private=False)
    number = int(address)
    mapped = ipaddress.IPv6Address((0xFFFF << 32) | number)
    translated = ipaddress.IPv6Address((0x64FF9B << 96) | number)
    for written in (mapped, translated):
        assert (objection(written, allow_private=False) is None) == (plain is None)


# --- URLs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://x.example/", "https"),
        ("ftp://x.example/", "https"),
        ("file:///etc/passwd", "https"),
        ("gopher://x.example/", "https"),
        ("//x.example/", "https"),
        ("https:///path", "host"),
        ("https://user:pass@x.example/", "user and password"),
        ("https://user@x.example/", "user and password"),
        ("https://x.example:99999/", "port"),
        ("https://x.example:0/", "port"),
        ("https://[::1/", "not a URL"),
    ],
)
def test_a_url_that_is_no_plain_https_is_refused(url: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        checked(url, allow_private=False, resolve=at(PUBLIC))


@pytest.mark.parametrize(
    "url",
    [
        *("https://127.0.0.1/", "https://127.1/", "https://2130706433/", "https://0x7f000001/"),
        *("https://017700000001/", "https://localhost/", "https://[::1]/", "https://0/"),
        *("https://[::ffff:127.0.0.1]/", "https://169.254.169.254/latest/meta-data/"),
    ],
)
def test_no_spelling_of_this_machine_gets_past_the_system_resolver(url: str) -> None:
    """Whatever the system makes of a host is what is checked."""
    with pytest.raises(Refused):
        checked(url, allow_private=False)


def test_one_bad_address_among_good_ones_is_enough() -> None:
    """All resolved addresses must be ordinary: a round robin must not find the other one."""
    with pytest.raises(Refused, match=r"10\.0\.0\.1"):
        checked("https://x.example/", allow_private=False, resolve=at(PUBLIC, "10.0.0.1"))


def test_a_name_without_an_address_is_refused_with_the_reason() -> None:
    def fails(_host: str, _port: int) -> Sequence[str]:
        raise OSError("Name or service not known")

    with pytest.raises(Refused, match="Name or service not known"):
        checked("https://x.example/", allow_private=False, resolve=fails)
    with pytest.raises(Refused, match="no address"):
        checked("https://x.example/", allow_private=False, resolve=at())


# --- the connection ------------------------------------------------------------------------------


@pytest.fixture
def tls(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Make a certificate for hooks.example, and who shows it and who trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hooks.example")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("hooks.example")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (tmp_path / "pem").write_bytes(
        pem
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    shows = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    shows.load_cert_chain(tmp_path / "pem")
    return shows, ssl.create_default_context(cadata=pem.decode())


class Rebinding:
    """A name that points elsewhere each time it is looked up."""

    def __init__(self, *answers: str) -> None:
        self.answers, self.asked = list(answers), 0

    def __call__(self, _host: str, _port: int) -> Sequence[str]:
        self.asked += 1
        return [self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]]


def test_the_connection_goes_to_the_address_that_was_checked_under_the_name(
    fresh: Fresh, tls: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    """TLS asks for the name and Host has it; the name itself is looked up once for each attempt."""
    shows, trusts = tls
    names: list[str | None] = []
    shows.sni_callback = lambda _socket, name, _context: names.append(name)
    resolver = Rebinding("127.0.0.1")
    office = PostOffice(fresh, resolver)
    with receiving(shows) as receiver:
        hook = office.hook(f"https://hooks.example:{receiver.port}/in")
        office.tell()
        office.deliver(tls=trusts)
        [heard] = receiver.heard
        Webhook(hook.secret).verify(heard.body, heard.headers)
    assert heard.headers["host"] == f"hooks.example:{receiver.port}"
    assert names == ["hooks.example"]
    assert resolver.asked == 2  # when it was made, and for the one attempt
    assert office.states(hook) == ["done"]


def test_a_certificate_of_somebody_else_is_not_taken(
    fresh: Fresh, tls: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    """An address that is somebody else's by now hears nothing."""
    shows, trusts = tls
    office = PostOffice(fresh, at("127.0.0.1"))
    with receiving(shows) as receiver:
        hook = office.hook(f"https://other.example:{receiver.port}/")
        office.tell()
        office.deliver(tls=trusts)
        assert receiver.heard == []
    [delivery] = office.subscriptions.deliveries(hook.id, 1)
    assert "certificate" in delivery.why.lower()


def test_a_name_that_was_public_and_points_inside_now_is_refused_at_the_send(fresh: Fresh) -> None:
    """DNS rebinding: checked at creation and at every send, and nothing is looked up in between."""
    office = PostOffice(fresh, Rebinding(PUBLIC, "127.0.0.1"))
    with receiving() as receiver:
        url = f"https://hooks.example:{receiver.port}/"
        hook = office.hook(url, allow_private=False)
        office.tell()
        office.deliver()
        assert receiver.heard == []
    [delivery] = office.subscriptions.deliveries(hook.id, 1)
    assert delivery.state == "given_up"
    assert "127.0.0.1" in delivery.why


def test_no_proxy_of_the_environment_is_asked(
    fresh: Fresh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy would connect where it likes."""
    office = PostOffice(fresh)
    with receiving() as receiver, receiving() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url())
        office.hook(receiver.url())
        office.tell()
        office.deliver()
        assert (len(receiver.heard), len(proxy.heard)) == (1, 0)


def test_where_one_address_does_not_answer_the_next_is_asked(fresh: Fresh) -> None:
    office = PostOffice(fresh, at("127.0.0.9", "127.0.0.1"))
    with receiving() as receiver:
        hook = office.hook(f"http://hooks.example:{receiver.port}/")
        office.tell()
        office.deliver()
        assert len(receiver.heard) == 1
    assert office.states(hook) == ["done"]


# --- Apprise -------------------------------------------------------------------------------------


@pytest.fixture(params=["json", "xml", "form", "ntfy", "gotify"])
def inside(request: pytest.FixtureRequest) -> str:
    path = "/Aabcdefghijklm0" if request.param == "gotify" else "/topic"
    return f"{request.param}://10.0.0.1{path}"


def test_a_service_with_a_host_in_its_url_passes_the_guard(inside: str) -> None:
    """As far as the host can be known, a notification leads nowhere inside either."""
    with pytest.raises(Refused, match=r"10\.0\.0\.1"):
        check_apprise_url(inside, allow_private=False)
    assert check_apprise_url(inside, allow_private=True)


@pytest.mark.parametrize(
    "url",
    [
        "fcm://project/token?keyfile=http://169.254.169.254/latest",
        "json://hooks.example/?x=file:///etc/passwd",
        "json://hooks.example/?x=/etc/passwd",
        "json://hooks.example/?x=..%2Fsecret",
        "json://hooks.example/?a=b;x=/etc/passwd",
        "json://hooks.example/?x=%20/etc/passwd",
        "json://hooks.example/?x=FILE:secret",
        "fcm://project/token?keyfile=key.json",
        "vapid://ada@hooks.example/ada@hooks.example?a=b;keyfile=key.pem",
    ],
)
def test_a_service_that_is_to_read_a_file_or_another_url_is_refused(url: str) -> None:
    with pytest.raises(Refused):
        check_apprise_url(url, allow_private=False, resolve=at(PUBLIC))


@pytest.mark.parametrize("path", ["card.json", "/run.json", "file:///run.json", "%20/run.json"])
@pytest.mark.parametrize("option", ["?template=", "?a=b;template=", "?a=b&Template="])
def test_no_message_is_made_of_a_file(option: str, path: str) -> None:
    """An admin's token is no account on this machine, where passwords and keys lie in files."""
    url = f"workflows://hooks.example/route/signature{option}{path}"
    for allow_private in (False, True):
        with pytest.raises(Refused, match="template"):
            check_apprise_url(url, allow_private=allow_private, resolve=at(PUBLIC))


def test_what_a_service_calls_a_template_is_taken() -> None:
    url = "sendgrid://apikey123:from@mail.example/to@mail.example?template=d-1234"
    assert check_apprise_url(url, allow_private=False, resolve=at(PUBLIC))


def test_what_apprise_does_not_know_is_refused_without_repeating_it() -> None:
    with pytest.raises(Refused) as refused:
        check_apprise_url("slack://s3cret", allow_private=False)
    assert "s3cret" not in str(refused.value)


def test_a_mail_server_that_the_url_names_is_checked_too() -> None:
    def resolve(host: str, _port: int) -> Sequence[str]:
        return ["10.0.0.1"] if host == "inside.example" else [PUBLIC]

    url = "mailtos://user:pass@mail.example?smtp=inside.example"
    with pytest.raises(Refused, match=r"inside\.example"):
        check_apprise_url(url, allow_private=False, resolve=resolve)


# --- strangers' text -----------------------------------------------------------------------------

PARTS = st.sampled_from(
    ["https", "http", "json", "mailto", "://", ":", "/", "//", "@", "?", "#", "[", "]", "::1",
     "%00", "\0", "\n", "\udc80", "xn--", "ä", "a" * 80, ".", "..", "127.0.0.1", "%2f", "user",
     "x.example", ":99999", ":-1", "=", "&", "\\", " "]
)  # fmt: skip
URLS = st.one_of(
    st.text(),
    st.lists(PARTS, max_size=12).map("".join),
    st.lists(PARTS, max_size=8).map(lambda parts: "https://" + "".join(parts)),
    st.lists(PARTS, max_size=8).map(lambda parts: "json://" + "".join(parts)),
)


def nowhere(host: str, _port: int) -> Sequence[str]:
    """Do what the system's resolver does before it asks anybody."""
    host.encode("idna")
    if "\0" in host:
        raise ValueError("embedded null character")
    raise OSError("not known")


@settings(deadline=None)  # Apprise reads its 183 services at the first
@example("HTTP://XN--")
@example("json://\udc80")
@given(URLS)
def test_no_text_is_more_than_refused(url: str) -> None:
    """Their fault is data: whatever stands in place of a URL, a refusal is all that comes of it."""
    for check in (checked, check_apprise_url):
        for resolve in (nowhere, at("127.0.0.1")):
            try:
                check(url, allow_private=False, resolve=resolve)
            except Refused as refused:
                assert refused.field == "url"  # noqa: PT017 -- most are refused, some are not
