"""Tasks written around one corner each: stories about what chance alone would visit too rarely."""

from collections.abc import Callable, Mapping
from random import Random
from typing import Any, Final

Ask = dict[str, Any]
Story = Callable[[Random], Ask]
SCHEMA: Final = {"type": "object", "required": ["ok"]}

_PLENTY: Final[Ask] = {
    "goal": "do it",
    "budget": {"tokens": 400_000, "usd": "2", "calls": 500},
    "timeout": 600,
    "until": {"kind": "plan_done"},
    "desk_timeout": 60,
}


def _lone(agent: str, **more: Any) -> Story:
    return lambda random: (
        _PLENTY
        | {
            "agent": agent,
            "at_cap": random.choice(("deliver", "escalate", "abort")),
            **more,
        }
    )


def _asks(**more: Any) -> Story:
    return lambda random: (
        _PLENTY | {"at_cap": random.choice(("deliver", "escalate", "abort")), **more}
    )


def _steps(*steps: Mapping[str, Any], **more: Any) -> Story:
    return lambda random: (
        _PLENTY
        | {
            "plan": [dict(step) for step in steps],
            "at_cap": random.choice(("deliver", "escalate", "abort")),
            **more,
        }
    )


def _one(name: str, agent: str, *needs: str, **more: Any) -> Ask:
    return {"id": name, "agent": agent, "needs": list(needs), "timeout": 20, **more}


PLAIN: Final[tuple[Story, ...]] = (
    _lone("steady"),
    _lone("ping"),
    _lone("relay", hops_max=3),
    _lone("pushy"),
    _lone("passer"),
    _lone("unsure", confidence_min=0.95),
    _lone("wrong", result_schema=SCHEMA),
    _lone("steady", until={"kind": "confidence", "at_least": 1.0}),
    _lone("hung", timeout=8),
    # poison: it takes three workers with it
    _steps(_one("a", "deadly"), _one("b", "steady", optional=True)),
    # two results that one message cannot carry
    _steps(_one("a", "bulky"), _one("b", "bulky"), _one("c", "steady", "a", "b")),
    # room for the plan, and for nothing that has to be sent again
    _steps(_one("a", "failing", fallbacks=["steady"]), _one("b", "brisk"), subtasks_max=2),
    # other agents, until no re-plan is left
    _steps(_one("a", "failing", fallbacks=["halfway", "failing", "steady"]), replans_max=1),
    _steps(_one("a", "unsure", fallbacks=["steady"]), confidence_min=0.7),
    # the other plan keeps what is done, and repeats nothing that failed
    _steps(
        *(_one("a", "steady"), _one("b", "failing", "a")),
        fallback_plans=[
            [_one("a", "steady"), _one("b", "failing", "a")],
            [_one("a", "steady"), _one("b", "brisk", "a")],
        ],
    ),
    _steps(
        *(_one("a", "shaky"), _one("b", "unsure", "a"), _one("c", "hung", optional=True)),
        confidence_min=0.7,
        fallback_plans=[[_one("d", "steady"), _one("e", "steady", "d")]],
    ),
    # another plan that is deeper than the hops that are left
    _steps(
        _one("a", "failing"),
        hops_max=3,
        fallback_plans=[[_one("b", "brisk"), _one("c", "brisk", "b"), _one("d", "brisk", "c")]],
    ),
    # handed to the very agent that would have been the fallback
    _steps(_one("a", "passer", fallbacks=["steady", "brisk"]), confidence_min=0.9),
    # a stage that its budget cannot hold
    _steps(*(_one(f"s{n}", "steady") for n in range(24)), budget={"calls": 8}),
    _steps(*(_one(f"s{n}", "greedy", weight=n + 1) for n in range(5)), budget={"tokens": 4_000}),
    # optional steps that nobody can do, and one that needs them
    _steps(
        *(_one("a", "failing", optional=True), _one("b", "garbled", optional=True)),
        _one("c", "brisk", "a", "b"),
    ),
    # a finish line that spending crosses
    _steps(
        *(_one("a", "shaky"), _one("b", "slow", "a", timeout=60)),
        budget={"calls": 20},
        until={"kind": "any", "of": [{"kind": "plan_done"}, {"kind": "spent", "share": 0.05}]},
    ),
    # a finish line that the clock crosses while somebody is at work
    _steps(
        *(_one("a", "slow", timeout=60), _one("b", "slow", timeout=2), _one("c", "brisk")),
        until={"kind": "any", "of": [{"kind": "plan_done"}, {"kind": "elapsed", "seconds": 9}]},
    ),
)

