"""What Prometheus reads: this process's own requests, and what the deployment's server counts.

Figures of the deployment are the same from every process: scrape one, or take the `max`.
"""

from collections.abc import Iterator
from typing import Final

from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from envelopes.letter import Facet
from orchestrator.client import Buckstop
from orchestrator.http.access import Reads
from orchestrator.view import AgentView
from orchestrator.wanted import Stage, TasksWanted

router = APIRouter(tags=["health"])

MEDIA_TYPE: Final = "text/plain; version=0.0.4"
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "DELETE", "OPTIONS"})
_NO_ROUTE: Final = "none"


class Meters:
    """What one process measures of itself, and where the rest is asked for."""

    def __init__(self, buckstop: Buckstop) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(Deployment(buckstop))
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

    def count(self, method: str, route: str, status: int, seconds: float, *, stream: bool) -> None:
        """Count one request. A stranger's paths and methods make no series of their own."""
        known = method if method in _METHODS else "other"
        self._requests.labels(known, route or _NO_ROUTE, status).inc()
        if not stream:
            self._seconds.labels(route or _NO_ROUTE).observe(seconds)


class Deployment(Collector):
    """Asks the server when it is scraped, and keeps nothing."""

    def __init__(self, buckstop: Buckstop) -> None:
        self._buckstop = buckstop

    def describe(self) -> Iterator[Metric]:
        """Name nothing: the registry need not ask the server when it is made."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Yield everything there is to count."""
        store = self._buckstop.store
        yield _counted("buckstop_events", "What has happened, by name.", "event", store.stats())
        stages = {stage.value: store.count_tasks(TasksWanted(stage)) for stage in Stage}
        yield _gauge("buckstop_tasks", "Tasks that are kept, by stage.", "stage", stages)
        kinds = store.group_letters(Facet.KIND)
        yield _gauge("buckstop_letters_open", "Letters that wait for a person.", "kind", kinds)
        queues = {name: depth for _, name, depth in store.queues()}
        queues |= dict([store.dead_letters()])
        yield _gauge("buckstop_queue_depth", "Messages nobody has fetched.", "queue", queues)
        yield from _of_agents(self._buckstop.agents())
        workers = GaugeMetricFamily("buckstop_workers", "Worker processes that live.")
        workers.add_metric((), len(store.workers()))
        yield workers
        serving = GaugeMetricFamily("buckstop_orchestrator_serving", "Whether one looks for work.")
        serving.add_metric((), int(store.serving()))
        yield serving


@router.get(
    "/metrics",
    operation_id="metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def metrics(request: Request, caller: Reads) -> Response:
    """Return figures for Prometheus."""
    caller.require_all_tenants()
    meters: Meters = request.app.state.meters
    return Response(generate_latest(meters.registry), media_type=MEDIA_TYPE)


def _of_agents(agents: list[AgentView]) -> Iterator[Metric]:
    yield _gauge(
        "buckstop_agent_in_flight",
        "Messages that are not settled.",
        "agent",
        {one.name: one.in_flight for one in agents},
    )
    yield _gauge(
        "buckstop_agent_workers",
        "Processes that run it and live.",
        "agent",
        {one.name: one.workers for one in agents},
    )
    yield _gauge(
        "buckstop_breaker_open",
        "Whether the agent is sent nothing.",
        "agent",
        {one.name: int(one.breaker_open) for one in agents},
    )


def _gauge(name: str, about: str, label: str, values: dict[str, int]) -> Metric:
    family = GaugeMetricFamily(name, about, labels=(label,))
    for value, figure in values.items():
        family.add_metric((value,), figure)
    return family


def _counted(name: str, about: str, label: str, values: dict[str, int]) -> Metric:
    family = CounterMetricFamily(name, about, labels=(label,))
    for value, figure in values.items():
        family.add_metric((value,), figure)
    return family
