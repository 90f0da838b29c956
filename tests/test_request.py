"""What may be submitted, and the words in which everything else is sent back."""

import json
import time
from typing import Any

import pytest
from play import PLAN_DONE, request, step

from envelopes import Limits, Refused, TaskRequest, limits
from envelopes.strict import parse
from orchestrator import intake

USUAL: dict[str, Any] = {
    "goal": "find out",
    "agent": "solo",
    "budget": {"tokens": 100},
    "timeout": 60,
    "until": PLAN_DONE,
}


def read(value: dict[str, Any]) -> TaskRequest:
    text = json.dumps(value)
    return parse(TaskRequest, text, bytes_max=limits.REQUEST_BYTES_MAX, what="request")


def refused(value: dict[str, Any]) -> Refused:
    """Parse, and return the refusal that must come of it."""
    with pytest.raises(Refused) as caught:
        read(value)
    return caught.value


# --- what a task must bring ----------------------------------------------------------------------


def test_the_least_that_can_be_asked_for() -> None:
    """Everything else has a default, and each default is in limits.py."""
    asked = read(USUAL)
    assert (asked.hops_max, asked.subtasks_max, asked.replans_max) == (12, 256, 3)
    assert (asked.confidence_min, asked.desk_default, asked.tenant) == (0.7, "abort", "default")
    [[only]] = asked.plans
    assert (only.id, only.agent) == ("only", "solo")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("until", "a task without a finish line is refused"),
        ("budget", "a task without a ceiling is refused"),
        ("timeout", "a task without a deadline is refused"),
        ("goal", "Field required"),
        ("agent", 'say who is to begin: "agent" (one step), "plan"'),
    ],
)
def test_without_its_bounds_a_task_is_refused_with_what_to_write(name: str, says: str) -> None:
    """Promise 3: "No finish line, no submit"; nor without a ceiling or a deadline."""
    found = refused({key: value for key, value in USUAL.items() if key != name})
    assert found.field == ("plan" if name == "agent" else name)
    assert says in found.why


@pytest.mark.parametrize(
    ("right", "wrong"), [("budget", "buget"), ("until", "untill"), ("hops_max", "hop_max")]
)
def test_a_misspelt_field_is_told_by_the_name_that_was_written(right: str, wrong: str) -> None:
    """README: "a mistake in them is told by its name", not as what is missing therefore."""
    asked: dict[str, Any] = {**USUAL, "hops_max": 3}
    found = refused({wrong if name == right else name: each for name, each in asked.items()})
    assert found.field == wrong
    assert found.why == f"there is no such field (did you mean {right!r}?)"


@pytest.mark.parametrize(
    ("name", "short", "example"),
    [("until", "plan_done", {"kind": "plan_done"}), ("budget", 20000, {"tokens": 20000})],
)
def test_a_bound_that_is_written_too_shortly_is_refused_with_an_example(
    name: str, short: Any, example: Any
) -> None:
    """The command line takes `--until plan_done`, so somebody writes it so in a file."""
    said = str(refused(USUAL | {name: short}))
    written = json.dumps(example)
    assert said == f'{name}: Input should be an object, for example "{name}": {written}'
    assert read(USUAL | {name: example})


def test_a_field_that_is_like_no_other_is_told_without_a_guess() -> None:
    """Inside another one too, where the fields of the request itself are not meant."""
    assert str(refused(USUAL | {"zzz": 1})) == "zzz: there is no such field"
    nested = refused(USUAL | {"budget": {"tokens": 1, "goal": 1}})
    assert str(nested) == "budget.goal: there is no such field"


def test_a_request_comes_back_as_it_was_stored() -> None:
    """The orchestrator reads its own record at every start: the same terms, for ever."""
    asked = read(
        USUAL
        | {"budget": {"usd": "0.123456", "calls": 3}, "timeout": "1.5m", "desk_timeout": "2h"}
        | {"labels": {"a": "b"}, "result_schema": {"type": "object"}, "at_cap": "escalate"}
    )
    again = asked.model_dump_json()
    assert parse(TaskRequest, again, bytes_max=10**6, what="request") == asked


