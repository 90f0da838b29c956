"""Which URL a webhook may have: read, and its host looked up and checked (address.py).

Apart from address.py because httpx reads the URL: who lists subscriptions need not wait for it.
"""

from dataclasses import dataclass
from typing import Final

import httpx

from envelopes.strict import Refused
from orchestrator.courier.address import (
    ALLOW,
    PORTS,
    Resolve,
    checked_host,
    require_readable,
    resolve,
)

_PORT_END: Final = 2**16


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A URL that may be opened, and the addresses at which alone it may be."""

    url: httpx.URL
    addresses: tuple[str, ...]

    @property
    def host(self) -> str:
        """Name the host as it goes onto the wire, for TLS."""
        return self.url.raw_host.decode("ascii")


def checked(text: str, *, allow_private: bool, resolve: Resolve = resolve) -> Endpoint:
    """Return the endpoint that a URL names, or raise Refused."""
    url = _read(text, allow_private=allow_private)
    host = url.raw_host.decode("ascii")
    addresses = checked_host(
        host, url.port or PORTS[url.scheme], allow_private=allow_private, resolve=resolve
    )
    return Endpoint(url, addresses)


def _read(text: str, *, allow_private: bool) -> httpx.URL:
    require_readable(text)
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, TypeError, ValueError) as error:
        raise Refused("url", f"not a URL: {error}") from None
    if url.scheme not in PORTS:
        raise Refused("url", "it must begin with https://")
    if url.scheme == "http" and not allow_private:
        raise Refused(
            "url",
            "it must begin with https://, since anybody on the way reads http; where it stays "
            f"among machines of yours, {ALLOW}",
        )
    if url.userinfo:
        raise Refused("url", "a user and password in it would be sent to whoever answers")
    if not url.raw_host:
        raise Refused("url", "it names no host")
    if url.port is not None and not 0 < url.port < _PORT_END:
        raise Refused("url", f"{url.port} is no port")
    return url
