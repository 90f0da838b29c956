"""The trace context that goes on with what is asked of others over HTTP.

    with going_on(span.traceparent):
        client.get(url, headers=headers())

Pure; what a context is stands in trace.py.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

_ONWARD: Final[ContextVar[str | None]] = ContextVar("onward", default=None)


@contextmanager
def going_on(traceparent: str | None) -> Iterator[None]:
    """Let whatever is asked inside be a part of this trace; of none, where it is None."""
    token = _ONWARD.set(traceparent)
    try:
        yield
    finally:
        _ONWARD.reset(token)


def headers() -> dict[str, str]:
    """Return the headers in which the context travels, as W3C names them."""
    onward = _ONWARD.get()
    return {} if onward is None else {"traceparent": onward}