# --- bounds --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"v": 2}, "v"),
        ({"budged": 1}, "budged"),
        ({"goal": ""}, "goal"),
        ({"goal": "x" * (limits.GOAL_CHARS_MAX + 1)}, "goal"),
        ({"goal": ["find out"]}, "goal"),
        ({"agent": "../etc"}, "agent"),
        ({"agent": "a b"}, "agent"),
        ({"agent": "a\n"}, "agent"),
        ({"agent": ""}, "agent"),
        ({"agent": "x" * (limits.NAME_CHARS_MAX + 1)}, "agent"),
        ({"budget": 500}, "budget"),
        ({"budget": {}}, "budget"),
        ({"budget": {"token": 5}}, "budget.token"),
        ({"budget": {"tokens": 0}}, "budget.tokens"),
        ({"budget": {"tokens": -1}}, "budget.tokens"),
        ({"budget": {"tokens": "5"}}, "budget.tokens"),
        ({"budget": {"tokens": 5.0}}, "budget.tokens"),
        ({"budget": {"tokens": True}}, "budget.tokens"),
        ({"budget": {"tokens": limits.AMOUNT_CEILING + 1}}, "budget.tokens"),
        ({"budget": {"calls": 10**300}}, "budget.calls"),
        ({"budget": {"usd": 0}}, "budget.usd"),
        ({"budget": {"usd": -0.5}}, "budget.usd"),
        ({"budget": {"usd": True}}, "budget.usd"),
        ({"budget": {"usd": [1]}}, "budget.usd"),
        ({"budget": {"usd": "a lot"}}, "budget.usd"),
        ({"budget": {"usd": "NaN"}}, "budget.usd"),
        ({"budget": {"usd": "Infinity"}}, "budget.usd"),
        ({"budget": {"usd": "1e999999999"}}, "budget.usd"),
        ({"budget": {"usd": 0.0000001}}, "budget.usd"),
        ({"budget": {"usd": 1_000_001}}, "budget.usd"),
        ({"budget": {"tokens": 5, "ending_share": 0.95}}, "budget.ending_share"),
        ({"budget": {"tokens": 5, "ending_share": -0.1}}, "budget.ending_share"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": 0.0009}, "timeout"),
        ({"timeout": -5}, "timeout"),
        ({"timeout": True}, "timeout"),
        ({"timeout": None}, "timeout"),
        ({"timeout": "soon"}, "timeout"),
        ({"timeout": "5"}, "timeout"),
        ({"timeout": "-5m"}, "timeout"),
        ({"timeout": "5m5s"}, "timeout"),
        ({"timeout": "8d"}, "timeout"),
        ({"timeout": "9" * 400 + "s"}, "timeout"),
        ({"timeout": limits.TIMEOUT_CEILING_S + 1}, "timeout"),
        ({"desk_timeout": 0}, "desk_timeout"),
        ({"desk_default": "retry"}, "desk_default"),
        ({"hops_max": 0}, "hops_max"),
        ({"hops_max": limits.HOPS_CEILING + 1}, "hops_max"),
        ({"hops_max": "12"}, "hops_max"),
        ({"subtasks_max": 0}, "subtasks_max"),
        ({"subtasks_max": limits.SUBTASKS_CEILING + 1}, "subtasks_max"),
        ({"replans_max": -1}, "replans_max"),
        ({"replans_max": limits.REPLANS_CEILING + 1}, "replans_max"),
        ({"confidence_min": 1.01}, "confidence_min"),
        ({"confidence_min": "0.5"}, "confidence_min"),
        ({"at_cap": "shrug"}, "at_cap"),
        ({"result_schema": True}, "result_schema"),
        ({"tenant": "a/b"}, "tenant"),
        ({"idempotency_key": ""}, "idempotency_key"),
        ({"idempotency_key": "k" * (limits.KEY_CHARS_MAX + 1)}, "idempotency_key"),
        ({"labels": {str(n): "x" for n in range(limits.LABELS_MAX + 1)}}, "labels"),
        ({"labels": {"k": "x" * (limits.LABEL_CHARS_MAX + 1)}}, "labels"),
        ({"labels": {"k" * (limits.NAME_CHARS_MAX + 1): "x"}}, "labels"),
        ({"labels": {"k": 5}}, "labels.k"),
        ({"traceparent": "00-xyz"}, "traceparent"),
        ({"fallback_plans": [[]]}, "fallback_plans.0"),
        ({"fallback_plans": [[step("a")]] * (limits.FALLBACKS_MAX + 1)}, "fallback_plans"),
    ],
)
def test_what_is_out_of_bounds_is_refused_by_its_field(change: dict[str, Any], field: str) -> None:
    """Issue: "absurd numbers, 1 GB of text: refused with an error that names the field"."""
    assert refused(USUAL | change).field == field


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (90, 90),
        (1.5, 1.5),
        ("90s", 90),
        ("5m", 300),
        ("1.5h", 5400),
        ("7d", 604_800),
        ("250ms", 0.25),
        (" 5 m ", 300),
        (0.001, 0.001),
    ],
)
def test_people_write_the_unit(written: object, seconds: float) -> None:
    """A duration is a number of seconds, or text such as "90s", "5m" or "2h"."""
    assert read(USUAL | {"timeout": written}).timeout == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("usd", "micros"),
    [(0.1, 100_000), ("0.1", 100_000), (1, 1_000_000), (0.29, 290_000), ("0.000001", 1)],
)
def test_money_is_read_as_the_decimal_that_a_person_sees(usd: object, micros: int) -> None:
    """Micro-dollars in integers: 0.29 is 290,000, not 289,999."""
    assert read(USUAL | {"budget": {"usd": usd}}).budget.limits() == Limits(usd_micros=micros)


