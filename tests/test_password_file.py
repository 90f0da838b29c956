"""A password may stand in a file of its own, as containers hand secrets out."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envelopes.address import with_password
from orchestrator.settings import Settings as Ours
from orchestrator.settings import SettingsError as OurError
from orchestrator.settings import named_server
from workers.settings import Settings as Theirs
from workers.settings import SettingsError as TheirError

SIDES = [(Ours, OurError), (Theirs, TheirError)]
URL = "redis://worker@redis:6379/0"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text("s3/c:r@t\n")
    return path


@pytest.mark.parametrize(("side", "_error"), SIDES)
def test_both_sides_put_the_password_of_the_file_into_the_url(
    side: type[Ours] | type[Theirs], _error: type[Exception], secret: Path
) -> None:
    """The promise: "password by secret"."""
    read = side.read({"BUCKSTOP_URL": URL, "BUCKSTOP_PASSWORD_FILE": str(secret)})
    assert read.url == "redis://worker:s3%2Fc%3Ar%40t@redis:6379/0"


@pytest.mark.parametrize(("side", "_error"), SIDES)
def test_a_password_that_stands_in_the_url_stays(
    side: type[Ours] | type[Theirs], _error: type[Exception], secret: Path
) -> None:
    """Whoever starts children names the whole URL; they inherit the variable as well."""
    url = "redis://worker:mine@redis:6379/0"
    assert side.read({"BUCKSTOP_URL": url, "BUCKSTOP_PASSWORD_FILE": str(secret)}).url == url


@pytest.mark.parametrize(("side", "error"), SIDES)
def test_a_missing_or_empty_file_is_named(
    side: type[Ours] | type[Theirs], error: type[Exception], tmp_path: Path
) -> None:
    """Every message says what happened, why, and what to do next."""
    environ = {"BUCKSTOP_URL": URL, "BUCKSTOP_PASSWORD_FILE": str(tmp_path / "secret")}
    with pytest.raises(error, match=r"BUCKSTOP_PASSWORD_FILE: .*secret cannot be read"):
        side.read(environ)
    (tmp_path / "secret").write_text("\n")
    with pytest.raises(error, match=r"BUCKSTOP_PASSWORD_FILE: .*secret is empty; write"):
        side.read(environ)


@pytest.mark.parametrize("url", ["localhost:6379", "http://localhost:6379"])
@pytest.mark.parametrize(("side", "error"), SIDES)
def test_what_is_no_servers_url_is_named(
    side: type[Ours] | type[Theirs], error: type[Exception], url: str
) -> None:
    """Every message says what happened, why, and what to do next: to a worker, too."""
    with pytest.raises(error, match="BUCKSTOP_URL must be a URL such as redis://host:6379/0"):
        side.read({"BUCKSTOP_URL": url})


@pytest.mark.parametrize(("side", "error"), SIDES)
def test_an_empty_file_of_the_sentinels_is_named(
    side: type[Ours] | type[Theirs], error: type[Exception], tmp_path: Path
) -> None:
    """Each side reads what the other does, and complains alike."""
    (tmp_path / "empty").touch()
    url = f"redis+sentinel://h/main/0?sentinel_password_file={tmp_path / 'empty'}"
    with pytest.raises(error, match=r"BUCKSTOP_URL: sentinel_password_file: .*empty is empty"):
        side.read({"BUCKSTOP_URL": url})


def test_a_server_on_the_command_line_gets_the_password_too(secret: Path) -> None:
    """`buckstop up --url` and BUCKSTOP_URL are read alike."""
    environ = {"BUCKSTOP_URL": "redis://other", "BUCKSTOP_PASSWORD_FILE": str(secret)}
    assert named_server(environ, "redis://h") == "redis://:s3%2Fc%3Ar%40t@h"
    assert named_server({}, None) is None


@given(st.text(min_size=1).filter(lambda text: text.isprintable()))
def test_any_password_arrives_as_it_was_written(password: str) -> None:
    url = urlsplit(with_password("redis://a%40b@host:1/2", password))
    assert (url.username, unquote(url.password or ""), url.hostname) == ("a%40b", password, "host")
