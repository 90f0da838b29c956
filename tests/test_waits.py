"""Why a task does not move, as `buckstop show` says it."""

from dataclasses import replace

import pytest

from orchestrator.client import Buckstop
from orchestrator.core.task import StepPhase
from orchestrator.settings import Settings
from orchestrator.standstill import waits
from orchestrator.view import AgentView, State

WISH = {"goal": "x", "agent": "a", "budget": {"tokens": 900}, "timeout": 60}
IDLE = AgentView(
    name="a",
    known=True,
    workers=1,
    skills=(),
    handoffs=(),
    waiting=0,
    in_flight=0,
    cap=None,
    breaker_open=False,
    opens_ms=0,
    probing=False,
)


@pytest.fixture
def task(fresh):
    """Return an accepted task that no orchestrator has looked at yet."""
    with Buckstop(settings=Settings(fresh.url, "the test", fresh.keys.prefix)) as buckstop:
        yield buckstop.submit(**WISH, until={"kind": "plan_done"}).status()


def test_a_task_that_waits_for_nothing_has_no_reason(task):
    """CONTRIBUTING: "What a person reads says what happened, why, and what to do next"."""
    assert waits(task, [IDLE]) == []
    assert waits(replace(task, state=State.COMPLETED, rooms=("a",)), [IDLE]) == []


def test_a_task_on_the_desk_names_its_letter(task):
    """README: "ends ... on a person's desk"."""
    [said] = waits(replace(task, state=State.ON_DESK, letter="l.1"), [IDLE])
    assert said == "for a person: buckstop letters show l.1"


def test_a_task_that_is_not_admitted_names_its_tenant(task):
    """README: "`buckstop tenants cap acme 50` bounds how many tasks of a tenant are at work"."""
    [said] = waits(replace(task, at_work=False), [IDLE])
    assert "tenant 'default' has all its tasks at work" in said
    assert said.endswith("buckstop tenants")


def test_a_task_in_an_agents_room_says_how_full_it_is(task):
    """README: "What waits is woken when there is room"."""
    [said] = waits(replace(task, rooms=("a",)), [replace(IDLE, in_flight=8, cap=8)])
    assert said == "for room at 'a', with 8 of 8 in flight; or: buckstop agents cap a N"


def test_a_task_behind_an_open_breaker_says_when_it_is_probed_and_how_to_close_it(task):
    """README: "Nothing is sent to it then ... After 30 seconds one message probes it"."""
    shut = replace(IDLE, breaker_open=True, opens_ms=1_000)
    [said] = waits(replace(task, rooms=("a",)), [shut])
    assert "whose breaker is open" in said
    assert "probes it at 19" in said
    assert said.endswith("buckstop agents reset a")
    [said] = waits(replace(task, rooms=("a",)), [replace(shut, probing=True)])
    assert said.startswith("for the one message that probes 'a'")


def test_a_message_to_an_agent_that_nobody_runs_says_so(task):
    """DESIGN: "No message disappears silently"."""
    out = replace(task, steps=(replace(task.steps[0], phase=StepPhase.OPEN),))
    [said] = waits(out, [replace(IDLE, workers=0)])
    assert said.startswith("for a worker that runs 'a'")
    assert waits(out, [IDLE]) == []


def test_a_task_that_waits_for_its_tenants_place_is_seen_from_outside(fresh):
    """README: "bounds how many tasks of a tenant are at work"."""
    settings = Settings(fresh.url, "the test", fresh.keys.prefix)
    with Buckstop(settings=settings) as buckstop:
        buckstop.store.set_cap("tenant", "default", 1)
        first, second = (
            buckstop.submit(**WISH, until={"kind": "plan_done"}).status() for _ in range(2)
        )
    assert (first.at_work, second.at_work) == (True, False)
