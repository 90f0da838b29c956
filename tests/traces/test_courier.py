"""Each attempt at a delivery is a span of the task that it tells of; by a real courier."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from envelopes.strict import parse
from envelopes.trace import Place, span_of
from orchestrator.client import Buckstop
from orchestrator.courier.subscription import NewSubscription, Subscription
from orchestrator.courier.subscriptions import Subscriptions
from orchestrator.leash import leashed
from tests.conftest import Fresh
from tests.front import ROOT
from tests.otlp import ERROR, Collector
from tests.receiver import OK, Receiver, receiving
from tests.tracing import CALLER, GOAL, TASK
from tests.until import until

CLIENT = 3
SECRET = "planted-in-the-path"
TOLD = {**TASK, "agent": "a", "traceparent": CALLER.traceparent}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


@pytest.fixture
def courier(
    fresh: Fresh, collector: Collector, tmp_path: Path
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a courier that exports to the collector."""
    environ = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "BUCKSTOP_URL": fresh.url,
        "BUCKSTOP_PREFIX": fresh.keys.prefix,
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    with (tmp_path / "courier.log").open("wb") as log:
        process = subprocess.Popen(
            leashed([sys.executable, "-m", "orchestrator.courier"]),
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    yield process
    process.kill()
    process.wait()


def subscribe(fresh: Fresh, kind: str, url: str, *events: str) -> Subscription:
    """Subscribe a receiver on this machine."""
    said: dict[str, Any] = {"kind": kind, "url": url, "events": events, "allow_private": True}
    new = parse(NewSubscription, json.dumps(said), bytes_max=10_000, what="subscription")
    return Subscriptions(fresh.client, fresh.keys).add(new)


def test_each_attempt_is_a_span_of_its_task_and_the_receiver_is_told_of_it(
    fresh: Fresh, collector: Collector, buckstop: Buckstop, receiver: Receiver, courier
) -> None:
    """The brief: "each delivery attempt is a span ... status, attempt, outcome"."""
    path = f"/{SECRET}?key={SECRET}"
    receiver.answers[path] = [500, OK]
    hook = subscribe(fresh, "webhook", receiver.url(path), "task.accepted")
    task = buckstop.submit(TOLD).id
    failed, done = collector.wait("buckstop.deliver", 2)
    for number, span in enumerate((failed, done), start=1):
        assert (span.trace, span.parent) == (CALLER.trace, span_of(task, "task"))
        assert (span.kind, span.service) == (CLIENT, "buckstop.courier")
        assert span.told["buckstop.attempt"] == number
        assert span.told["buckstop.subscription"] == hook.id
        assert span.told["server.address"] == "127.0.0.1"
        assert span.told["server.port"] == receiver.port
        heard = receiver.heard[number - 1].headers["traceparent"]
        assert heard == Place(span.trace, span.id).traceparent
    assert (failed.status, failed.told["error.type"]) == (ERROR, "500")
    assert (failed.told["buckstop.outcome"], done.told["buckstop.outcome"]) == ("retry", "done")
    assert (done.status, done.told["http.response.status_code"]) == (0, OK)
    courier.terminate()
    assert courier.wait(60) == 0
    figures = collector.figures["buckstop.delivery.duration"]
    assert {each["buckstop.outcome"] for each in figures} == {"retry", "done"}
    assert not [each for each in (SECRET, hook.secret, GOAL) if each.encode() in collector.raw]


@pytest.mark.usefixtures("courier")
def test_a_message_about_several_tasks_is_linked_to_each(
    fresh: Fresh, collector: Collector, buckstop: Buckstop, receiver: Receiver
) -> None:
    """The brief: "linked to or child of the task's trace"."""
    url = f"json://127.0.0.1:{receiver.port}/{SECRET}"
    subscribe(fresh, "notify", url, "letter.filed")
    tasks = [buckstop.submit({**TASK, "agent": "a"}).id for _ in range(2)]
    with fresh.client.pipeline() as at_once:  # what is told later than the message is another one
        for task in tasks:
            filed = {"task": task, "letter": f"{task}.1", "kind": "escalation", "reason": "hop_cap"}
            at_once.hset(fresh.keys.letter(f"{task}.1"), mapping=filed)
            line: Any = {"event": "letter.filed", "at_ms": 4_000_000_000_000, "why": SECRET}
            at_once.xadd(fresh.keys.news, line | filed)
        at_once.execute()
    (told,) = until("a message", lambda: collector.named("buckstop.deliver"))
    assert (told.parent, told.told["buckstop.kind"]) == ("", "notify")
    assert set(told.links) == {span_of(task, "task") for task in tasks}
    assert "server.address" not in told.told
    assert SECRET.encode() not in collector.raw
    assert len(receiver.heard) == 1


@pytest.mark.usefixtures("courier")
def test_what_a_caller_does_not_sample_has_no_deliveries_either(
    fresh: Fresh, collector: Collector, buckstop: Buckstop, receiver: Receiver
) -> None:
    """W3C: what goes on from a trace does as was decided at its beginning."""
    subscribe(fresh, "webhook", receiver.url(), "task.accepted")
    silent = Place(CALLER.trace, CALLER.span, sampled=False)
    buckstop.submit({**TOLD, "traceparent": silent.traceparent})
    (heard,) = receiver.wait_for(1)
    assert heard.headers["traceparent"].startswith(f"00-{CALLER.trace}-")
    assert heard.headers["traceparent"].endswith("-00")
    told = buckstop.submit({**TASK, "agent": "a"}).id
    (span,) = collector.wait("buckstop.deliver")
    assert span.parent == span_of(told, "task")
