"""The API against its own description: schemathesis, with all of its checks.

The app, an orchestrator and what they work on are real: letters of each kind, a question's address,
an agent, a token, a subscription. Their ids are given to schemathesis, so that it gets beyond "not
found". BUCKSTOP_CONTRACT_EXAMPLES sets how many examples it draws for each operation.

Streams are left out: one that follows everything has no end (tests/test_live.py has them).
"""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from orchestrator import keyfile
from orchestrator.tokens import Tokens
from tests.conftest import Fresh
from tests.until import PATIENCE_S, until
from tests.web import TASK, Web, asked, on_the_desk, set_aside

ROOT = Path(__file__).parents[1]
CONFIG = Path(__file__).with_name("schemathesis.toml")
SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
FEW = 2
EXAMPLES = int(os.environ.get("BUCKSTOP_CONTRACT_EXAMPLES", FEW))
SUBMIT = 'include-name = "POST /v1/tasks"'
"""Its systematic cases are three thousand, twice all others: they are left to the longer runs."""
SEED = os.environ.get("BUCKSTOP_CONTRACT_SEED", "20261121")
HOOK = {"kind": "webhook", "url": "http://127.0.0.1:9/", "allow_private": True}


@pytest.fixture
def web(fresh: Fresh, tmp_path: Path) -> Iterator[Web]:
    """Run the app and an orchestrator as processes of their own, as they are meant to be run."""
    environ = os.environ | {
        "BUCKSTOP_URL": fresh.url,
        "BUCKSTOP_PREFIX": fresh.keys.prefix,
        "BUCKSTOP_SIGNING_KEY_FILE": str(keyfile.make(tmp_path).private),
    }
    with (
        socket.create_server(("127.0.0.1", 0)) as door,
        ended(["orchestrator.http", "--fd", str(door.fileno())], environ, tmp_path, door),
        ended(["orchestrator.serve"], environ, tmp_path),
    ):
        url = f"http://127.0.0.1:{door.getsockname()[1]}"
        web = Web(url, fresh.client, fresh.keys, Tokens(fresh.client, fresh.keys))
        until("ready", lambda: httpx.get(f"{url}/readyz", timeout=PATIENCE_S).is_success)
        yield web
        for client in web.clients:
            client.close()


@contextmanager
def ended(
    words: list[str], environ: dict[str, str], folder: Path, *given: socket.socket
) -> Iterator[None]:
    """Run a module until the block ends; it is given these sockets."""
    command = [sys.executable, "-m", *words]
    with (folder / f"{words[0]}.log").open("w") as log:
        fds = [each.fileno() for each in given]
        process = subprocess.Popen(command, env=environ, cwd=ROOT, stderr=log, pass_fds=fds)
        try:
            yield
        finally:
            process.terminate()
            process.wait(PATIENCE_S)


def there(fresh: Fresh, web: Web) -> dict[str, list[str]]:
    """Bring about something of each kind; return ids by the parameter they are for."""
    ada = web.caller()
    letters = [on_the_desk(fresh, ada), asked(fresh, ada, "red"), asked(fresh, ada)]
    tasks = [ada.post("/v1/tasks", json=TASK).json()["id"] for _ in range(2)]
    waits = [ada.post(f"/v1/letters/{each}/wait-token", json={}).json() for each in letters[1:]]
    token = ada.post("/v1/tokens", json={"name": "spare", "scopes": ["read"]}).json()["id"]
    hook = ada.post("/v1/subscriptions", json=HOOK).json()["id"]
    return {
        "path.task_id": tasks,
        "path.letter_id": [*letters, *(set_aside(fresh) for _ in range(5))],
        "path.token": [each["token"] for each in waits],
        "path.name": ["greet"],
        "path.token_id": [token],
        "path.subscription_id": [hook],
    }


def configured(ids: dict[str, list[str]], folder: Path) -> Path:
    """Write the configuration, with the ids for half of the examples."""
    text = CONFIG.read_text()
    if EXAMPLES == FEW:
        assert SUBMIT in text
        text = text.replace(SUBMIT, f"{SUBMIT}\nphases.coverage.enabled = false")
    lines = [text]
    for name, values in ids.items():
        place = name.partition(".")[2]
        lines.append(f"[dictionaries.{place}]\nvalues = {values!r}\n")
    lines.append("[parameters]")
    for name in ids:
        place = name.partition(".")[2]
        lines.append(f'"{name}" = {{ dictionary = "{place}", probability = 0.5 }}')
    path = folder / "schemathesis.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.timeout(300 + 10 * EXAMPLES)
def test_the_api_does_what_it_says_of_itself(fresh: Fresh, web: Web, tmp_path: Path) -> None:
    """The issue: "survives schemathesis (all checks) on its own OpenAPI with zero failures"."""
    config = configured(there(fresh, web), tmp_path)
    command = [str(SCHEMATHESIS), "--config-file", str(config), "run", f"{web.url}/openapi.json"]
    command += ["--header", f"Authorization: Bearer {web.token()}", "--checks", "all"]
    command += ["--max-examples", str(EXAMPLES), "--seed", SEED, "--no-color"]
    command += ["--exclude-path-regex", "/events$", "--request-timeout", "30"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " generated, " in done.stdout, done.stdout
