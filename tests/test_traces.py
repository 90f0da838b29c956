"""One trace for each task, from whoever submits it to the last model call, by real processes.

What takes longer (a killed worker, a collector that is away) is in tests/traces/.
"""

import json
import os
import re
import subprocess
import sys

import pytest
from celery import Celery

from envelopes.decision import Decision, Verb
from envelopes.trace import Place, span_of, trace_of
from tests.fleet import Fleet
from tests.front import ROOT, Front
from tests.otlp import ERROR
from tests.pages import block
from tests.tracing import (
    CALLER,
    PAGE,
    PLANTED,
    TASK,
    buckstop,
    collector,
    fleet,
    model,
    parent_of,
    path,
    started,
    submit_over_http,
)
from tests.until import PATIENCE_S, until

__all__ = ["buckstop", "collector", "fleet", "model"]

# --- the whole tree ------------------------------------------------------------------------------


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_a_task_is_one_trace_from_the_callers_request_to_the_last_model_call(  # noqa: PLR0917 - fixtures
    pool, fresh, fleet, collector, buckstop, tmp_path
) -> None:
    """The promise: "traces across submit → decision → worker → model call"."""
    with Front(fresh.url, fresh.client, fresh.keys, tmp_path / "http.log") as front:
        started(fleet, pool)
        task = submit_over_http(front, agent="asker")
        assert buckstop.task(task).result(PATIENCE_S).outcome == "completed"
        collector.wait("buckstop.task")
        collector.wait("chat gpt-traced", 2)
        for name in ("asker", "closer"):  # each ends after its question, and may be sent after it
            collector.wait(f"invoke_agent {name}")
        collector.wait("buckstop.submit")
        collector.wait("POST /v1/tasks")
    spans = collector.of(CALLER.trace)
    assert len(spans) == len({each.id for each in spans})
    assert {each.trace for each in spans if each.told.get("buckstop.task")} == {CALLER.trace}
    (request,) = collector.named("POST /v1/tasks")
    assert request.parent == CALLER.span
    to_agent = [
        *("POST /v1/tasks", "buckstop.submit", "buckstop.task", "buckstop.decide"),
        "buckstop.subtask",
    ]
    for name in ("asker", "closer"):
        (invoked,) = collector.wait(f"invoke_agent {name}")
        assert path(spans, invoked) == [*to_agent, f"invoke_agent {name}"]
        (asked,) = [each for each in spans if each.parent == invoked.id]
        assert asked.name == "chat gpt-traced"
        assert asked.told["gen_ai.usage.input_tokens"] == 10
        assert asked.told["gen_ai.usage.output_tokens"] == 5
        assert asked.told["gen_ai.response.model"] == "m-1"
        assert invoked.told["gen_ai.usage.output_tokens"] == 5
        assert invoked.told["gen_ai.agent.name"] == name
    handed = next(s for s in spans if s.name == "invoke_agent asker")
    assert handed.told["buckstop.ask"] == "handoff"
    taken = next(s for s in spans if s.name == "invoke_agent closer")
    decided = parent_of(spans, parent_of(spans, taken))
    assert "handoff" in decided.told["buckstop.why"]
    assert handed.parent in decided.links, "what was handed over is linked to what came of it"
    assert {each.service for each in spans} == {
        *("buckstop.http", "buckstop.orchestrator", "buckstop.worker"),
    }
    until("tokens are counted", lambda: "gen_ai.client.token.usage" in collector.figures)
    until("subtasks are timed", lambda: "buckstop.subtask.duration" in collector.figures)
    assert not [each for each in PLANTED if each.encode() in collector.raw]


def test_a_persons_decision_and_a_failed_envelope_stand_in_the_trace(
    fleet, collector, buckstop
) -> None:
    """A failed envelope sets the status; the time on the desk is a span."""
    started(fleet)
    handle = buckstop.submit(TASK, agent="unsure")
    until("it is on the desk", lambda: handle.status().letter is not None)
    letter = handle.status().letter
    buckstop.decide(
        Decision(letter=letter, verb=Verb.APPROVE, by="ada-the-approver", why="good enough")
    )
    (desk,) = collector.wait("buckstop.desk")
    assert desk.told["buckstop.decision"] == "approve"
    assert desk.told["buckstop.letter"] == letter
    failed = buckstop.submit(TASK, agent="refuser", at_cap="abort")
    assert failed.result(PATIENCE_S).outcome == "aborted"
    (invoked,) = collector.wait("invoke_agent refuser")
    assert (invoked.status, invoked.told["error.type"]) == (ERROR, "raised")
    ended = [s for s in collector.wait("buckstop.task", 2) if s.trace == trace_of(failed.id)]
    assert [each.status for each in ended] == [ERROR]
    assert not [
        each
        for each in (*PLANTED, "ada-the-approver", "good enough")
        if each.encode() in collector.raw
    ]


def test_a_task_from_any_celery_client_goes_on_from_its_message(
    fresh, fleet, collector, buckstop
) -> None:
    """The door: `send_task("buckstop.submit", ...)`, with the trace in the message's headers."""
    started(fleet)
    client = Celery(broker=fresh.url, set_as_current=False)
    sent = client.send_task(
        "buckstop.submit",
        kwargs={**TASK, "agent": "closer"},
        queue=fresh.keys.submissions,
        headers={"traceparent": CALLER.traceparent},
    )
    (task,) = collector.wait("buckstop.task")
    (submitted,) = collector.wait("buckstop.submit")
    assert sent.id
    assert (submitted.parent, submitted.service) == (CALLER.span, "buckstop.orchestrator")
    assert (task.parent, task.trace) == (submitted.id, CALLER.trace)