# --- plans ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plan", "field", "why"),
    [
        ([], "plan", "at least 1 item"),
        ([step("a", "a")], "plan", "the needs form a cycle: a → a"),
        ([step("a", "b"), step("b", "c"), step("c", "a")], "plan", "cycle: a → b → c → a"),
        ([step("x", "a"), step("a", "b"), step("b", "a")], "plan", "cycle: a → b → a"),
        ([step("a"), step("b", "ghost")], "plan.1.needs", "needs 'ghost', which is no step"),
        ([step("a"), step("b", "a", "a")], "plan.1.needs", "needs 'a' twice"),
        ([step("a"), step("b"), step("a")], "plan.2.id", "two steps are called 'a'"),
        ([{"id": "a"}], "plan.0.agent", 'say either "agent" or "skill"'),
        ([step("a", weight=0)], "plan.0.weight", "greater than or equal to 1"),
        ([step("a", weight=limits.WEIGHT_MAX + 1)], "plan.0.weight", "less than or equal"),
        ([step("a", allowance={})], "plan.0.allowance", "at least one of tokens, usd, calls"),
        ([step("a", timeout="0s")], "plan.0.timeout", "greater than or equal"),
        ([step("a", fallbacks=["b"] * 9)], "plan.0.fallbacks", "at most 8"),
        ([step("a", optional="yes")], "plan.0.optional", "boolean"),
        ([step("a", after="b")], "plan.0.after", "no such field"),
        ([step("a", goal="")], "plan.0.goal", "at least 1 character"),
    ],
)
def test_a_plan_that_cannot_be_run_is_refused_at_submit(
    plan: list[dict[str, Any]], field: str, why: str
) -> None:
    """Steps with `needs`: "a DAG, cycles refused at submit"."""
    found = refused({key: one for key, one in USUAL.items() if key != "agent"} | {"plan": plan})
    assert found.field == field
    assert why in found.why


def test_the_fallback_plans_are_held_to_the_same() -> None:
    """A plan that would be refused when it is needed is refused now."""
    found = refused(USUAL | {"fallback_plans": [[step("a")], [step("a", "b")]]})
    assert found.field == "fallback_plans.1.0.needs"


def test_a_plan_deeper_than_the_hop_cap_is_refused() -> None:
    """The promise: "A plan deeper than the cap is refused at submit"."""
    chain = [step("s0"), *(step(f"s{n}", f"s{n - 1}") for n in range(1, 13))]
    with pytest.raises(Refused, match="plan: 13 stages deep, but hops_max is 12"):
        request(plan=chain)
    assert len(request(plan=chain, hops_max=13).plans[0]) == 13


