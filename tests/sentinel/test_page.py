"""docs/how-to/sentinel.md, as pasted."""

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

from envelopes.keys import Keys
from envelopes.scripts import connect
from orchestrator.store import Store
from tests.fleet import Fleet
from tests.pages import block, commands
from tests.sentinel.bed import PASSWORD, PATIENCE_S, Bed
from tests.until import until

pytestmark = pytest.mark.timeout(400)
KEYS = Keys()
PAGE = "docs/how-to/sentinel.md"
HOSTS = "sentinel-1:26379,sentinel-2:26379,sentinel-3:26379"
SECRET = "/run/secrets/redis_front"


def test_a_deployment_behind_sentinels_is_reached_as_the_page_says(tmp_path: Path) -> None:
    """The page: one URL for every process, and the doctor says how careful the servers are."""
    secret = tmp_path / "secret"
    secret.write_text(f"{PASSWORD}\n")
    script = [
        *commands(block(PAGE, "$ export BUCKSTOP_URL=redis+sentinel")),
        *commands(block(PAGE, "$ export BUCKSTOP_REPLICAS=1")),
    ]
    with Bed(tmp_path / "bed") as bed:
        hosts = ",".join(f"127.0.0.1:{port}" for port in bed.sentinels)
        pasted = "\n".join(script).replace(HOSTS, hosts).replace(SECRET, str(secret))
        done = subprocess.run(
            ["sh", "-c", pasted.replace("//front@", "//default@")],
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    assert "replicas: 2 replicas, and writes go on where none follows" in done.stdout, done.stderr
    assert done.stdout.splitlines()[-2].startswith("not fit"), "no orchestrator runs here"
    assert len(done.stdout.splitlines()[-1]) == 20, "the last command submits, and prints an id"


def test_other_services_submit_through_the_same_sentinels_as_the_page_says(tmp_path: Path) -> None:
    """The page: "Services that submit by Celery name the Sentinels in Celery's own way"."""
    with Bed(tmp_path / "bed") as bed, connect(bed.url) as client:
        pasted = block(PAGE, "from celery import Celery").replace("PASSWORD", quote(PASSWORD))
        for name, port in zip(HOSTS.split(","), bed.sentinels, strict=True):
            pasted = pasted.replace(name, f"127.0.0.1:{port}")
        fleet = Fleet(tmp_path, bed.url, KEYS.prefix, "tests.chaos_agents")
        store = Store(client, KEYS)
        try:
            fleet.orchestrator("orchestrator-1")
            sent = subprocess.run(
                [sys.executable, "-c", pasted],
                capture_output=True,
                text=True,
                timeout=PATIENCE_S,
                check=False,
            )
            assert sent.returncode == 0, sent.stderr
            until("the door has made a task of it", lambda: len(store.find_tasks()) == 1)
        finally:
            fleet.stop()
