"""Every test here has a deployment of its own or shares one, as a reader would start it."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give a test that starts a whole deployment the time for it."""
    for item in items:
        item.add_marker(pytest.mark.timeout(400))