_DONE: Final = {"kind": "plan_done"}
_SURE: Final = {"kind": "confidence", "at_least": 0.9}
_FITS: Final = {"kind": "result_matches", "json_schema": SCHEMA}

_PLANS: Final[tuple[Story, ...]] = (
    *(_asks(planner="architect"), _asks(planner="architect", replans_max=1)),
    *(_asks(planner="stubborn"), _asks(planner="dreamer"), _asks(planner="dreamer", replans_max=0)),
    *(_asks(planner="tidy"), _asks(planner="failing"), _asks(planner="garbled", owner="chief")),
    *(_asks(planner="asker"), _asks(planner="pushy"), _asks(planner="steady", hops_max=2)),
    _asks(planner="architect", synthesis="steady", confidence_min=0.8),
    _steps(_one("a", "failing"), _one("b", "steady"), planner="tidy"),
    _steps(_one("a", "halfway"), planner="architect", owner="chief"),
    # what the gate refuses is planned anew
    _steps(_one("a", "wrong"), planner="architect", result_schema=SCHEMA),
    # a plan that gets nowhere gives way
    _steps(_one("a", "staller"), _one("b", "brisk"), planner="tidy"),
    _steps(_one("a", "staller"), fallback_plans=[[_one("b", "staller")]]),
)
_ROUNDS: Final[tuple[Story, ...]] = (
    *(_asks(manager="boss"), _asks(manager="boss", confidence_min=0.9), _asks(manager="hasty")),
    *(_asks(manager="boss", hops_max=3), _asks(manager="boss", until=_SURE)),
    *(_asks(manager="tireless"), _asks(manager="tireless", repeat_max=0, stalls_max=0)),
    *(_asks(manager="aviary"), _asks(manager="becalmed"), _asks(manager="becalmed", replans_max=0)),
    *(_asks(manager="fickle"), _asks(manager="fickle", replans_max=1), _asks(manager="lost")),
    *(_asks(manager="failing"), _asks(manager="steady", until=_SURE), _asks(manager="asker")),
    _asks(manager="tireless", until={"kind": "rounds", "at_least": 2}, confidence_min=0.0),
    _asks(manager="hasty", until={"kind": "rounds", "at_least": 3}),
    _asks(
        manager="becalmed",
        until={"kind": "any", "of": [_DONE, {"kind": "stalled", "at_least": 2}]},
        stalls_max=0,
    ),
    _asks(manager="tireless", until=_FITS, confidence_min=0.5),
    _asks(manager="hasty", until=_SURE),
    _asks(manager="fickle", replans_max=9),
    _asks(manager="boss", until={"kind": "custom", "agent": "referee"}, owner="chief"),
)
_JUDGED: Final[tuple[Story, ...]] = (
    *(_lone("steady", validators=["judge"]), _lone("steady", validators=["judge", "critic"])),
    *(_lone("steady", validators=["mumbler"]), _lone("steady", validators=["hung"])),
    *(_lone("steady", validators=["failing"]), _lone("steady", validators=["asker"])),
    *(_lone("steady", validators=["deadly"]), _lone("shaky", validators=["solo"])),
    *(
        _lone("brisk", validators=["judge"], confidence_min=0.0),
        _lone("halfway", validators=["judge"]),
    ),
    # handed over to its own judge
    *(_lone("passer", validators=["steady"], confidence_min=bar) for bar in (0.0, 0.1, 0.2)),
    _steps({"id": "a", "skill": "copy"}, validators=["twin"], confidence_min=0.0),
    _steps(
        *(_one("a", "failing"), _one("b", "steady")),
        fallback_plans=[[_one("c", "failing"), _one("d", "brisk")]],
        validators=["judge"],
    ),
    _steps(_one("a", "steady"), _one("b", "shaky"), synthesis="unsure", validators=["referee"]),
    _steps(_one("a", "steady"), _one("b", "brisk"), synthesis="steady", budget={"calls": 12}),
    _steps(_one("a", "steady"), _one("b", "brisk"), compose="mean", confidence_min=0.9),
    _steps(_one("a", "steady"), _one("b", "brisk"), compose="product", validators=["critic"]),
    *(_lone("steady", until={"kind": "custom", "agent": name}) for name in ("referee", "steady")),
    _lone("steady", until={"kind": "all", "of": [_SURE, {"kind": "custom", "agent": "judge"}]}),
    _lone("brisk", until={"kind": "custom", "agent": "referee"}, confidence_min=0.0),
    *(_lone("steady", until=_FITS), _lone("halfway", until=_FITS, confidence_min=0.3)),
    _lone("wrong", predicates=[{"at": "/ok", "must": "exist"}]),
    _lone("steady", predicates=[{"at": "/ok", "must": "equal", "value": True}]),
    # too little for whoever has to judge
    _lone("steady", validators=["judge", "referee"], budget={"calls": 3, "ending_share": 0.0}),
)
_OWNED: Final[tuple[Story, ...]] = (
    *(_lone(name, owner="chief") for name in ("failing", "ping", "relay", "unsure", "wrong")),
    *(_lone("halfway", owner="chief", confidence_min=0.3), _lone("failing", owner="mumbler")),
    *(
        _lone("failing", owner="hung"),
        _lone("halfway", owner="asker"),
        _lone("ping", owner="deadly"),
    ),
    _lone("hung", owner="chief", timeout=8),
    # no message left for the work, and still some for the ending
    _steps(_one("a", "steady"), _one("b", "ping", "a"), owner="chief", subtasks_max=2),
    _steps(_one("a", "steady"), _one("b", "failing", "a"), owner="chief", validators=["judge"]),
    _steps(
        _one("a", "steady"), _one("b", "hung", "a"), owner="chief", timeout=15, validators=["hung"]
    ),
    _lone("greedy", owner="chief", budget={"calls": 4}),
)
_ASKING: Final[tuple[Story, ...]] = (
    *(_lone("asker"), _lone("asker", desk_timeout=5), _lone("nosy", hops_max=4)),
    *(_steps(_one("a", "asker"), _one("b", "asker"), _one("c", "brisk", "a", "b")),),
    _steps(_one("a", "asker", optional=True), _one("b", "slow"), timeout=120),
    _asks(manager="boss", validators=["asker"]),
)
_SKILLED: Final[tuple[Story, ...]] = (
    *(_lone("evil_twin"), _lone("unsure_twin", confidence_min=0.7), _lone("twin")),
    _steps(*(_one(f"s{n}", "evil_twin") for n in range(6))),
    _steps(_one("a", "evil_twin"), _one("b", "evil_twin", "a"), _one("c", "evil_twin", "b")),
    _steps({"id": "a", "skill": "copy"}, {"id": "b", "skill": "copy", "needs": ["a"]}),
    _steps({"id": "a", "skill": "guess"}, confidence_min=0.8),
    _steps({"id": "a", "skill": "flying"}, _one("b", "steady")),
    _steps({"id": "a", "skill": "flying", "optional": True}, _one("b", "steady")),
)
_CIRCLES: Final[tuple[Story, ...]] = (
    *(_lone("tit"), _lone("tit", holders_window=4, holders_min=3), _lone("parrot")),
    *(_lone("ping", repeat_max=0, holders_window=0), _lone("parrot", repeat_max=0)),
    *(
        _lone("relay", holders_window=0, hops_max=5),
        _lone("staller"),
        _lone("staller", stalls_max=2),
    ),
    _steps(_one("a", "parrot"), _one("b", "steady"), fallback_plans=[[_one("c", "brisk")]]),
)
_BOUNDED: Final[tuple[Story, ...]] = (
    _lone("solo"),
    _steps(*(_one(f"s{n}", "capped") for n in range(8))),
    _steps(*(_one(f"s{n}", "solo") for n in range(3)), timeout=60),
    _steps(_one("a", "solo"), _one("b", "capped"), _one("c", "solo", "a", "b")),
    _steps(_one("a", "steady"), _one("b", "capped", fallbacks=["solo"])),
    _asks(manager="tireless", validators=["solo"], hops_max=4),
)
MOODS: Final[Mapping[str, tuple[Story, ...]]] = {
    "plans": _PLANS,
    "rounds": _ROUNDS,
    "judges": _JUDGED,
    "owners": _OWNED,
    "questions": _ASKING,
    "skills": _SKILLED,
    "circles": _CIRCLES,
    "bounds": _BOUNDED,
}
"""What a world's tasks can be about; one in the last of them has a tenant with few places."""
