"""Rules, dashboards, runbook and /metrics speak of the same things.

What the rules do is tested with promtool (tests/monitoring); here, that nothing in them names what
is not there.
"""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from orchestrator.cli.commands import buckstop
from orchestrator.cli.exits import Exit
from tests.conftest import Fresh
from tests.pages import blocks, commands
from tests.web import orchestrating, running

ROOT = Path(__file__).parents[1]
RUNBOOK = (ROOT / "docs/runbook.md").read_text()
GRAFANA = ROOT / "deploy/grafana"
DASHBOARDS = {path.stem: path for path in sorted((GRAFANA / "dashboards").glob("*.json"))}
SECTIONS = ("What it means.", "How to see it.", "What to do.", "If nobody does.")
GROUPS: list[dict[str, Any]] = [
    group
    for name in ("rules.yml", "limits.yml")
    for group in yaml.safe_load((ROOT / "deploy/prometheus" / name).read_text())["groups"]
]
RULES: list[dict[str, Any]] = [rule for group in GROUPS for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
TARGETS = [
    target["expr"]
    for path in DASHBOARDS.values()
    for panel in json.loads(path.read_text())["panels"]
    for target in panel["targets"]
]


CELLS_ONLY = {"buckstop_cell_up"}
"""Told by a process that sees several cells; tests/test_cells_http.py reads it there."""


@pytest.fixture
def shown(fresh: Fresh) -> set[str]:
    """Return every name that a running deployment tells Prometheus."""
    with orchestrating(fresh), running(fresh) as web:
        told = web.caller("metrics").get("/metrics").text
    names = set()
    for name, kind in re.findall(r"^# TYPE (\S+) (\w+)", told, re.MULTILINE):
        names |= (
            {name} if kind != "histogram" else {f"{name}_bucket", f"{name}_count", f"{name}_sum"}
        )
    return names


def test_every_figure_that_is_asked_for_exists(shown: set[str]) -> None:
    """The brief: "every metric named in rules and dashboards exists on /metrics"."""
    asked = {
        name
        for expression in [*TARGETS, *(rule["expr"] for rule in RULES)]
        for name in re.findall(r"\b(?:buckstop|process)_\w+", expression)
    }
    assert asked
    assert asked - shown == CELLS_ONLY


def test_every_recorded_figure_is_recorded_once_and_used() -> None:
    """What is asked for under a recorded name is recorded; what is recorded is asked for."""
    recorded = [rule["record"] for rule in RULES if "record" in rule]
    expressions = "\n".join([*TARGETS, *(rule["expr"] for rule in RULES)])
    assert set(re.findall(r"\bbuckstop:[\w:]+", expressions)) == set(recorded)
    assert len(recorded) == len(set(recorded))


def test_every_alert_says_what_to_do_and_where_it_is_written() -> None:
    """The issue: "a runbook per alert"."""
    headings = re.findall(r"^## (\w+)$", RUNBOOK, re.MULTILINE)
    assert headings == list(ALERTS), "one entry each, in the order of the rules"
    for alert, rule in ALERTS.items():
        notes = rule["annotations"]
        assert notes["runbook"] == f"docs/runbook.md#{alert.lower()}"
        assert notes["summary"], alert
        assert len(notes["description"]) > 60, alert
        assert rule["labels"]["severity"] in {"critical", "warning"}


def test_every_entry_of_the_runbook_answers_four_questions() -> None:
    """The brief: what it means, how to see it, what to do, what happens if nobody does."""
    for entry in RUNBOOK.split("\n## ")[1:]:
        found = re.findall(r"^\*\*([^*]+)\*\*", entry, re.MULTILINE)
        assert tuple(found) == SECTIONS, entry.splitlines()[0]
        assert "```console" in entry, entry.splitlines()[0]


def seen_with() -> Iterator[str]:
    """Name each command of the runbook's blocks, once."""
    yield from dict.fromkeys(
        command for _, text in blocks("docs/runbook.md") for command in commands(text)
    )


def test_every_command_of_the_runbook_can_be_given(fresh: Fresh, tmp_path: Path) -> None:
    """Ground rule: users must be able to copy every command."""
    prefix = {"BUCKSTOP_PREFIX": fresh.keys.prefix}
    (tmp_path / "cells.yml").write_text(json.dumps({"cells": {"west": {"url": fresh.url}}}))
    cells = {**prefix, "BUCKSTOP_CELLS": str(tmp_path / "cells.yml")}
    given = [shlex.split(command) for command in seen_with()]
    assert len(given) > 10
    for program, *words in given:
        environ = cells if words == ["cells"] else {**prefix, "BUCKSTOP_URL": fresh.url}
        said = CliRunner(env=environ).invoke(buckstop, words)
        # The doctor of a deployment without orchestrators finds something; that is no refusal.
        allowed = {Exit.OK, Exit.ENDED_BADLY} if words == ["doctor"] else {Exit.OK}
        assert program == "buckstop"
        assert said.exit_code in allowed, (words, said.output)


def test_dashboards_are_what_their_script_writes() -> None:
    """The brief: "dashboards are valid JSON with unique ids"."""
    write = "import dashboards as d; print(*(n + chr(10) + d.text(n) for n in d.PAGES), sep=chr(0))"
    run = subprocess.run(
        [sys.executable, "-B", "-c", write], cwd=GRAFANA, capture_output=True, text=True, check=True
    )
    made = dict(each.split("\n", 1) for each in run.stdout.removesuffix("\n").split("\0"))
    assert made == {name: path.read_text() for name, path in DASHBOARDS.items()}


def test_dashboards_can_be_told_apart_and_find_their_source() -> None:
    """Grafana takes two of one uid for the same, and a panel without its source shows nothing."""
    pages = [json.loads(path.read_text()) for path in DASHBOARDS.values()]
    [source] = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())[
        "datasources"
    ]
    assert len({page["uid"] for page in pages}) == len({page["title"] for page in pages}) == 3
    for page in pages:
        ids = [panel["id"] for panel in page["panels"]]
        assert len(set(ids)) == len(ids)
        for panel in page["panels"]:
            assert panel["datasource"]["uid"] == source["uid"]
            assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
            assert panel["description"]
