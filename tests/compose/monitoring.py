"""Prometheus beside a deployment: it gets in with its secret, and sees everything.

Prometheus is built here from Debian's package, since no registry can be reached; Grafana has no
such package, so of it only what can be read without running it is looked at.
"""

import json
import re
import shutil
from collections.abc import Iterator

import httpx
import pytest

from tests.compose.engine import PROJECT, PROMETHEUS, Deployment, until
from tests.pages import block, commands

PAGE = "docs/how-to/monitoring.md"
_ANSWER = re.compile(r"^(.*) => (\S+) @", re.MULTILINE)
STAND_IN = """\
FROM python:3.11-slim
COPY prometheus promtool /usr/bin/
RUN install -d -o nobody /prometheus
USER nobody
ENTRYPOINT ["/usr/bin/prometheus"]
"""


@pytest.fixture(scope="module")
def monitored(
    deployed: Deployment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """Start what the profile names, but for Grafana."""
    context = tmp_path_factory.mktemp("prometheus")
    for name in ("prometheus", "promtool"):
        found = shutil.which(name)
        assert found, f"{name} is missing; install it with: apt-get install prometheus"
        shutil.copy(found, context)
    (context / "Dockerfile").write_text(STAND_IN)
    deployed.run("docker", "build", "--quiet", "--tag", PROMETHEUS, str(context))
    _, start = commands(block(PAGE, "$ sh deploy/make-secrets.sh"))
    deployed.run("sh", "-ec", f"{start} prometheus")
    yield deployed
    deployed.compose("--profile", "monitoring", "stop", "prometheus")


def asked(deployment: Deployment, query: str) -> dict[str, float]:
    """Ask Prometheus as the page says; return each series with its figure."""
    [command] = commands(block(PAGE, "$ docker compose exec prometheus"))
    *words, _ = command.removeprefix("docker compose exec ").split()
    said = deployment.compose("exec", "--no-TTY", *words, query)
    return {series: float(value) for series, value in _ANSWER.findall(said)}


def test_prometheus_gets_in_with_its_secret_and_sees_everything(monitored: Deployment) -> None:
    """The issue: "Prometheus"; its token opens /metrics and nothing else."""
    up = until(
        "both are scraped", lambda: asked(monitored, "up"), lambda s: [*s.values()] == [1, 1]
    )
    assert {job for series in up for job in re.findall(r'job="(\w+)"', series)} == {
        *("buckstop", "flower"),
    }
    serving = asked(monitored, "buckstop_orchestrator_serving")
    assert list(serving.values()) == [1]
    recorded = lambda: asked(monitored, "buckstop:limit:usd_per_hour")  # noqa: E731
    assert until("rules are evaluated", recorded)
    token = (monitored.secrets / "prometheus_token").read_text().strip()
    show = {"Authorization": f"Bearer {token}"}
    assert httpx.get(f"{monitored.client.base_url}/metrics", headers=show).status_code == 200
    assert httpx.get(f"{monitored.client.base_url}/v1/tasks", headers=show).status_code == 403


def test_prometheus_is_hardened_as_the_rest_is(monitored: Deployment) -> None:
    """The issue: "health checks, restart policies, resource limits, non-root, read-only"."""
    [prometheus] = monitored.containers("prometheus")
    about = monitored.inspect(prometheus)
    host = about["HostConfig"]
    assert about["State"]["Health"]["Status"] == "healthy"
    assert about["Config"]["User"] not in {"", "0", "root"}
    assert (host["ReadonlyRootfs"], host["CapDrop"]) == (True, ["ALL"])
    assert min(host["Memory"], host["NanoCpus"]) > 0
    assert list(about["NetworkSettings"]["Networks"]) == [f"{PROJECT}_inside"]
    assert not host["PortBindings"]
    token = (monitored.secrets / "prometheus_token").read_text().strip()
    assert token not in str(about)


def test_grafana_is_hardened_as_the_rest_is(deployed: Deployment) -> None:
    """Its image cannot be had here: this is what docker compose makes of the file."""
    made = json.loads(deployed.compose("--profile", "monitoring", "config", "--format", "json"))
    grafana = made["services"]["grafana"]
    assert grafana["user"] not in {"", "0", "root"}
    assert (grafana["read_only"], grafana["cap_drop"]) == (True, ["ALL"])
    assert {"healthcheck", "restart", "deploy", "secrets"} <= grafana.keys()
    assert "GF_SECURITY_ADMIN_PASSWORD" not in grafana["environment"]
    assert grafana["ports"][0]["host_ip"] == "127.0.0.1"
    [command] = commands(block(PAGE, "$ cat deploy/secrets"))
    assert len(deployed.run(*command.replace("deploy/secrets", str(deployed.secrets)).split())) > 40
