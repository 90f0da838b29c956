"""Make OpenTelemetry's histograms, each once in a process. Imported only where they are wanted."""

from functools import cache
from typing import Final

from opentelemetry.metrics import Histogram, get_meter

from envelopes.exports import SCOPE

HTTP_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""Bounds that the conventions advise for a request over HTTP."""


@cache
def histogram(name: str, about: str, bounds: tuple[float, ...], unit: str = "s") -> Histogram:
    """Return the histogram of this name."""
    return get_meter(SCOPE).create_histogram(
        name, unit, about, explicit_bucket_boundaries_advisory=bounds
    )