# --- what is not traced --------------------------------------------------------------------------


def test_a_caller_who_samples_nothing_has_nothing_written(fleet, collector, buckstop) -> None:
    """W3C: what goes on from a trace does as was decided at its beginning."""
    started(fleet)
    silent = Place(CALLER.trace, CALLER.span, sampled=False)
    handle = buckstop.submit(TASK, agent="closer", traceparent=silent.traceparent)
    assert handle.result(PATIENCE_S).outcome == "completed"
    told = buckstop.submit(TASK, agent="closer")
    assert told.result(PATIENCE_S).outcome == "completed"
    collector.wait("buckstop.task")
    assert {each.trace for each in collector.spans} == {trace_of(told.id)}


def test_what_still_waits_is_sent_before_a_process_ends(
    collector, model, buckstop, monkeypatch, tmp_path
) -> None:
    """Flush at shutdown, within grace."""
    (tmp_path / "slow").mkdir()
    for name, value in (
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url),
        ("OTEL_BSP_SCHEDULE_DELAY", "600000"),
        ("MODEL_URL", model.url),
    ):
        monkeypatch.setenv(name, value)
    slow = Fleet(
        tmp_path / "slow", buckstop.settings.url, buckstop.settings.prefix, "tests.traced_agents"
    )
    try:
        started(slow)
        assert buckstop.submit(TASK, agent="closer").result(PATIENCE_S).outcome == "completed"
        assert not collector.spans
        for process in slow.running.values():
            process.terminate()
        collector.wait("invoke_agent closer")
        collector.wait("buckstop.task")
    finally:
        slow.stop()


def test_without_a_collector_nothing_is_exported_imported_or_run() -> None:
    """The contract: "with no OTEL_* endpoint set nothing is exported"."""
    code = (
        "import sys, threading, orchestrator.serve, orchestrator.client, orchestrator.http.app, "
        "orchestrator.courier.loop, workers.runtime, workers.llm\n"
        "from envelopes import exports\n"
        "assert exports.start('x', {}) is None\n"
        "assert exports.start('x', {'OTEL_SDK_DISABLED': 'true', "
        "'OTEL_EXPORTER_OTLP_ENDPOINT': 'http://nowhere'}) is None\n"
        "ours = ('opentelemetry.exporter', '_spans', 'telemetry_traces', 'trace_context')\n"
        "print([m for m in sys.modules if any(each in m for each in ours)], exports.traced(), "
        "threading.active_count())"
    )
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environ,
        check=True,
        capture_output=True,
        text=True,
    )
    assert run.stdout.strip() == "[] False 1"


def test_without_a_collector_the_callers_context_still_reaches_the_agent(
    fresh, buckstop, tmp_path
) -> None:
    """W3C: whoever takes no part in a trace passes it on unchanged."""
    with Front(fresh.url, fresh.client, fresh.keys, tmp_path / "http.log") as front:
        task = submit_over_http(front, agent="closer")
    stored = buckstop.store.task(task)
    assert stored is not None
    assert json.loads(stored["request"])["traceparent"] == CALLER.traceparent


def test_ids_follow_from_what_they_are_about() -> None:
    """Whoever publishes and whoever settles compute the same, and nobody stores it."""
    assert trace_of("t") == trace_of("t", None) != trace_of("u")
    assert trace_of("t", CALLER.traceparent) == CALLER.trace
    assert span_of("t", "subtask", 1) == span_of("t", "subtask", 1) != span_of("t", "subtask", 11)
    assert Place.read(CALLER.traceparent) == CALLER
    assert Place.read(f"00-{'0' * 32}-{'1' * 16}-01") is None
    assert Place.read(f"00-{'1' * 32}-{'0' * 16}-01") is None


# --- docs/how-to/traces.md -----------------------------------------------------------------------


def test_the_pages_request_can_be_submitted(buckstop) -> None:
    """A traceparent in the request, from anywhere."""
    handle = buckstop.submit(block(PAGE, '{"goal"'))
    stored = buckstop.store.task(handle.id)
    assert stored is not None
    assert trace_of(handle.id, json.loads(stored["request"])["traceparent"]) == CALLER.trace


def test_the_page_names_every_span_and_figure(collector) -> None:
    """What the code calls its spans and figures stands on the page."""
    page = (ROOT / PAGE).read_text()
    sources = ("orchestrator/telemetry_traces.py", "orchestrator/telemetry_submit.py")
    sources += ("workers/telemetry_spans.py", "orchestrator/http/traced_spans.py")
    sources += ("orchestrator/mcp/traced.py", "orchestrator/courier/traced_spans.py")
    named = {
        name
        for source in sources
        for name in re.findall(
            r'(?:name=|start_span\(\s+)"(buckstop[.a-z]+)"'
            r'|(?:histogram|create_counter)\(\s*"([a-z_.]+)"',
            (ROOT / source).read_text(),
        )
    }
    names = {one or other for one, other in named}
    assert len(names) == 14
    assert not [name for name in names if f"`{name}`" not in page]
