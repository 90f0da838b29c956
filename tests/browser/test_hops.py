"""The graph of hops: what it draws for each way in which one subtask leads to another."""

from typing import Any

import pytest

from tests.browser.bed import WITHIN_S, Bed

Json = dict[str, Any]


def note(why: str, subtask: int | None, step: str | None, **more: Any) -> Json:
    return {"why": why, "subtask": subtask, "step": step, "agent": "a", "at_ms": 1, "hop": 1} | more


def said(subtask: int, step: str) -> Json:
    return note("envelope", subtask, step, status="success", confidence=0.9, charged={"tokens": 5})


def plan(*steps: tuple[str, list[str]]) -> Json:
    return {"plan": [{"id": name, "needs": needs} for name, needs in steps]}


def ways(plan_of_one: Json) -> dict[str, tuple[Json, list[Json], str]]:
    """Say for each way from one subtask to the next: request, journal, and what the edge says."""
    first = [note("publish", 1, "read"), said(1, "read")]
    again = note("publish", 2, "read")
    planner = [note("publish", 1, "_planner.1"), said(1, "_planner.1")]
    planned = note("planned", None, "_planner.1", steps=[{"id": "read"}])
    other_plan = note("next_plan", None, None, plan=1)
    fallback = plan_of_one | {"fallback_plans": [plan(("ask", []))["plan"]]}
    needing = plan(("read", []), ("write", ["read"]))
    return {
        "a need": (needing, [*first, note("publish", 2, "write")], "needs read"),
        "a handoff": (plan_of_one, [*first, note("handoff", 1, "read"), again], "handed over"),
        "a loss": (plan_of_one, [first[0], note("lost", 1, "read"), again], "its worker was lost"),
        "a plan": (fallback, [*first, other_plan, note("publish", 2, "ask")], "another plan"),
        "a planner": ({}, [*planner, planned, again], "asked for it"),
        "a judge": (plan_of_one, [*first, note("publish", 2, "_v.1")], "is judged, or told of it"),
        "a grant": (plan_of_one, [*first, note("granted", None, None), again], "a person's retry"),
    }


WAYS = ways(plan(("read", [])))


@pytest.fixture(scope="module")
def draw(chromium: Any, bed: Bed) -> Any:
    """Call the console's own function in a page of the console."""
    page = chromium.new_page()
    page.goto(f"{bed.url}/console")
    module = "/console/pages/task/hops.js"
    yield lambda notes, request: page.evaluate(
        f"async ([notes, request]) => (await import('{module}')).hops(notes, request)",
        [notes, request],
    )
    page.close()


@pytest.mark.parametrize("way", WAYS)
def test_the_graph_says_what_led_to_a_subtask(draw: Any, way: str) -> None:
    """The issue: "a task as a timeline and as a graph of hops"."""
    request, notes, why = WAYS[way]
    first, second = draw(notes, request)
    assert first["from"] == []
    assert second["from"] == [{"subtask": 1, "why": why}]


def test_a_subtask_tells_how_it_ended_and_what_it_cost(draw: Any) -> None:
    """The issue: "with spend against ceiling, ... envelopes"."""
    ended = note("step_timeout", 2, "b", at_ms=9, charged={"tokens": 7})
    notes = [note("publish", 1, "a"), note("publish", 2, "b"), note("publish", 3, "c")]
    nodes = draw([*notes, said(1, "a"), ended], plan(("a", []), ("b", []), ("c", [])))
    assert [node["state"] for node in nodes] == ["success", "step_timeout", "open"]
    assert [node["charged"] for node in nodes] == [{"tokens": 5}, {"tokens": 7}, None]
    assert [node["ended_ms"] for node in nodes] == [1, 9, None]


def test_a_real_journal_is_drawn_whole(draw: Any, bed: Bed, tenant: str) -> None:
    """What the core writes is what the graph reads."""
    steps = [{"id": "one", "agent": "write"}, {"id": "two", "agent": "write"}]
    steps.append({"id": "three", "agent": "write", "needs": ["one", "two"]})
    task = bed.submit(tenant, agent=None, plan=steps)
    task.wait(WITHIN_S)
    nodes = draw([dict(line) for line in task.show().journal], {"plan": steps})
    assert [(node["step"], node["state"]) for node in nodes] == [
        *(("one", "success"), ("two", "success"), ("three", "success"))
    ]
    assert [each["why"] for each in nodes[2]["from"]] == ["needs one", "needs two"]
