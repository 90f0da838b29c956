"""Spans and figures of subtasks and model calls, named as in the GenAI conventions.

What was asked and answered is never told, nor an error's text, for it may repeat them: a fault has
a name of its own (envelopes.Fault), an exception that of its class.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.metrics import Histogram
from opentelemetry.trace import Span, SpanKind, StatusCode

from envelopes.envelope import Envelope, Status
from envelopes.exports import SCOPE
from envelopes.headers import Headers
from envelopes.measured import histogram
from envelopes.trace import Place, span_of, trace_of
from envelopes.trace_context import going_on_from
from workers.telemetry import Asking, Invocation

_SECONDS: Final = tuple(0.01 * 2**power for power in range(14))
_TOKENS: Final = tuple(4**power for power in range(14))
"""Both as the conventions advise."""
_PROVIDER: Final = "gen_ai.provider.name"
_MODEL: Final = "gen_ai.request.model"


@contextmanager
def invoking(headers: Headers) -> Iterator[Invocation]:
    """Open a subtask's span and make it the current one."""
    with trace.get_tracer(SCOPE).start_as_current_span(
        f"invoke_agent {headers.agent}",
        _parent(headers),
        SpanKind.INTERNAL,
        _about(headers),
        record_exception=False,
    ) as span:
        yield _Invocation(span)


class _Invocation(Invocation):
    def __init__(self, span: Span) -> None:
        self._span = span
        self._input = self._output = 0

    def asking(self, model: str, max_tokens: int) -> Asking:
        return _Asking(self, model, max_tokens, self._parent_of_calls())

    def add(self, input_tokens: int, output_tokens: int) -> None:
        """Sum up what its calls used."""
        self._input += input_tokens
        self._output += output_tokens

    def ended(self, envelope: Envelope | None) -> None:
        span = self._span
        span.set_attribute("gen_ai.usage.input_tokens", self._input)
        span.set_attribute("gen_ai.usage.output_tokens", self._output)
        span.set_attribute("buckstop.outcome", "revoked" if envelope is None else envelope.status)
        if envelope is None:
            return
        if envelope.ask is not None:
            span.set_attribute("buckstop.ask", envelope.ask.kind)
        if envelope.fault is not None or envelope.status is Status.FAILED:
            _fail(span, str(envelope.fault or envelope.status))

    def _parent_of_calls(self) -> Context:
        """Go on from the current span; a thread of the agent's own has none."""
        current = trace.get_current_span()
        known = current.get_span_context().is_valid
        return trace.set_span_in_context(current if known else self._span)


class _Asking(Asking):
    def __init__(
        self, invocation: _Invocation, model: str, max_tokens: int, parent: Context
    ) -> None:
        provider, _, name = model.rpartition(":")
        self._invocation = invocation
        self._told: dict[str, Any] = {"gen_ai.operation.name": "chat"}
        self._told |= {_MODEL: name} if name else {}
        self._told |= {_PROVIDER: provider} if provider else {}
        self._used: tuple[int, int] | None = None
        self._began = perf_counter()
        self._span = trace.get_tracer(SCOPE).start_span(
            f"chat {name}".rstrip(),
            parent,
            SpanKind.CLIENT,
            {**self._told, "gen_ai.request.max_tokens": max_tokens},
        )

    def say(self, attributes: Mapping[str, Any]) -> None:
        self._span.set_attributes(attributes)
        self._told |= {name: attributes[name] for name in (_PROVIDER,) if name in attributes}

    def used(self, input_tokens: int, output_tokens: int) -> None:
        self._used = input_tokens, output_tokens

    def over(self, error: type[BaseException] | None) -> None:
        if self._used is not None:
            self._count(*self._used)
        told = dict(self._told)
        if error is not None:
            _fail(self._span, error.__name__)
            told["error.type"] = error.__name__
        _seconds().record(perf_counter() - self._began, told)
        self._span.end()

    def _count(self, input_tokens: int, output_tokens: int) -> None:
        self._invocation.add(input_tokens, output_tokens)
        for kind, tokens in (("input", input_tokens), ("output", output_tokens)):
            self._span.set_attribute(f"gen_ai.usage.{kind}_tokens", tokens)
            _tokens().record(tokens, {**self._told, "gen_ai.token.type": kind})


def _parent(headers: Headers) -> Context:
    """Return the span that the message names, else the one that it would have named."""
    place = Place.read(headers.traceparent)
    if place is None:
        place = Place(trace_of(headers.task), span_of(headers.task, "subtask", headers.subtask))
    return going_on_from(place)


def _about(headers: Headers) -> dict[str, Any]:
    return {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": headers.agent,
        "gen_ai.conversation.id": headers.task,
        "buckstop.task": headers.task,
        "buckstop.subtask": headers.id,
        "buckstop.agent": headers.agent,
        "buckstop.step": headers.step,
        "buckstop.attempt": headers.attempt,
        "buckstop.hop": headers.hop,
        "buckstop.tenant": headers.tenant,
    }


def _fail(span: Span, error: str) -> None:
    span.set_attribute("error.type", error)
    span.set_status(StatusCode.ERROR, error)


def _seconds() -> Histogram:
    return histogram("gen_ai.client.operation.duration", "How long a model call took.", _SECONDS)


def _tokens() -> Histogram:
    about = "Tokens that a model call used."
    return histogram("gen_ai.client.token.usage", about, _TOKENS, "{token}")
