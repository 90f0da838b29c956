"""A real Prometheus scrapes a running deployment; what dashboards ask of it has answers."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis import Redis

from envelopes import Amounts, Envelope
from envelopes.keys import Keys
from orchestrator.embedded import EmbeddedServer
from tests.conftest import Fresh
from tests.hands import Hand
from tests.monitoring.server import Prometheus, prometheus
from tests.web import TASK, Web, asked, on_the_desk, orchestrating, running, set_aside

pytestmark = pytest.mark.timeout(400)
DASHBOARDS = sorted((Path(__file__).parents[2] / "deploy/grafana/dashboards").glob("*.json"))
QUERIES = [
    (page.stem, panel["title"], target["expr"])
    for page in DASHBOARDS
    for panel in json.loads(page.read_text())["panels"]
    for target in panel["targets"]
]
VARIABLES = {"$agent": ".*", "$__rate_interval": "1m"}


def play(fresh: Fresh, web: Web) -> None:
    """Let one of everything happen that is shown only once it has happened."""
    ada = web.caller()
    done = ada.post("/v1/tasks", json=TASK)
    assert done.is_success, done.text
    hand = Hand(fresh.client, fresh.keys, "greet")
    while not (jobs := hand.take()):
        pass
    hand.answer(jobs[0], Envelope.success("hello", 0.9), Amounts(7, 100, 1))
    while ada.get(f"/v1/tasks/{done.json()['id']}").json()["state"] != "completed":
        pass
    on_the_desk(fresh, ada)
    asked(fresh, ada)
    set_aside(fresh)
    assert ada.post("/v1/agents/greet/cap", json={"cap": 3}).is_success


@dataclass(frozen=True)
class Live:
    """A deployment, and who looks at it."""

    web: Web
    prometheus: Prometheus


@pytest.fixture(scope="module")
def seen(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Let something happen in a deployment, under the eyes of a Prometheus."""
    folder = tmp_path_factory.mktemp("prometheus")
    with Redis.from_url(server.url) as client:
        client.config_set("maxmemory", 10**9)
        fresh = Fresh(server.url, client, Keys())
        with orchestrating(fresh), running(fresh) as web:
            token = web.token("metrics", name="prometheus")
            with prometheus(folder, web.url.removeprefix("http://"), token) as found:
                found.wait("buckstop_orchestrator_serving == 1")
                play(fresh, web)
                found.wait("count_over_time(buckstop_spent_tokens_total[1m]) > 3")
                yield Live(web, found)


@pytest.mark.parametrize(("page", "panel", "expression"), QUERIES)
def test_every_query_of_a_dashboard_has_an_answer(
    seen: Live, page: str, panel: str, expression: str
) -> None:
    """The issue: "Grafana dashboards": no chart is empty where there is something to show."""
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    assert seen.prometheus.wait(expression), (page, panel)


def test_every_rule_is_evaluated_and_none_fires_without_a_reason(seen: Live) -> None:
    """The issue: "alert rules"; a deployment with a forged message would be another matter."""
    groups = seen.prometheus.ask("rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert {rule["health"] for rule in rules if rule["health"] != "unknown"} == {"ok"}
    firing = {
        each["metric"]["alertname"] for each in seen.prometheus.query('ALERTS{alertstate="firing"}')
    }
    assert firing == set()


def test_promtool_finds_nothing_to_mend_in_our_names(seen: Live) -> None:
    """The brief: "Prometheus conventions, units, _total"; every figure says what it is."""
    figures = seen.web.caller("metrics").get("/metrics").content
    run = subprocess.run(
        ["promtool", "check", "metrics"], input=figures, capture_output=True, check=False
    )
    assert (run.returncode, run.stderr) == (0, b"")
