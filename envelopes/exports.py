"""Traces and metrics leave by OpenTelemetry's own SDK, and only where its environment asks for it.

    OTEL_EXPORTER_OTLP_ENDPOINT    where a collector takes OTLP over HTTP; not set: nothing is
                                   imported for it, no thread runs, and no span is made
    OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER, OTEL_BSP_*, ...
                                   as the SDK documents them

Spans and figures wait in memory and are sent by a thread, in batches. A collector that is slow or
away costs spans and never work: what finds no place is dropped, and the SDK says so in the log.
"""

import contextlib
import logging
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

from envelopes import limits

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

SCOPE: Final = "buckstop"
_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
_NO_SDK: Final = (
    "OTEL_EXPORTER_OTLP_ENDPOINT is set, and the OpenTelemetry SDK is not installed, so nothing is "
    "exported; install it with: pip install 'buckstop[otel]'"
)
_NO_GRPC: Final = (
    "OTEL_EXPORTER_OTLP_PROTOCOL asks for %s, and only http/protobuf is spoken here; point "
    "OTEL_EXPORTER_OTLP_ENDPOINT to the collector's HTTP port (4318 as a rule)"
)

log = logging.getLogger("buckstop.exports")

_next_span: ContextVar[str | None] = ContextVar("next_span", default=None)
_next_trace: ContextVar[str | None] = ContextVar("next_trace", default=None)


class Exports:
    """What this process exports, until it is closed."""

    def __init__(self, providers: "list[Any]", traces: "TracerProvider") -> None:
        self.traces = traces
        self._providers = providers

    def close(self) -> None:
        """Send what waits, within a bound: an ending is not held up by a collector."""
        sent = Thread(target=self._shutdown, name="last-exports", daemon=True)
        sent.start()
        sent.join(limits.EXPORT_LAST_S)

    def _shutdown(self) -> None:
        for provider in self._providers:
            provider.shutdown()


def wanted(environ: Mapping[str, str] = os.environ) -> bool:
    """Say whether the environment names a collector."""
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    return any(environ.get(name) for name in (_ENDPOINT, _of("TRACES"), _of("METRICS")))


def traced() -> bool:
    """Say whether a span that is begun in this process goes anywhere.

    It does where `start` was, or where a module with agents has set up an SDK of its own.
    """
    trace: Any = sys.modules.get("opentelemetry.trace")  # redis-py imports it wherever it is there
    if trace is None:
        return False
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def start(service: str, environ: Mapping[str, str] = os.environ) -> Exports | None:
    """Export from this process from now on, if its environment wants it.

    To be called after a fork, for threads are not inherited.
    """
    if not wanted(environ):
        return None
    protocol = environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    if protocol != "http/protobuf":
        log.warning(_NO_GRPC, protocol)
    try:
        return _started(service, environ)
    except ModuleNotFoundError as missing:
        log.warning(_NO_SDK, extra={"missing": missing.name})
        return None


@contextlib.contextmanager
def exporting(service: str) -> Iterator[Exports | None]:
    """Export what is done inside, and send all of it before going on.

    Inside another one it does nothing: the app that MCP over stdio asks is a part of its process.
    """
    exports = None if traced() else start(service)
    try:
        yield exports
    finally:
        if exports is not None:
            exports.close()


@contextlib.contextmanager
def named(span: str, trace: str) -> Iterator[None]:
    """Let the span that is begun inside have this id, and this trace's where it has no parent."""
    tokens = _next_span.set(span), _next_trace.set(trace)
    try:
        yield
    finally:
        _next_span.reset(tokens[0])
        _next_trace.reset(tokens[1])


def _started(service: str, environ: Mapping[str, str]) -> Exports:
    from opentelemetry import metrics, trace  # noqa: PLC0415 - only where it is wanted
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - as above
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - as above

    resource = Resource.create(
        {
            "service.name": environ.get("OTEL_SERVICE_NAME") or service,
            "service.instance.id": f"{socket.gethostname()}.{os.getpid()}",
        }
    )
    traces = TracerProvider(resource=resource, id_generator=_ids(), shutdown_on_exit=False)
    if _sends("TRACES", environ):
        _send_spans(traces)
    trace.set_tracer_provider(traces)
    if not _sends("METRICS", environ):
        return Exports([traces], traces)
    figures = _figures(resource)
    metrics.set_meter_provider(figures)
    return Exports([traces, figures], traces)


def _send_spans(traces: "TracerProvider") -> None:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - as above
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - as above

    traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))


def _figures(resource: Any) -> Any:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415 - as above
        OTLPMetricExporter,
    )
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415 - as above
    from opentelemetry.sdk.metrics.export import (  # noqa: PLC0415 - as above
        PeriodicExportingMetricReader,
    )

    reader = PeriodicExportingMetricReader(OTLPMetricExporter())
    return MeterProvider([reader], resource, shutdown_on_exit=False)


def _ids() -> Any:
    """Make what draws ids, except where `named` says which comes next."""
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator  # noqa: PLC0415 - as above

    class _Ids(RandomIdGenerator):
        def generate_span_id(self) -> int:
            span = _next_span.get()
            return super().generate_span_id() if span is None else int(span, 16)

        def generate_trace_id(self) -> int:
            trace = _next_trace.get()
            return super().generate_trace_id() if trace is None else int(trace, 16)

    return _Ids()


def _sends(signal: str, environ: Mapping[str, str]) -> bool:
    """Say whether there is somewhere to send this, and nobody has switched it off."""
    off = environ.get(f"OTEL_{signal}_EXPORTER", "otlp").lower() == "none"
    return not off and bool(environ.get(_ENDPOINT) or environ.get(_of(signal)))


def _of(signal: str) -> str:
    return f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT"
