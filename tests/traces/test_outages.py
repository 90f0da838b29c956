"""Traces where something is killed, away or switched off; it takes a while, so it has its place."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from envelopes.trace import span_of, trace_of
from tests.fleet import Fleet
from tests.otlp import ERROR
from tests.pages import block, commands
from tests.tracing import CALLER, PAGE, TASK, parent_of, started
from tests.until import until

AGENTS = """from workers import Envelope, agent

@agent("research")
def research(ctx, goal):
    return Envelope.success({"text": goal}, confidence=0.9)
"""


def test_a_killed_workers_subtask_has_a_span_and_so_has_the_one_in_its_place(
    fleet, collector, buckstop, tmp_path
) -> None:
    """Silence becomes an envelope: "its step is re-issued to the same agent under a new id"."""
    started(fleet)
    handle = buckstop.submit(TASK, agent="mortal")
    until("the agent runs", (tmp_path / "was-here").exists)
    fleet.kill("w")
    assert handle.result(100).outcome == "completed"
    lost, again = sorted(collector.wait("buckstop.subtask", 2), key=lambda s: s.begun_ns)
    trace = trace_of(handle.id)
    assert {lost.trace, again.trace} == {trace}
    assert (lost.status, lost.told["buckstop.outcome"]) == (ERROR, "lost")
    assert lost.id == span_of(handle.id, "subtask", 1)
    assert again.told["buckstop.outcome"] == "success"
    (invoked,) = collector.wait("invoke_agent mortal")
    assert (invoked.parent, invoked.trace) == (again.id, trace)
    decided = parent_of(collector.of(trace), again)
    assert lost.id in decided.links


def test_a_collector_that_is_away_stops_no_work_and_no_ending(fleet, collector, buckstop) -> None:
    """Export failures never hurt work."""
    collector.status = 503
    started(fleet)
    handles = [buckstop.submit(TASK, agent="closer") for _ in range(20)]
    assert {each.result(100).outcome for each in handles} == {"completed"}
    for process in fleet.running.values():
        process.terminate()
    for name, process in fleet.running.items():
        assert process.wait(60) == 0
        assert "Traceback" not in fleet.log(name)


@pytest.mark.parametrize("sampler", ["parentbased_traceidratio", "traceidratio"])
def test_all_processes_agree_on_what_is_sampled(
    sampler, buckstop, collector, monkeypatch, tmp_path
) -> None:
    """A sampler decides once per task: none of a ratio of nothing, but what a caller samples."""
    for name, value in (
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
        ("OTEL_TRACES_SAMPLER", sampler),
        ("OTEL_TRACES_SAMPLER_ARG", "0"),
        ("MODEL_URL", "http://127.0.0.1:9/v1"),
    ):
        monkeypatch.setenv(name, value)
    settings = buckstop.settings
    fleet = Fleet(tmp_path, settings.url, settings.prefix, "tests.traced_agents")
    try:
        started(fleet)
        assert (
            buckstop.submit(TASK, agent="unsure", confidence_min=0.1).result(100).outcome
            == "completed"
        )
        said = buckstop.submit(
            TASK, agent="unsure", confidence_min=0.1, traceparent=CALLER.traceparent
        )
        assert said.result(100).outcome == "completed"
        for process in fleet.running.values():
            process.terminate()
        for process in fleet.running.values():
            process.wait(60)
    finally:
        fleet.stop()
    wanted = {CALLER.trace} if sampler.startswith("parentbased") else set()
    assert {each.trace for each in collector.spans} == wanted


def test_the_page_switches_it_on_as_pasted(collector, tmp_path, monkeypatch) -> None:
    """A copyable set-up: the variable, `buckstop up`, one task, and the trace is there."""
    (tmp_path / "my_agents.py").write_text(AGENTS)
    scripts = str(Path(sys.executable).parent)
    monkeypatch.setenv("PATH", f"{scripts}:{os.environ['PATH']}")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    export, up = commands(block(PAGE, "$ export OTEL_EXPORTER"))
    (submit,) = commands(block(PAGE, "$ buckstop submit"))
    export = export.replace("http://localhost:4318", collector.url)
    with (tmp_path / "up.log").open("wb") as log:
        running = subprocess.Popen(
            ["sh", "-c", f"{export}; exec {up}"], cwd=tmp_path, stdout=log, stderr=log
        )
    try:
        until("buckstop up", lambda: "console: " in (tmp_path / "up.log").read_text())
        subprocess.run(["sh", "-c", f"{export}; {submit}"], cwd=tmp_path, check=True, timeout=100)
        (task,) = collector.wait("buckstop.task")
        (invoked,) = collector.wait("invoke_agent research")
        (submitted,) = collector.wait("buckstop.submit")
        assert (submitted.service, submitted.trace) == ("buckstop.cli", task.trace)
        assert invoked.trace == task.trace
    finally:
        running.terminate()
        running.wait(60)