def test_a_plan_wider_than_the_subtask_cap_is_refused() -> None:
    """The promise: "One task → 10,000 subtasks: refused before any is published"."""
    wide = [step(f"s{n}") for n in range(257)]
    with pytest.raises(Refused, match="plan: 257 steps, but subtasks_max is 256"):
        request(plan=wide)
    assert len(request(plan=wide, subtasks_max=257).plans[0]) == 257


def test_an_agent_and_a_plan_together_are_one_too_many() -> None:
    """One says who does it, the other who does what; both would leave it open."""
    assert refused(USUAL | {"plan": [step("a")]}).field == "plan"


@pytest.mark.parametrize("shape", ["chain", "circle", "twins", "dense"])
def test_no_plan_of_the_largest_size_takes_long_to_check(shape: str) -> None:
    """A plan of 10,000 steps costs its length to check, not the square of it."""
    count = 800 if shape == "dense" else limits.SUBTASKS_CEILING
    plan = [{"id": f"s{n}", "agent": "a", "needs": [f"s{n - 1}"]} for n in range(1, count)]
    first = {"id": "s0", "agent": "a", "needs": [f"s{count - 1}"] if shape == "circle" else []}
    plan = [*reversed(plan), first]
    if shape == "twins":
        plan[0]["id"] = plan[1]["id"]
    if shape == "dense":
        plan = [
            {"id": f"s{n}", "agent": "a", "needs": [f"s{m}" for m in range(n)]}
            for n in reversed(range(count))
        ]
    text = json.dumps(
        {key: one for key, one in USUAL.items() if key != "agent"}
        | {"plan": plan, "subtasks_max": limits.SUBTASKS_CEILING}
    )
    started = time.process_time()
    with pytest.raises(Refused) as caught:
        parse(TaskRequest, text, bytes_max=limits.REQUEST_BYTES_MAX, what="request")
    assert time.process_time() - started < 4, "more than ten times what it takes"
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("fields", "field", "says"),
    [
        (
            {"until": {"kind": "result_matches", "json_schema": {"type": 5}}},
            "until.json_schema",
            "",
        ),
        (
            {"until": {"kind": "result_matches", "json_schema": {"$ref": "http://x/y"}}},
            "until.json_schema",
            "outside",
        ),
        ({"until": {"kind": "rounds", "at_least": 3}}, "until", "manager"),
        ({"manager": "m"}, "manager", "no agent"),
        ({"planner": "p"}, "plan", "not both"),
        ({"validators": ["a"]}, "validators.0", "part of what it would judge"),
        ({"validators": ["v", "v"]}, "validators.1", "twice"),
        ({"repeat_max": 1}, "repeat_max", "no repetition"),
        ({"predicates": [{"at": "price", "must": "exist"}]}, "predicates.0.at", ""),
        ({"predicates": [{"must": "be_at_least", "value": "5"}]}, "predicates.0.value", "number"),
    ],
)
def test_what_contradicts_itself_is_refused_at_submit(
    fields: dict[str, Any], field: str, says: str
) -> None:
    """Issue: «required at submit ... A request without one is refused»; so is a senseless one."""
    usual = {"goal": "g", "agent": "a", "budget": {"tokens": 9}, "timeout": 9}
    with pytest.raises(Refused, match=says) as refused:
        intake.read({**usual, "until": {"kind": "plan_done"}, **fields})
    assert refused.value.field == field


@pytest.mark.parametrize("who", [{"planner": "p"}, {"manager": "m"}, {"plan": [], "planner": "p"}])
def test_whoever_is_to_begin_is_said_in_one_way(who: dict[str, Any]) -> None:
    """A planner or a manager needs no plan; an empty plan is none."""
    usual = {"goal": "g", "budget": {"tokens": 9}, "timeout": 9, "until": {"kind": "plan_done"}}
    if "plan" in who:
        with pytest.raises(Refused, match="plan"):
            intake.read({**usual, **who})
    else:
        assert intake.read({**usual, **who}).plans == ((),)
