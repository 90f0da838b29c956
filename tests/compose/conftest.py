"""One deployment for all tests here: to build and start it takes longer than any of them."""

from collections.abc import Iterator

import pytest

from tests.compose.engine import Deployment


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    deployment = Deployment(tmp_path_factory.mktemp("compose"))
    try:
        deployment.up()
        yield deployment
    finally:
        deployment.down()
