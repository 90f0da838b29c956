"""Hold Apprise to public addresses: judge each connection that it opens, at the moment it opens it.

    held = hold(service)          from now on, in whichever thread Apprise calls the service
    ...                           Apprise looks the name up for itself, and connects
    held.refused                  why a connection was not made; None where none was refused

A URL's host was looked up and found good (apprise_url.py), and a moment later the same name may
lead inside: whoever owns a name says so. Apprise's services open their connections themselves, by
many libraries; but all of these come to Python's sockets, and Python tells audit hooks of each
before it is made, with its address. Our hook raises for those that the guard would refuse, in
threads that are just calling a held service, and does nothing in others.

A proxy that the environment names is let pass, for the operator has chosen it: then it is the proxy
that looks names up, and no guard of ours reaches beyond it. Not reached either: a library that
opens sockets past Python, or in a thread of its own. None that we install does.
"""

import ipaddress
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import getproxies

from orchestrator.courier.address import objection

_EVENTS: Final = {"socket.connect", "socket.sendto", "socket.sendmsg"}
_thread = threading.local()


class Held:
    """What a service may connect to, and what it was refused."""

    def __init__(self, proxies: Iterable[str] = ()) -> None:
        self._proxies = frozenset(proxies)
        self.refused: str | None = None

    def judge(self, address: Any) -> None:
        """Raise where a connection to this address must not be made."""
        host = str(address[0]) if isinstance(address, tuple) else ""
        if host in self._proxies:
            return
        if why := _against(host):
            self.refused = f"its name leads to {host or 'a socket of this machine'} by now, {why}"
            raise ConnectionRefusedError(self.refused)


def hold(service: Any, environ: Callable[[], Mapping[str, str]] = getproxies) -> Held:
    """Let a service connect to public addresses alone; return what it was refused."""
    _watch()
    held, call = Held(_addresses(environ().values())), service.notify

    def notify(*args: Any, **more: Any) -> Any:
        _thread.held = held
        try:
            return call(*args, **more)
        finally:
            _thread.held = None

    service.notify = notify
    return held


@cache
def _watch() -> None:
    """Set the hook, once: it stays for as long as the process lives."""
    sys.addaudithook(_heard)


def _heard(event: str, args: tuple[Any, ...]) -> None:
    if event in _EVENTS and (held := getattr(_thread, "held", None)) is not None:
        held.judge(args[1])


def _against(host: str) -> str | None:
    try:
        return objection(ipaddress.ip_address(host), allow_private=False)
    except ValueError:
        return "which is no address of the internet"


def _addresses(proxies: Iterable[str]) -> Iterable[str]:
    """Look up the proxies there are; one that is not found is none."""
    for proxy in proxies:
        host = urlsplit(proxy if "://" in proxy else f"//{proxy}").hostname
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM) if host else []
        except OSError:
            continue
        yield from (str(where[4][0]) for where in found)
