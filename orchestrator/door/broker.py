"""The server's address as Celery spells it, for clients of other services.

    redis://...                             the same
    rediss://...                            with ssl_cert_reqs, which Celery's result backend wants
    unix:///run/redis.sock?db=1             redis+socket:///run/redis.sock?virtual_host=1
    redis+sentinel://:pw@a,b/service/0      sentinel://:pw@a:26379/0;sentinel://:pw@b:26379/0, and
                                            the service's name as a transport option
    rediss+sentinel://...                   the same, and how TLS is spoken as broker_use_ssl

Pure. Whether a client may then put messages at the door is for the server's users to say.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from envelopes.address import Sentinels, tls_of

_CERTIFICATE: Final = "ssl_cert_reqs"


@dataclass(frozen=True, slots=True)
class Broker:
    """What a Celery client is configured with, as its broker and as its result backend."""

    url: str
    options: Mapping[str, Any] = field(default_factory=dict)
    """`broker_transport_options`, and `result_backend_transport_options`."""
    password_file: str | None = None
    """Where the Sentinels' own password is kept, which then has to stand in the options too."""
    tls: Mapping[str, Any] = field(default_factory=dict)
    """`broker_use_ssl`, and `redis_backend_use_ssl`; empty where the URL says all of it."""


def celerys(url: str) -> Broker:
    """Spell the URL of a server as Celery does."""
    kept = Sentinels.of(url)
    if kept is not None:
        return _behind_sentinels(kept, tls_of(url) or {})
    if url.startswith("unix:"):
        return Broker(_socket(url))
    if url.startswith("rediss:"):
        return Broker(_with_certificate(url))
    return Broker(url)


def _behind_sentinels(kept: Sentinels, tls: Mapping[str, Any]) -> Broker:
    user, password = (quote(each or "", safe="") for each in (kept.username, kept.password))
    entrance = f"{user}:{password}@" if password else ""
    hosts = (f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in kept.hosts)
    url = ";".join(f"sentinel://{entrance}{host}/{kept.db}" for host in hosts)
    asking = {"sentinel_kwargs": {"ssl": True, **tls}} if tls else {}
    return Broker(url, {"master_name": kept.service, **asking}, kept.password_file, tls)


def _socket(url: str) -> str:
    parts = urlsplit(url)
    named = {"db": "virtual_host"}
    query = [(named.get(name, name), value) for name, value in parse_qsl(parts.query)]
    return f"redis+socket://{parts.netloc}{parts.path}" + (f"?{urlencode(query)}" if query else "")


def _with_certificate(url: str) -> str:
    """Say what holds for everybody else by itself: the server's certificate is checked."""
    parts = urlsplit(url)
    if _CERTIFICATE in dict(parse_qsl(parts.query)):
        return url
    query = "&".join(filter(None, (parts.query, f"{_CERTIFICATE}=required")))
    return parts._replace(query=query).geturl()
