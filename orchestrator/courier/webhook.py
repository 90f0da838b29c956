"""Send one webhook: a signed POST to an address that was checked, within DELIVERY_S in all.

Any 2xx is success. Redirects are not followed: a receiver that moved says so to its subscriber, and
410 Gone disables it. The answer's body is not read, so it can be neither endless nor shown to
anybody: whoever made us ask something inside learns its status at most.

The connection is made to the address and not to the name. TLS still asks for the name, and so does
the Host header. Connections are not kept: one that was checked for one name must not serve another
at the same address. No proxy is asked, whatever the environment says: it would connect where it
likes.
"""

import asyncio
import ssl
from collections.abc import Mapping
from concurrent.futures import Executor
from functools import partial
from http import HTTPStatus
from typing import Final

import httpx

from envelopes import limits, onward
from envelopes.strict import Refused
from orchestrator.courier.address import Resolve, resolve
from orchestrator.courier.box import Claimed, Sent, Verb
from orchestrator.courier.endpoint import Endpoint, checked
from orchestrator.courier.signing import signed
from orchestrator.courier.subscription import Subscription

_RETRY_AFTER: Final = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
_SUCCESS: Final = range(200, 300)
_REDIRECT: Final = range(300, 400)
_HEADERS: Final = {"content-type": "application/json", "user-agent": "Buckstop"}


class Webhooks:
    """Sends webhooks. By a transport and no client, so that nothing, no cookie, is kept."""

    def __init__(
        self,
        threads: Executor,
        resolve: Resolve = resolve,
        timeout_s: float = limits.DELIVERY_S,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._threads = threads
        self._resolve = resolve
        self._timeout_s = timeout_s
        self._transport = httpx.AsyncHTTPTransport(
            verify=tls or httpx.create_ssl_context(),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        )

    async def aclose(self) -> None:
        """Close what is open."""
        await self._transport.aclose()

    async def send(self, claimed: Claimed, to: Subscription, now_ms: int) -> Sent:
        """Make one attempt, and say how it ended; no fault of the receiver's is an exception."""
        try:
            async with asyncio.timeout(self._timeout_s):
                endpoint = await self._checked(to)
                keys = to.secrets_at(now_ms)
                signature = signed(claimed.id, now_ms, claimed.body, keys)
                headers = {**_HEADERS, **onward.headers(), **signature}
                return _judged(await self._post(endpoint, headers, claimed.body))
        except Refused as refused:
            return Sent(Verb.RETRY, why=refused.why)
        except TimeoutError:
            return Sent(Verb.RETRY, why=f"no answer within {self._timeout_s:g} s")
        except httpx.TransportError as error:
            return Sent(Verb.RETRY, why=f"no answer: {error or type(error).__name__}")

    async def _checked(self, to: Subscription) -> Endpoint:
        """Look the name up anew, in a thread: the system's resolver may hang."""
        look_up = partial(checked, to.url, allow_private=to.allow_private, resolve=self._resolve)
        return await asyncio.get_running_loop().run_in_executor(self._threads, look_up)

    async def _post(
        self, endpoint: Endpoint, headers: Mapping[str, str], body: bytes
    ) -> httpx.Response:
        """Ask the first of the addresses that can be connected to."""
        *others, last = endpoint.addresses
        for address in others:
            try:
                return await self._post_to(address, endpoint, headers, body)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue  # nothing was sent
        return await self._post_to(last, endpoint, headers, body)

    async def _post_to(
        self, address: str, endpoint: Endpoint, headers: Mapping[str, str], body: bytes
    ) -> httpx.Response:
        each_s = self._timeout_s / len(endpoint.addresses)
        request = httpx.Request(
            "POST",
            endpoint.url.copy_with(host=address),
            headers={**headers, "host": endpoint.url.netloc.decode("ascii")},
            content=body,
            extensions={
                "sni_hostname": endpoint.host,
                "timeout": httpx.Timeout(self._timeout_s, connect=each_s).as_dict(),
            },
        )
        response = await self._transport.handle_async_request(request)
        await response.aclose()
        return response


def _judged(response: httpx.Response) -> Sent:
    """Say what an answer means."""
    status = response.status_code
    if status in _SUCCESS:
        return Sent(Verb.DONE, status)
    if status == HTTPStatus.GONE:
        return Sent(Verb.GONE, status, "it answered 410 Gone: nobody is to send there any more")
    if status in _REDIRECT:
        why = f"it answered {status}: redirects are not followed; subscribe with the new URL"
        return Sent(Verb.RETRY, status, why)
    return Sent(Verb.RETRY, status, f"it answered {status}", _asked_to_wait_ms(response))


def _asked_to_wait_ms(response: httpx.Response) -> int:
    """Return for how long a busy receiver wants to be left alone."""
    asked = response.headers.get("retry-after", "")
    if response.status_code not in _RETRY_AFTER or not (asked.isascii() and asked.isdigit()):
        return 0
    return min(int(asked[:9]), limits.RETRY_AFTER_MAX_S) * 1000
