"""What Prometheus reads: this process's own requests, and what the deployment's server counts.

Figures of the deployment are the same from every process: scrape one, or take the `max`. What they
are called stands in figures.py, what they are in orchestrator/figures.py. Whoever reads them shows
a token with the scope `metrics`, which opens nothing else, or `read`.
"""

import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from redis import Redis

from envelopes.keys import Keys
from orchestrator import checks
from orchestrator.cells.facade import Cells
from orchestrator.checks import Verdict
from orchestrator.http.access import Measures
from orchestrator.http.figure import Figure, Seen
from orchestrator.http.figures import DEPLOYMENT
from orchestrator.http.figures_redis import REDIS
from orchestrator.http.methods import METHODS
from orchestrator.store import Store

router = APIRouter(tags=["health"])

ALL: Final[tuple[Figure, ...]] = (*DEPLOYMENT, *REDIS)
"""Every figure that is the deployment's."""
MEDIA_TYPE: Final = "text/plain; version=0.0.4"
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_NO_ROUTE: Final = "none"


class Meters:
    """What one process measures of itself, and where the rest is asked for."""

    def __init__(self, deployment: Collector, streams: Callable[[], int]) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(deployment)
        ProcessCollector(registry=self.registry)
        Info("buckstop_build", "Which version this process is.", registry=self.registry).info(
            {"version": version("buckstop")}
        )
        self._requests = Counter(
            "buckstop_http_requests",
            "Requests that were answered, by route and status.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "buckstop_http_request_seconds",
            "How long a request took to its last byte; streams are not counted.",
            ("route",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        open_streams = Gauge(
            "buckstop_http_streams", "Event streams that are open.", registry=self.registry
        )
        open_streams.set_function(streams)

    def count(self, method: str, route: str, status: int, seconds: float, *, stream: bool) -> None:
        """Count one request. A stranger's paths and methods make no series of their own."""
        known = method if method in METHODS else "other"
        self._requests.labels(known, route or _NO_ROUTE, status).inc()
        if not stream:
            self._seconds.labels(route or _NO_ROUTE).observe(seconds)


class Deployment(Collector):
    """Asks the server when it is scraped, and keeps nothing."""

    def __init__(self, client: Redis, keys: Keys) -> None:
        self._store, self._keys = Store(client, keys), keys
        self._client: Any = client  # its types leave open whether it answers now or later

    def describe(self) -> Iterator[Metric]:
        """Name nothing: the registry need not ask the server when it is made."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Yield everything there is to count, and how long it took to look."""
        began = time.perf_counter()
        seen = self._look()
        for figure in ALL:
            yield figure.family(seen)
        took = GaugeMetricFamily("buckstop_scrape_seconds", "How long it took to look.")
        took.add_metric((), time.perf_counter() - began)
        yield took

    def _look(self) -> Seen:
        findings = checks.inspect(self._client)
        passed: dict[str, bool] = {}
        for one in findings:
            refused = one.verdict is Verdict.REFUSED
            passed[one.check] = passed.get(one.check, True) and not refused
        return Seen(
            figures=self._store.figures(),
            info=self._client.info(),
            checks=passed,
            queue_of=self._keys.queue,
        )


class CellsUp(Collector):
    """Says which cells answer. What is in a cell is measured by a process of that cell."""

    def __init__(self, cells: Cells) -> None:
        self._cells = cells

    def describe(self) -> Iterator[Metric]:
        """Name nothing: the registry need not ask anybody when it is made."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Yield of each cell whether it answers."""
        up = GaugeMetricFamily("buckstop_cell_up", "Whether a cell answers.", labels=("cell",))
        for one in self._cells.states():
            up.add_metric((one.cell,), int(one.away is None))
        yield up


@router.get(
    "/metrics",
    operation_id="metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def metrics(request: Request, caller: Measures) -> Response:
    """Return figures for Prometheus."""
    caller.require_all_tenants()
    meters: Meters = request.app.state.meters
    return Response(generate_latest(meters.registry), media_type=MEDIA_TYPE)
