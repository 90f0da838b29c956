"""`make node`: drive the door with a stock Node client, or say plainly that there is no Node."""

import os
import shutil
import sys

import pytest

if __name__ == "__main__":
    if missing := [name for name in ("node", "npm") if shutil.which(name) is None]:
        print(f"LEFT OUT: the Node example was not run: no {' and no '.join(missing)} on PATH")  # noqa: T201 -- for a person
        print("It needs Node and npm; on Debian: apt install nodejs npm")  # noqa: T201 -- the same
        sys.exit(os.environ.get("CI") == "true")
    sys.exit(pytest.main(["-q", "--timeout=400", *sys.argv[1:], "tests/node/door.py"]))
