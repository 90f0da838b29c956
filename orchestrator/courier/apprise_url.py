"""Which Apprise URLs are taken, and the service that each names.

Apprise's services open connections of their own, so the guard can only look at what a URL says:
the host, for the 56 services that have one in their URL (json://, mailto://, ntfy:// ...), and
whatever points at a file or at another URL. The others, such as Slack, know by themselves where
they connect. A host is looked up and checked here at creation and before every message; as it is
Apprise that connects then, each of its connections is judged once more (apprise_held.py). It asks a
proxy if the environment names one. Redirects are off. `allow_private` leaves the guard out, but for
templates: a file that is sent is a way to read this machine.
"""

import logging
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from apprise import Apprise, AppriseAsset, AppriseAttachment

from envelopes.strict import Refused
from orchestrator.courier.address import Resolve, checked_host, require_readable, resolve

_HOSTS: Final = ("host", "smtp_host")
"""Where Apprise's services keep whom they connect to."""
_ANY_PORT: Final = 443
_FILES: Final = {"keyfile", "subfile"}
"""Options that name a file, by a path that may look like any other word."""
for _name in ("apprise", "urllib3"):  # what they say of a URL has its secrets in it
    logging.getLogger(_name).propagate = False


def service_of(url: str) -> Any:
    """Return Apprise's service for a URL, or raise Refused; what is wrong is not repeated."""
    require_readable(url)
    asset = AppriseAsset(storage_mode="memory", plugin_paths=[])
    asset.app_id, asset.app_desc, asset.app_url = "Buckstop", "The desk", ""
    asset.pgp_autogen = asset.pem_autogen = asset.http_redirects = False
    service = Apprise.instantiate(url, asset=asset)
    if service is None:
        raise Refused("url", "Apprise knows no such URL; see the list of its services")
    service.redirects = False  # whatever the URL says of it
    return service


def check_apprise_url(url: str, *, allow_private: bool, resolve: Resolve = resolve) -> Any:
    """Return the service of a URL, or raise Refused where it leads where it must not."""
    service = service_of(url)
    if _has_template(service):
        raise Refused("url", "its template is a file, and what lies on this machine is not sent")
    if allow_private:
        return service
    if _points_elsewhere(url):
        raise Refused(
            "url", "it names a file or another URL, which only an administrator may allow"
        )
    for host in _hosts(service):
        if _has_address(host, resolve):
            checked_host(host, _ANY_PORT, allow_private=False, resolve=resolve)
    return service


def _hosts(service: Any) -> Iterator[str]:
    """Name the hosts that the service will connect to, as far as its URL says so."""
    if "host" in service.template_tokens:
        for name in _HOSTS:
            host = getattr(service, name, None)
            if isinstance(host, str) and host:
                yield host.strip("[]")


def _has_address(host: str, resolve: Resolve) -> bool:
    """Say whether the host is one: some services keep a sender's domain in its place."""
    try:
        return bool(resolve(host, _ANY_PORT))
    except (OSError, ValueError):
        return False


def _has_template(service: Any) -> bool:
    """Say whether messages are made of a file; other services call an id of theirs so."""
    template = getattr(service, "template", None)
    return isinstance(template, AppriseAttachment) and len(template) > 0


def _points_elsewhere(url: str) -> bool:
    return any(
        name in _FILES or "://" in value or value.startswith(("/", "~", ".", "file:"))
        for name, value in _options(url)
    )


def _options(url: str) -> list[tuple[str, str]]:
    """Read what stands behind the ?, as Apprise does: a ; parts two of them as well."""
    options = parse_qsl(url.partition("?")[2].replace(";", "&"))
    return [(name.strip().lower(), unquote(value).strip().lower()) for name, value in options]
