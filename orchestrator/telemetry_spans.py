"""Write spans of a task in OpenTelemetry's words, with ids that follow from what they are about.

Called by telemetry_traces.py and courier/traced_spans.py, which say what there is to tell.
"""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import SpanKind

from envelopes.exports import SCOPE, Exports, named
from envelopes.trace import Place, span_of, trace_of
from envelopes.trace_context import going_on_from, span_context
from orchestrator.core.task import Task

NS_PER_MS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Told:
    """One span that is over."""

    name: str
    parent: Place | None
    place: Place | None
    """Which one it is; None for one that nobody refers to."""
    begun_ns: int
    over_ns: int
    attributes: Mapping[str, Any]
    kind: SpanKind = SpanKind.INTERNAL
    links: Sequence[Place] = ()
    error: str | None = None


class Spans:
    """Where the spans of all tasks go."""

    def __init__(self, exports: Exports) -> None:
        self._tracer = exports.traces.get_tracer(SCOPE)
        self._sampler = exports.traces.sampler

    def place(self, task: Task, *what: object) -> Place:
        """Return a span of this task."""
        return self.of_task(task.id, task.terms.traceparent, *what)

    def of_task(self, task: str, traceparent: str | None, *what: object) -> Place:
        """Return a span of a task; whether it is written is its caller's choice, or ours."""
        caller, of = Place.read(traceparent), trace_of(task, traceparent)
        sampled = self._samples(of) if caller is None else caller.sampled
        return Place(of, span_of(task, *what), sampled)

    def write(self, told: Told) -> None:
        """Hand a span to the exporter."""
        place = told.place
        with nullcontext() if place is None else named(place.span, place.trace):
            span = self._tracer.start_span(
                told.name,
                going_on_from(told.parent),
                told.kind,
                told.attributes,
                [trace.Link(span_context(each)) for each in told.links],
                told.begun_ns,
            )
        if told.error is not None:
            span.set_attribute("error.type", told.error)
            span.set_status(trace.StatusCode.ERROR, told.error)
        span.end(max(told.begun_ns, told.over_ns))

    def _samples(self, trace_id: str) -> bool:
        decision = self._sampler.should_sample(None, int(trace_id, 16), SCOPE).decision
        return decision is Decision.RECORD_AND_SAMPLE
