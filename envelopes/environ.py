"""Read what orchestrators and workers read alike from their environment, and name what is wrong.

    server_url("BUCKSTOP_URL", url, password_file)      with its password, and every file looked at
    content("BUCKSTOP_PUBLIC_KEYS_FILE", file)
    seconds(environ, "BUCKSTOP_GRACE", 25.0)

Whatever cannot be used raises SettingsError, which begins with the name of what was set.
"""

from collections.abc import Mapping
from pathlib import Path

from envelopes.address import SCHEMES, Sentinels, require_readable, with_password


class SettingsError(Exception):
    """Something that must be set is not, or cannot be read; the message says what to do."""


def server_url(source: str, url: str, password_file: str | None) -> str:
    """Return the URL of a server with its password, or raise SettingsError."""
    if not url.startswith(tuple(f"{scheme}://" for scheme in SCHEMES)):
        raise SettingsError(f"{source} must be a URL such as redis://host:6379/0")
    try:
        require_readable(url)
        kept = Sentinels.of(url)
    except ValueError as error:
        raise SettingsError(f"{source}: {error}") from None
    if kept is not None:
        _look_at_files(source, kept)
    if not password_file:
        return url
    return with_password(url, _password("BUCKSTOP_PASSWORD_FILE", password_file))


def content(source: str, file: str | Path) -> str:
    """Return what stands in a file, without blanks around it, or raise SettingsError."""
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise SettingsError(f"{source}: {file} cannot be read: {error}") from None


def seconds(environ: Mapping[str, str], name: str, default: float) -> float:
    """Return a number of seconds, or raise SettingsError."""
    text = environ.get(name) or str(default)
    if not text.replace(".", "", 1).isdecimal():
        raise SettingsError(f"{name} must be a number of seconds, not {text!r}")
    return float(text)


def _look_at_files(source: str, kept: Sentinels) -> None:
    """Complain now of a file that whoever connects would miss."""
    if kept.password_file is not None:
        _password(f"{source}: sentinel_password_file", kept.password_file)
    for name, file in kept.tls_files.items():
        content(f"{source}: {name}", file)


def _password(source: str, file: str) -> str:
    if not (password := content(source, file)):
        raise SettingsError(f"{source}: {file} is empty; write the password into it")
    return password
