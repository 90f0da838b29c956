"""Say in OpenTelemetry's own types where a trace goes on. Imported only where they are wanted."""

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanContext

from envelopes.trace import Place


def span_context(place: Place | None) -> SpanContext:
    """Return the span that is meant, which somebody else writes; an invalid one for none."""
    if place is None:
        return trace.INVALID_SPAN_CONTEXT
    flags = trace.TraceFlags(int(place.sampled))
    return SpanContext(int(place.trace, 16), int(place.span, 16), is_remote=True, trace_flags=flags)


def going_on_from(place: Place | None) -> Context:
    """Return the context of a child of that span; of a root where there is none."""
    return trace.set_span_in_context(trace.NonRecordingSpan(span_context(place)))


def place_of(context: SpanContext) -> Place:
    """Return what others call this span."""
    sampled = bool(context.trace_flags & trace.TraceFlags.SAMPLED)
    return Place(f"{context.trace_id:032x}", f"{context.span_id:016x}", sampled)
