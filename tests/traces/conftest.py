"""The fixtures of the other tests of traces."""

from tests.conftest import fresh, server
from tests.tracing import buckstop, collector, fleet, model

__all__ = ["buckstop", "collector", "fleet", "fresh", "model", "server"]
