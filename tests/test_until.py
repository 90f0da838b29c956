"""The finish line: said in Python or JSON, the same line; and nothing that is none is taken."""

import json
from typing import Any as Anything

import pytest
from hypothesis import given
from hypothesis import strategies as st
from play import request
from pydantic import TypeAdapter, ValidationError

from envelopes import All, Any, Confidence, Elapsed, FinishLine, PlanDone, Refused, Spent, limits

LINE = TypeAdapter(FinishLine)

SINGLE = st.one_of(
    st.just(PlanDone()),
    st.floats(0, 1).map(Confidence),
    st.floats(0.01, 1).map(Spent),
    st.floats(limits.TIMEOUT_FLOOR_S, limits.TIMEOUT_CEILING_S).map(Elapsed),
)
LINES = st.recursive(
    SINGLE,
    lambda inner: st.lists(inner, min_size=1, max_size=3).flatmap(
        lambda of: st.sampled_from((All, Any)).map(lambda kind: kind(of=tuple(of)))
    ),
    max_leaves=8,
)


def test_conditions_are_joined_as_they_are_read() -> None:
    """The promise: "Composable with `&` and `|`": & binds tighter, as in Python."""
    line = PlanDone() & Confidence(0.9) | Elapsed(60)
    assert line == Any(of=(All(of=(PlanDone(), Confidence(0.9))), Elapsed(60)))


@given(LINES)
def test_a_line_is_the_same_on_the_wire(line: Anything) -> None:
    """The promise: "Plain JSON on the wire"."""
    assert LINE.validate_json(LINE.dump_json(line)) == line


def test_a_line_is_plain_json() -> None:
    """Whoever submits from another language writes exactly this."""
    line = PlanDone() & Spent(0.5)
    assert json.loads(line.model_dump_json()) == {
        "kind": "all",
        "of": [{"kind": "plan_done"}, {"kind": "spent", "share": 0.5}],
    }


@pytest.mark.parametrize(
    ("until", "field"),
    [
        (None, "until"),
        ("plan_done", "until"),
        ({}, "until"),
        ({"kind": "when_happy"}, "until"),
        ({"kind": "plan_done", "really": True}, "until.plan_done.really"),
        ({"kind": "confidence"}, "until.confidence.at_least"),
        ({"kind": "confidence", "at_least": 1.1}, "until.confidence.at_least"),
        ({"kind": "confidence", "at_least": "0.9"}, "until.confidence.at_least"),
        ({"kind": "confidence", "at_least": True}, "until.confidence.at_least"),
        ({"kind": "spent", "share": 0}, "until.spent.share"),
        ({"kind": "spent", "share": 1.5}, "until.spent.share"),
        ({"kind": "elapsed", "seconds": 0}, "until.elapsed.seconds"),
        ({"kind": "elapsed", "seconds": 0.0001}, "until.elapsed.seconds"),
        ({"kind": "elapsed", "seconds": 10**9}, "until.elapsed.seconds"),
        ({"kind": "all", "of": []}, "until.all.of"),
        ({"kind": "any", "of": [{"kind": "plan_done"}] * 9}, "until.any.of"),
        (
            {"kind": "any", "of": [{"kind": "plan_done"}, {"kind": "spent", "share": -1}]},
            "until.any.of.1.spent.share",
        ),
    ],
)
def test_what_is_no_finish_line_is_refused_by_its_field(until: Anything, field: str) -> None:
    """The promise: "No finish line, no submit"."""
    with pytest.raises(Refused) as caught:
        request(until=until)
    assert caught.value.field == field


def test_a_line_that_nests_without_end_is_refused() -> None:
    """Depth is bounded before anything is parsed."""
    line: dict[str, Anything] = {"kind": "plan_done"}
    for _ in range(limits.JSON_DEPTH_MAX):
        line = {"kind": "any", "of": [line]}
    with pytest.raises(Refused, match="nested deeper"):
        request(until=line)


def test_a_line_said_in_python_is_held_to_the_same_bounds() -> None:
    """A share of more than the whole is nobody's finish line."""
    for wrong in (
        lambda: Spent(1.5),
        lambda: Elapsed(0),
        lambda: Confidence(2),
        lambda: Any(of=()),
    ):
        with pytest.raises(ValidationError):
            wrong()


@pytest.mark.parametrize(("width", "depth"), [(30_000, 1), (8, 5)])
def test_of_thousands_of_wrong_conditions_the_first_is_told(width: int, depth: int) -> None:
    """What strangers send is refused quickly: nobody looks for what is wrong with each of them."""
    line: dict[str, Anything] = {"kind": "confidence", "at_least": 7}
    for _ in range(depth):
        line = {"kind": "any", "of": [line] * width}
    with pytest.raises(ValidationError) as caught:
        LINE.validate_json(json.dumps(line))
    [only] = caught.value.errors()
    assert only["loc"] == ("any", "of", 0) * depth + ("confidence", "at_least")
