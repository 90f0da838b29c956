"""Each alert fires when it must, not before, and not otherwise; promtool says so."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.monitoring.cases import CASES, Series

RULES = Path(__file__).parents[2] / "deploy/prometheus"
ALERTS = {
    rule["alert"]: rule
    for group in yaml.safe_load((RULES / "rules.yml").read_text())["groups"]
    for rule in group["rules"]
    if "alert" in rule
}


def fired(folder: Path, alert: str, series: Series, at: str, expected: int) -> str:
    """Ask promtool whether so many alerts of a name fire at a time; return what it objects to."""
    asked = f'count(ALERTS{{alertname="{alert}", alertstate="firing"}}) or vector(0)'
    said = {
        "rule_files": [str(RULES / "limits.yml"), str(RULES / "rules.yml")],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": s, "values": v} for s, v in series.items()],
                "promql_expr_test": [
                    {
                        "expr": asked,
                        "eval_time": at,
                        "exp_samples": [{"labels": "{}", "value": expected}],
                    }
                ],
            }
        ],
    }
    file = folder / "case.yml"
    file.write_text(json.dumps(said))  # JSON is YAML
    run = subprocess.run(
        ["promtool", "test", "rules", str(file)], capture_output=True, text=True, check=False
    )
    return "" if run.returncode == 0 else run.stdout + run.stderr


@pytest.mark.parametrize("alert", CASES)
def test_an_alert_fires_when_it_must_and_once(alert: str, tmp_path: Path) -> None:
    """The issue: "the rules unit-tested with promtool"; two processes are one alert."""
    case = CASES[alert]
    assert not fired(tmp_path, alert, case.bad, case.after, 1)


@pytest.mark.parametrize("alert", CASES)
def test_an_alert_is_silent_when_all_is_well(alert: str, tmp_path: Path) -> None:
    """An alert that cries wolf is switched off by whoever has it."""
    case = CASES[alert]
    assert not fired(tmp_path, alert, case.good, case.after, 0)


@pytest.mark.parametrize("alert", [name for name, rule in ALERTS.items() if "for" in rule])
def test_an_alert_waits_as_long_as_it_says(alert: str, tmp_path: Path) -> None:
    """A restart is no reason to wake anybody."""
    assert not fired(tmp_path, alert, CASES[alert].bad, "0m", 0)


def test_every_alert_is_tested() -> None:
    """A rule without a test is a wish."""
    assert set(CASES) == set(ALERTS)


def test_the_rules_and_the_configuration_are_sound() -> None:
    """Promtool reads them as Prometheus does, templates included."""
    files = [str(RULES / name) for name in ("rules.yml", "limits.yml")]
    subprocess.run(["promtool", "check", "rules", *files], check=True, capture_output=True)
    config = ["promtool", "check", "config", "--syntax-only", str(RULES / "prometheus.yml")]
    subprocess.run(config, check=True, capture_output=True)
