"""An OTLP/HTTP collector that keeps what it is sent: spans, and by name what figures say."""

import threading
from collections import defaultdict
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.until import until

ERROR = 2


@dataclass(frozen=True)
class Seen:
    """One span as it arrived."""

    name: str
    trace: str
    id: str
    parent: str
    kind: int
    status: int
    service: str
    told: dict[str, Any]
    links: tuple[str, ...]
    begun_ns: int
    over_ns: int


class Collector:
    """Takes what is exported, on a port of its own; the raw bytes too, to look for secrets in."""

    def __init__(self) -> None:
        self.spans: list[Seen] = []
        self.figures: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        self.raw = b""
        self.status = 200
        """What it answers; a collector that is out of order says 503."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._answers())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def of(self, trace: str) -> list[Seen]:
        """Return what has come of one trace so far."""
        return [each for each in self.spans if each.trace == trace]

    def named(self, name: str) -> list[Seen]:
        return [each for each in self.spans if each.name == name]

    def wait(self, name: str, count: int = 1) -> list[Seen]:
        """Wait until so many spans of that name have come."""
        until(f"{count} spans {name}", lambda: len(self.named(name)) >= count)
        return self.named(name)

    def take(self, path: str, raw: bytes) -> None:
        self.raw += raw
        if path == "/v1/traces":
            self._take_spans(ExportTraceServiceRequest.FromString(raw))
        else:
            self._take_figures(ExportMetricsServiceRequest.FromString(raw))

    def _take_spans(self, request: ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            service = _told(resource.resource.attributes)["service.name"]
            for scope in resource.scope_spans:
                self.spans += (_seen(each, service) for each in scope.spans)

    def _take_figures(self, request: ExportMetricsServiceRequest) -> None:
        for resource in request.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    points = getattr(metric, metric.WhichOneof("data")).data_points
                    self.figures[metric.name] += (_told(each.attributes) for each in points)

    def _answers(self) -> type[BaseHTTPRequestHandler]:
        collector = self

        class Answers(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding"):
                    raise AssertionError("nothing asked for compression")
                if collector.status == 200:
                    collector.take(self.path, raw)
                self.send_response(collector.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        return Answers


def _seen(span: Any, service: str) -> Seen:
    return Seen(
        name=span.name,
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        kind=span.kind,
        status=span.status.code,
        service=service,
        told=_told(span.attributes),
        links=tuple(link.span_id.hex() for link in span.links),
        begun_ns=span.start_time_unix_nano,
        over_ns=span.end_time_unix_nano,
    )


def _told(attributes: Any) -> dict[str, Any]:
    return {each.key: _value(each.value) for each in attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    return getattr(value, kind)
