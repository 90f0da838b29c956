"""docs/how-to/monitoring.md for those who have a Prometheus: its own text is run."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Fresh
from tests.monitoring.server import RULES
from tests.pages import block
from tests.web import Web, orchestrating, running

PAGE = "docs/how-to/monitoring.md"


@pytest.fixture
def web(fresh: Fresh) -> Iterator[Web]:
    with orchestrating(fresh), running(fresh) as web:
        yield web


def test_a_token_is_made_and_opens_the_figures(fresh: Fresh, web: Web, tmp_path: Path) -> None:
    """The page: "Make a token, and keep it where your Prometheus reads secrets"."""
    text = block(PAGE, "$ buckstop token new prometheus").replace("$ ", "", 1).replace("\n$ ", "\n")
    environ = {
        **os.environ,
        "BUCKSTOP_URL": fresh.url,
        "BUCKSTOP_PREFIX": fresh.keys.prefix,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    commands = ["sh", "-ec", text.replace("http://127.0.0.1:8780", web.url)]
    subprocess.run(commands, cwd=tmp_path, env=environ, check=True)
    assert "buckstop_orchestrator_serving 1.0" in (tmp_path / "figures.txt").read_text()


def test_the_job_and_the_alertmanager_are_as_prometheus_reads_them(tmp_path: Path) -> None:
    """Both pieces are put together with our rules, and checked as a whole."""
    for rules in ("rules.yml", "limits.yml"):
        (tmp_path / rules).write_text((RULES / rules).read_text())
    (tmp_path / "prometheus_token").write_text("bk_")
    (tmp_path / "alertmanagers").mkdir()
    mine = block(PAGE, "# deploy/prometheus/alertmanagers/mine.yml")
    (tmp_path / "alertmanagers/mine.yml").write_text(mine)
    ours = (RULES / "prometheus.yml").read_text()
    alerting = ours[ours.index("alerting:") : ours.index("scrape_configs:")]
    config = tmp_path / "prometheus.yml"
    config.write_text(block(PAGE, "rule_files:") + alerting)
    run = subprocess.run(
        ["promtool", "check", "config", str(config)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "2 rule files found" in run.stdout
