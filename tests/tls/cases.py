"""By TLS: a deployment behind Sentinels, through a fail-over; one server; what errors say.

Servers ask clients for a certificate too, as Redis does unless told otherwise.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from redis.exceptions import RedisError

from envelopes.connection import connect_async
from envelopes.scripts import connect
from orchestrator.cli.exits import Exit
from orchestrator.following import TaskHandle
from tests.fleet import Fleet
from tests.garden import BOUNDS, Garden, growing
from tests.pages import block, commands
from tests.sentinel.bed import PASSWORD, PATIENCE_S, Bed
from tests.sentinel.test_flower import is_readable, shows_depths, shows_no_password
from tests.sentinel.test_page import HOSTS, PAGE, SECRET
from tests.tls.bed import Certificates, find_server
from tests.until import until

BUCKSTOP = str(Path(sys.executable).parent / "buckstop")
READY = "ready to take over: 3 of 3"
ASKED = {"agent": "says", "goal": "light the lamp", "input": "well", **BOUNDS}


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    folder = tmp_path_factory.mktemp("tls")
    with Bed(folder, tls=Certificates.make(folder / "made"), binary=find_server()) as running:
        yield running


@pytest.fixture(scope="module")
def garden(bed: Bed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Garden]:
    """Run orchestrator, worker and Flower, all of them by TLS."""
    folder = tmp_path_factory.mktemp("garden")
    with connect(bed.url) as client, growing(folder, bed.url, client, bed.url) as running:
        yield running


def told(url: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command at this server."""
    return subprocess.run(
        [BUCKSTOP, *command],
        env={**os.environ, "BUCKSTOP_URL": url},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def test_everybody_works_by_tls_with_sentinels_and_server(bed: Bed, garden: Garden) -> None:
    """docs/how-to/sentinel.md: "rediss+sentinel"; orchestrator, worker, Flower, doctor, asyncio."""
    is_readable(garden)
    shows_no_password(garden)
    until("the doctor is content", lambda: READY in told(bed.url, "doctor").stdout)

    async def asked() -> bool:
        async with connect_async(bed.url) as client:
            return bool(await client.ping())

    assert asyncio.run(asked())


def test_the_page_reaches_it_as_pasted(bed: Bed, tmp_path: Path) -> None:
    """docs/how-to/sentinel.md, By TLS: one URL, and the doctor."""
    (secret := tmp_path / "secret").write_text(f"{PASSWORD}\n")
    pasted = "\n".join(commands(block(PAGE, '$ export BUCKSTOP_URL="rediss+sentinel')))
    there = {
        HOSTS: ",".join(f"127.0.0.1:{port}" for port in bed.sentinels),
        SECRET: str(secret),
        "//front@": "//default@",
        "ssl_ca_certs=/etc/redis/ca.crt&ssl_certfile=/etc/redis/client.crt"
        "&ssl_keyfile=/etc/redis/client.key": bed.url.partition("?")[2],
    }
    for theirs, ours in there.items():
        assert theirs in pasted
        pasted = pasted.replace(theirs, ours)
    until("Sentinels see one another", lambda: READY in told(bed.url, "doctor").stdout)
    done = subprocess.run(
        ["sh", "-c", pasted],
        env={**os.environ, "PATH": f"{Path(BUCKSTOP).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert READY in done.stdout, done.stderr


def test_other_services_reach_the_door_by_tls_as_the_command_tells(
    bed: Bed, garden: Garden
) -> None:
    """`buckstop broker` prints what a stock Celery client takes."""
    said = told(bed.url, "broker", "--json").stdout
    script = (
        f"import json; from celery import Celery\nsaid = json.loads({said!r})\n"
        "app = Celery(broker=said['broker'])\n"
        "app.conf.broker_transport_options = said['transport_options']\n"
        "app.conf.broker_use_ssl = said['use_ssl']\n"
        f"app.send_task('buckstop.submit', kwargs={ASKED!r}, queue=said['queue'])\n"
    )
    store = garden.buckstop.store
    before = store.stats()["submitted"]
    sent = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert sent.returncode == 0, sent.stderr
    until("a task is made", lambda: store.stats()["submitted"] > before)


def test_work_goes_on_by_tls_after_a_fail_over(bed: Bed, garden: Garden) -> None:
    """A new primary is found, and its certificate is checked as the old one's was."""
    old = bed.kill_primary()
    until("another is primary", lambda: bed.primary() != old, PATIENCE_S)
    ended = until("a task is taken", lambda: submitted(garden)).result(PATIENCE_S)
    assert ended.outcome == "completed"
    shows_depths(garden)


def submitted(garden: Garden) -> TaskHandle | None:
    """Submit, or return None while no server takes writes."""
    try:
        return garden.buckstop.submit(ASKED)
    except RedisError:
        return None  # its replicas are on their way


def test_who_does_not_know_the_authority_or_speaks_plainly_is_told_of_tls(bed: Bed) -> None:
    """Every message a person reads says what happened, and what to do next."""
    stranger = bed.url.partition("?")[0]
    for url in (stranger, stranger.replace("rediss+", "redis+")):
        said = told(url, "tasks")
        assert said.returncode == Exit.NO_SERVER
        assert "Where they speak TLS, the URL begins with rediss+sentinel://" in said.stderr
        assert "Traceback" not in said.stderr
        assert PASSWORD not in said.stderr


@pytest.mark.parametrize("shows", ["a certificate of its own", "nothing"])
def test_a_worker_tells_its_password_to_no_server_whose_certificate_it_cannot_check(
    shows: str, bed: Bed, tmp_path: Path
) -> None:
    """Kombu by itself would check none where a rediss:// URL says nothing of it."""
    query = [each for each in bed.url.partition("?")[2].split("&") if "_ca_" not in each]
    url = f"rediss://:{quote(PASSWORD)}@127.0.0.1:{bed.primary()}/0"
    named = f"{url}?{'&'.join(query)}" if shows != "nothing" else url
    fleet = Fleet(tmp_path, named, "stranger:", "tests.shown_agents")
    try:
        fleet.worker("w")
        until("it says why", lambda: "CERTIFICATE_VERIFY_FAILED" in fleet.log("w"), 60)
    finally:
        fleet.stop()


def test_one_server_by_tls(bed: Bed, tmp_path: Path) -> None:
    """A rediss:// URL, for a server without Sentinels."""
    query = bed.url.partition("?")[2]
    url = f"rediss://:{quote(PASSWORD)}@127.0.0.1:{bed.primary()}/3?{query}"
    with connect(url) as client, growing(tmp_path, url, client, url) as garden:
        is_readable(garden)
        assert garden.buckstop.store.find_tasks()
