"""What the property tests draw: tasks that intake takes, and whatever agents and people say.

Everybody has a name of its own, so that a check can tell by it who was asked: `ann`, `bob` and `cy`
do the work, `plan` plans, `boss` manages, `val` and `vic` judge, `ref` says whether it is enough,
`own` has the last word and `syn` makes one of many.
"""

import json
from typing import Any

from hypothesis import strategies as st
from play import request

from envelopes import Amounts, Envelope, Fault, TaskRequest
from orchestrator.core.facts import Agent

AGENTS = ("ann", "bob", "cy")
VALIDATORS = ("val", "vic")
SKILLS = {"ann": ("dig",), "bob": ("dig", "cut"), "cy": ("cut",)}
FIGURES = st.integers(0, 400)
SUMS = st.builds(Amounts, FIGURES, FIGURES, st.integers(0, 5))
NAMES = st.sampled_from(AGENTS)
SURE = st.sampled_from([0.0, 0.5, 0.7, 0.9, 1.0])
YES = st.booleans()


def rarely(strategy: st.SearchStrategy[Any], usual: st.SearchStrategy[Any]) -> Any:
    """Draw from the first one in ten times, so that lives are long enough to be interesting."""
    return st.integers(0, 9).flatmap(lambda n: strategy if n == 0 else usual)


# --- tasks ---------------------------------------------------------------------------------------


@st.composite
def plans(draw: st.DrawFn, *, most: int = 5) -> list[dict[str, Any]]:
    """Draw a plan whose needs point backwards, so that it is never a circle."""
    steps: list[dict[str, Any]] = []
    for number in range(draw(st.integers(1, most))):
        before = [each["id"] for each in steps]
        each: dict[str, Any] = {"id": f"s{number}"}
        each |= draw(
            rarely(
                st.sampled_from([{"skill": "dig"}, {"skill": "cut"}, {"skill": "fly"}]),
                NAMES.map(lambda name: {"agent": name}),
            )
        )
        each["needs"] = draw(st.lists(st.sampled_from(before), unique=True)) if before else []
        each["fallbacks"] = draw(st.lists(NAMES, max_size=2))
        each["optional"] = draw(YES)
        each["weight"] = draw(st.integers(1, 3))
        each["timeout"] = draw(st.sampled_from([0.05, 5, 20]))
        if draw(YES):
            each["allowance"] = {"tokens": draw(st.integers(1, 300))}
        steps.append(each)
    return steps


SCHEMA = {"type": ["object", "integer"]}
LINES = (
    {"kind": "plan_done"},
    {"kind": "confidence", "at_least": 0.8},
    {"kind": "any", "of": [{"kind": "plan_done"}, {"kind": "spent", "share": 0.5}]},
    {"kind": "any", "of": [{"kind": "plan_done"}, {"kind": "elapsed", "seconds": 7.0004}]},
    {"kind": "all", "of": [{"kind": "plan_done"}, {"kind": "elapsed", "seconds": 3}]},
    {"kind": "all", "of": [{"kind": "plan_done"}, {"kind": "custom", "agent": "ref"}]},
    {"kind": "any", "of": [{"kind": "custom", "agent": "ref"}, {"kind": "stalled", "at_least": 2}]},
    {"kind": "result_matches", "json_schema": SCHEMA},
)
LINES_IN_ROUNDS = (
    {"kind": "rounds", "at_least": 3},
    {"kind": "any", "of": [{"kind": "rounds", "at_least": 6}, {"kind": "plan_done"}]},
)
ENDING_SHARES = st.sampled_from([0, 0.1, 0.5])
SCARCE = st.fixed_dictionaries(
    {"tokens": st.integers(1, 2000), "ending_share": ENDING_SHARES},
    optional={"usd": st.sampled_from(["0.0005", "0.01"]), "calls": st.integers(1, 20)},
)
PLENTY = st.fixed_dictionaries({"tokens": st.just(100_000), "ending_share": ENDING_SHARES})
BUDGETS = st.one_of(PLENTY, SCARCE)


def _begun_by_a_plan() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "plan": plans(),
            "fallback_plans": st.lists(plans(), max_size=2),
            "until": st.sampled_from(LINES),
            "planner": st.sampled_from([None, "plan"]),
            "synthesis": st.sampled_from([None, "syn"]),
        }
    )


def _begun_by_a_planner() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "planner": st.just("plan"),
            "until": st.sampled_from(LINES),
            "synthesis": st.sampled_from([None, "syn"]),
        }
    )


def _begun_by_a_manager() -> st.SearchStrategy[dict[str, Any]]:
    lines = st.sampled_from((*LINES, *LINES_IN_ROUNDS))
    return st.fixed_dictionaries({"manager": st.just("boss"), "until": lines})


PATTERNS = st.one_of(_begun_by_a_plan(), _begun_by_a_planner(), _begun_by_a_manager())
LOOPS = st.fixed_dictionaries(
    {},
    optional={
        "repeat_max": st.sampled_from([0, 2, 3]),
        "holders_window": st.sampled_from([0, 3, 6]),
        "holders_min": st.sampled_from([0, 2, 3]),
        "stalls_max": st.sampled_from([0, 1, 3]),
    },
)
JUDGES = st.fixed_dictionaries(
    {
        "validators": st.lists(st.sampled_from(VALIDATORS), max_size=2, unique=True),
        "owner": st.sampled_from([None, None, "own"]),
        "predicates": st.sampled_from([[], [], [{"at": "/bad", "must": "differ", "value": 1}]]),
        "compose": st.sampled_from(["weakest", "mean", "product"]),
    }
)


