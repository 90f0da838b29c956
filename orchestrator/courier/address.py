"""Where a connection may go: the guard against using us to reach what only we can reach.

Whoever may subscribe names a URL that our process will open, from inside our network. So:

- http or https, and https alone unless private addresses are allowed; no user or password in it
  (endpoint.py);
- the host is resolved once, and **every** address it has must be one that anybody on the internet
  could reach; else the URL is refused, with the address and the reason;
- the caller connects to one of these very addresses (webhook.py), so a name that points elsewhere a
  moment later leads nowhere.

`allow_private`, which only an administrator can say, opens private networks and this machine; it
does not open link-local addresses, where clouds keep their credentials, nor multicast.
"""

import ipaddress
import socket
from collections.abc import Callable, Sequence
from typing import Final

from envelopes import limits
from envelopes.strict import Refused

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Sequence[str]]
"""Asked for a host and a port; answers with addresses as text, or raises OSError."""

PORTS: Final = {"http": 80, "https": 443}
"""Where a URL leads that names no port, by how it begins."""
ALLOW: Final = "say --allow-private (over HTTP: allow_private)"
"""How a refusal ends where somebody may open private networks."""
_UNICAST_6: Final = ipaddress.IPv6Network("2000::/3")
"""All that has been given out of IPv6 to be reached by anybody lies in here."""
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_SPECIAL: Final = tuple(
    map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "3fff::/20"))
)
"""Set aside for protocols and examples, and taken for ordinary by Python's own lists."""
_PRIVATE: Final = tuple(
    map(
        ipaddress.ip_network,
        (
            *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8"),
            *("fc00::/7", "::1/128"),
        ),
    )
)
"""What `allow_private` opens."""


def resolve(host: str, port: int) -> list[str]:
    """Ask the system for a host's addresses, each once."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(where[4][0]) for where in found))


def checked_host(
    host: str, port: int, *, allow_private: bool, resolve: Resolve = resolve
) -> tuple[str, ...]:
    """Return a host's addresses, if every one of them may be reached; else raise Refused."""
    try:
        addresses = tuple(resolve(host, port))
    except (OSError, ValueError) as error:
        raise Refused("url", f"{host} has no address: {error}; check its spelling") from None
    for address in addresses:
        if why := objection(ipaddress.ip_address(address), allow_private=allow_private):
            more = "" if allow_private else f"; where it may, {ALLOW}"
            raise Refused("url", f"{host} is at {address}, {why}{more}")
    if not addresses:
        raise Refused("url", f"{host} has no address")
    return addresses[: limits.ADDRESSES_MAX]


def objection(address: Address, *, allow_private: bool) -> str | None:
    """Say what stands against connecting to an address; None if nothing does."""
    address = _behind(address)
    if any(address in network for network in _PRIVATE):
        return None if allow_private else "which only we can reach"
    if address.is_link_local:
        return "which is link-local: clouds keep credentials there"
    if address.is_multicast:
        return "which is multicast"
    if not _is_ordinary(address):
        return "which is no ordinary address of the internet"
    return None


def _is_ordinary(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and (
        address not in _UNICAST_6 or address.sixtofour is not None or address.teredo is not None
    ):
        return False
    return address.is_global and not any(address in network for network in _SPECIAL)


def _behind(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address stands for, where it does."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address


def require_readable(text: str) -> None:
    """Refuse what no person can have written as a URL; libraries think different things of it."""
    if not text.isprintable():
        raise Refused("url", "it has a character in it that cannot be seen")
