"""What callers ask for in the simulated worlds: tasks of all shapes, drawn from the seed.

Most are plans of mixed sizes under mixed bounds. The others are stories, each written around one
corner that chance alone would visit too rarely.
"""

from collections.abc import Callable, Mapping
from random import Random
from typing import Any, Final

from orchestrator.sim.dice import happens

Ask = dict[str, Any]

_WORKERS: Final = ("steady", "steady", "steady", "brisk", "brisk", "shaky", "shaky", "unsure")
_TROUBLE: Final = (
    *("slow", "halfway", "failing", "garbled", "wrong", "greedy", "hung", "passer", "pushy"),
    *("ping", "relay"),
)
_WIDE: Final = 0.06
"""The share of plans with a stage of up to 64 steps."""
_STORIES_SHARE: Final = 0.4


def ask(random: Random) -> Ask:
    """Draw one task."""
    if happens(random, _STORIES_SHARE):
        return random.choice(STORIES)(random)
    return _common(random) | {"plan": _plan(random)} | _fallback_plans(random)


# --- plans ---------------------------------------------------------------------------------------


def _plan(random: Random, depth_max: int = 6) -> list[Ask]:
    """Draw stages; each step needs some steps of the stage before."""
    before: list[str] = []
    steps: list[Ask] = []
    for stage in range(min(depth_max, 1 + int(random.expovariate(0.8)))):
        width = random.randint(8, 64) if happens(random, _WIDE) else random.randint(1, 4)
        names = [f"s{stage}.{place}" for place in range(width)]
        for name in names:
            needs = random.sample(before, random.randint(min(1, len(before)), min(3, len(before))))
            steps.append(_step(random, name, needs))
        before = names
    return steps


def _step(random: Random, name: str, needs: list[str]) -> Ask:
    agent = random.choice(_WORKERS if happens(random, 0.8) else _TROUBLE)
    step: Ask = {"id": name, "agent": agent, "needs": needs, "input": name}
    step["timeout"] = random.choice((0.5, 5, 10, 30, 60))
    step["optional"] = happens(random, 0.15)
    step["weight"] = random.choice((1, 1, 1, 3))
    if happens(random, 0.35):
        others = [a for a in ("steady", "brisk", "shaky", "failing", "unsure") if a != agent]
        step["fallbacks"] = random.sample(others, random.randint(1, 2))
    if happens(random, 0.2):
        step["allowance"] = random.choice(({"calls": 2}, {"tokens": 500}, {"usd": "0.001"}))
    return step


def _fallback_plans(random: Random) -> Ask:
    """Draw other plans; some repeat steps of each other, some are the same plan again."""
    if not happens(random, 0.3):
        return {}
    one = _plan(random, depth_max=2)
    return {"fallback_plans": random.choice(([one], [one, one], [one, _plan(random, depth_max=2)]))}


# --- bounds --------------------------------------------------------------------------------------


def _common(random: Random) -> Ask:
    return {
        "goal": "do it",
        "budget": _budget(random),
        "timeout": random.choice((5, 20, 60, 120, 300, 600)),
        "until": _until(random),
        "hops_max": random.choice((6, 8, 12, 12, 12)),
        "replans_max": random.choice((0, 1, 2, 3, 3, 3)),
        "confidence_min": random.choice((0.0, 0.5, 0.7, 0.7, 0.9)),
        "at_cap": random.choice(("deliver", "deliver", "escalate", "abort")),
        "desk_timeout": random.choice((5, 30, 120)),
        "desk_default": random.choice(("abort", "approve")),
        "tenant": random.choice(("default", "other")),
        "result_schema": random.choice((None, None, None, _SCHEMA)),
    }


_SCHEMA: Final = {"type": "object", "required": ["ok"]}


def _budget(random: Random) -> Ask:
    """Draw a ceiling in at least one dimension: tight, fair or wide."""
    size = random.choice((1, 10, 10, 100, 100))
    budget: Ask = {
        "tokens": random.randint(200, 2_000) * size,
        "usd": f"{random.randint(300, 4_000) * size / 1_000_000:f}",
        "calls": random.randint(1, 8) * size,
        "ending_share": random.choice((0.0, 0.1, 0.1, 0.5)),
    }
    for name in random.sample(("tokens", "usd", "calls"), random.randint(0, 2)):
        del budget[name]
    return budget


def _until(random: Random) -> Ask:
    done, soon = {"kind": "plan_done"}, {"kind": "elapsed", "seconds": random.choice((3, 15, 60))}
    sure = {"kind": "confidence", "at_least": random.choice((0.5, 0.8, 0.97))}
    spent = {"kind": "spent", "share": random.choice((0.05, 0.3, 0.9))}
    return random.choice(
        (
            *(done, done, done, done, sure),
            {"kind": "any", "of": [done, soon]},
            {"kind": "any", "of": [done, spent]},
            {"kind": "all", "of": [done, sure]},
            {"kind": "all", "of": [{"kind": "any", "of": [spent, soon]}, sure]},
        )
    )


# --- stories -------------------------------------------------------------------------------------

_PLENTY: Final[Ask] = {
    "goal": "do it",
    "budget": {"tokens": 400_000, "usd": "2", "calls": 500},
    "timeout": 600,
    "until": {"kind": "plan_done"},
    "desk_timeout": 60,
}


def _lone(agent: str, **more: Any) -> Callable[[Random], Ask]:
    return lambda random: (
        _PLENTY
        | {
            "agent": agent,
            "at_cap": random.choice(("deliver", "escalate", "abort")),
            **more,
        }
    )


def _steps(*steps: Mapping[str, Any], **more: Any) -> Callable[[Random], Ask]:
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


STORIES: Final[tuple[Callable[[Random], Ask], ...]] = (
    _lone("steady"),
    _lone("ping"),
    _lone("relay", hops_max=3),
    _lone("pushy"),
    _lone("passer"),
    _lone("unsure", confidence_min=0.95),
    _lone("wrong", result_schema=_SCHEMA),
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
