"""What a worker tells OpenTelemetry: each subtask that it runs, and each model call in it.

    invoke_agent research        its parent is what the message's headers say
      └ chat gpt-5-mini          every metered call, whoever makes it: workers.llm, an adapter, or
                                 an agent's own `with ctx.meter.call(...)`

Here is what is told where no span goes anywhere: nothing, at the cost of an empty call. The spans
are in telemetry_spans.py, which is imported once somebody has set OpenTelemetry up: this worker,
because its environment names a collector (envelopes/exports.py), or a module with agents, its own
way.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

from envelopes.envelope import Envelope
from envelopes.exports import traced
from envelopes.headers import Headers


class Asking:
    """One model call under way; this one tells nobody."""

    def say(self, attributes: Mapping[str, Any]) -> None:
        """Add what is known of it, in OpenTelemetry's names."""

    def used(self, input_tokens: int, output_tokens: int) -> None:
        """Note what it used."""

    def over(self, error: type[BaseException] | None) -> None:
        """End it."""


class Invocation:
    """One subtask under way; this one tells nobody."""

    def asking(self, _model: str, _max_tokens: int) -> Asking:
        """Begin a model call."""
        return UNTOLD_CALL

    def ended(self, envelope: Envelope | None) -> None:
        """Say what came of it; None where it was taken away."""


UNTOLD_CALL: Final = Asking()
UNTOLD: Final = Invocation()


def invoking(headers: Headers) -> AbstractContextManager[Invocation]:
    """Open what is told of a subtask; inside, its span is the current one."""
    if not traced():
        return nullcontext(UNTOLD)
    from workers import telemetry_spans  # noqa: PLC0415 - it imports OpenTelemetry

    return telemetry_spans.invoking(headers)
