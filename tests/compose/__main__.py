"""`make compose`: drive docker-compose.yml on a real engine, or say plainly that there is none."""

import sys

import pytest

from tests.compose.engine import missing

if __name__ == "__main__":
    if why := missing():
        print(f"LEFT OUT: docker-compose.yml was not run: {why}")  # noqa: T201 -- for a person
        print("It needs a Docker engine with compose and buildx.")  # noqa: T201 -- the same
        sys.exit(0)
    files = [f"tests/compose/{name}.py" for name in ("deployment", "monitoring", "rights", "pages")]
    sys.exit(pytest.main(["-qx", "--tb=short", "--timeout=900", *sys.argv[1:], *files]))
