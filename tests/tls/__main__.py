"""Servers and Sentinels by TLS: `python -m tests.tls`, or say plainly that it was left out.

The server that we bring along speaks no TLS, Debian's does. It is not looked for on PATH alone: who
has it there would run every other suite on it too.
"""

import os
import sys

import pytest

from tests.tls.bed import SERVER, find_server

if __name__ == "__main__":
    if find_server() is None:
        print("LEFT OUT: TLS to Redis was not tested: there is no redis-server that speaks it")  # noqa: T201 -- for a person
        print(f"On Debian: apt install redis-server; or name one in {SERVER}")  # noqa: T201 -- the same
        sys.exit(os.environ.get("CI") == "true")
    sys.exit(pytest.main(["-q", "--timeout=400", *sys.argv[1:], "tests/tls/cases.py"]))
