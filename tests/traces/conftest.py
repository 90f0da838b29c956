"""The fixtures of the other tests of traces."""

import pytest

from tests.conftest import fresh, server
from tests.tracing import buckstop, collector, fleet, model

__all__ = ["buckstop", "collector", "fleet", "fresh", "model", "server"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give a test that starts a whole deployment the time for it."""
    for item in items:
        item.add_marker(pytest.mark.timeout(400))