@st.composite
def requests(draw: st.DrawFn) -> TaskRequest:
    """Draw a task that intake takes."""
    return request(
        **draw(PATTERNS),
        **draw(LOOPS),
        **draw(JUDGES),
        budget=draw(BUDGETS),
        timeout=draw(st.sampled_from([10, 60, 600])),
        hops_max=draw(st.integers(6, 9)),
        subtasks_max=draw(st.integers(5, 20)),
        replans_max=draw(st.integers(0, 4)),
        at_cap=draw(st.sampled_from(["deliver", "escalate", "abort"])),
        result_schema=draw(st.none() | st.just(SCHEMA)),
        desk_timeout=draw(st.sampled_from([5, 100])),
        desk_default=draw(st.sampled_from(["abort", "approve"])),
    )


# --- what agents say -----------------------------------------------------------------------------

RESULTS = st.one_of(st.none(), st.integers(0, 3), st.text(max_size=3), st.just({"bad": 1}))
FAULTS = st.none() | st.sampled_from(Fault)
FINAL = st.builds(Envelope.success, RESULTS, SURE, progress=st.none() | YES)


def asking(ask: dict[str, Any], more: dict[str, Any] | None = None) -> Envelope:
    """Write an envelope that asks for something."""
    text = json.dumps({"status": "partial", "reason": "r", "ask": ask} | (more or {}))
    return Envelope.model_validate_json(text)


HANDOFFS = st.builds(
    lambda to, goal: asking({"kind": "handoff", "to": to, "goal": goal}),
    st.sampled_from((*AGENTS, "val", "stranger")),
    st.sampled_from([None, "again", "other"]),
)
QUESTIONS = st.builds(
    lambda choices: asking({"kind": "question", "text": "which?", "choices": choices}),
    st.sampled_from([[], ["x", "y"]]),
)
ROUNDS = st.builds(
    lambda kind, steps, more: asking({"kind": kind, "steps": steps}, more),
    st.sampled_from(["delegate", "delegate", "replan"]),
    plans(most=2),
    st.sampled_from([{}, {}, {"result": 1, "confidence": 0.9}]),
)
ANYTHING = st.one_of(
    FINAL,
    st.builds(Envelope.partial, RESULTS, SURE, st.just("half"), progress=st.none() | YES),
    st.builds(lambda fault: Envelope.failed("bad", fault), FAULTS),
    HANDOFFS,
    QUESTIONS,
    ROUNDS,
)
_BAD_PLANS = st.sampled_from(
    [
        "do it",
        [],
        [{"id": "s0", "agent": "stranger"}],
        [{"id": "s0", "agent": "val"}],
        [{"id": "s0", "agent": "ann", "needs": ["s0"]}],
        [{"id": f"s{n}", "agent": "ann"} for n in range(30)],
    ]
)
_VERDICTS = st.one_of(
    st.just({"ok": True, "confidence": 0.9, "reason": "so"}),
    st.fixed_dictionaries({"ok": YES, "confidence": SURE}),
)
_WORDS = st.sampled_from(["complete", "escalate", "abort", "perhaps"]).map(
    lambda word: {"decision": word}
)
WELL = st.builds(
    Envelope.success, st.integers(0, 3), st.sampled_from([0.9, 0.8]), progress=st.none() | YES
)
"""Somebody does its work as it should."""


def _said(results: st.SearchStrategy[Any]) -> st.SearchStrategy[Envelope]:
    return rarely(ANYTHING, st.builds(Envelope.success, results, SURE))


BY_PART = {
    "planner": _said(rarely(_BAD_PLANS, plans(most=3))),
    "manager": rarely(ANYTHING, st.one_of(ROUNDS, ROUNDS, WELL)),
    "validator": _said(_VERDICTS),
    "predicate": _said(_VERDICTS),
    "owner": _said(_WORDS),
}
"""What somebody who was asked for this usually says."""
BY_WORKERS = st.one_of(WELL, WELL, WELL, ANYTHING)


# --- what people say, and what the shell sees ----------------------------------------------------

ANSWERS = st.builds(
    lambda text: {"verb": "answer", "answer": text}, st.sampled_from(["x", "x", "z"])
)
RETRIES = st.builds(
    lambda tokens, hops, time: (
        {"verb": "retry", "hops": hops}
        | ({"budget": {"tokens": tokens}} if tokens else {})
        | ({"time": time} if time else {})
    ),
    st.integers(0, 500),
    st.integers(0, 3),
    st.integers(0, 30),
)
DECISIONS = st.one_of(
    st.just({"verb": "approve"}),
    st.just({"verb": "abort"}),
    st.builds(lambda result: {"verb": "amend", "result": result}, st.sampled_from([1, "x"])),
    ANSWERS,
    RETRIES,
)
PAUSES = st.sampled_from([0, 1, 60, 3_000, 10_000, 31_000])
SIGHTS = st.sampled_from(
    [
        {"room": None, "shut": False},
        {"room": None, "shut": False},
        {"room": 0, "shut": False},
        {"room": 1, "shut": False},
        {"room": 0, "shut": True},
        {"room": 1, "shut": True},
        {"known": False},
        {"known": True},
    ]
)
"""How an agent can look: free, full, one place left, its breaker open or probing, gone."""
EVERYBODY = {
    "ann": Agent(("bob", "cy", "val"), SKILLS["ann"]),
    "bob": Agent(("ann",), SKILLS["bob"]),
    "cy": Agent((), SKILLS["cy"]),
} | {name: Agent() for name in ("plan", "boss", "val", "vic", "ref", "own", "syn")}
