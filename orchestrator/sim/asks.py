"""What callers ask for in the simulated worlds: tasks of all shapes, drawn from the seed.

Most are plans of mixed sizes under mixed bounds. The others are stories (stories.py), each written
around one corner that chance alone would visit too rarely. What a world's tasks are about, beside
plain plans, is its moods: each world has about half of them.
"""

from collections.abc import Collection
from random import Random
from typing import Final

from orchestrator.sim.dice import happens
from orchestrator.sim.stories import MOODS, PLAIN, SCHEMA, Ask

_WORKERS: Final = ("steady", "steady", "steady", "brisk", "brisk", "shaky", "shaky", "unsure")
_TROUBLE: Final = (
    *("slow", "halfway", "failing", "garbled", "wrong", "greedy", "hung", "passer", "pushy"),
    *("ping", "relay"),
)
_WIDE: Final = 0.06
"""The share of plans with a stage of up to 64 steps."""
_STORIES_SHARE: Final = 0.2
"""The share of tasks that are stories without any of it, and that of a mood's own stories."""
_MOODY_SHARE: Final = 0.5
_LIKELY: Final = 0.6
"""The share of worlds that are in a mood."""


def moods(random: Random) -> tuple[str, ...]:
    """Draw what a world's tasks are about."""
    return tuple(mood for mood in MOODS if happens(random, _LIKELY))


def ask(random: Random, moods: Collection[str]) -> Ask:
    """Draw one task."""
    kind = random.random()
    if moods and kind < _MOODY_SHARE:
        mood = random.choice(tuple(moods))
        return random.choice(MOODS[mood])(random) | _place(random, moods)
    if kind < _MOODY_SHARE + _STORIES_SHARE:
        return random.choice(PLAIN)(random)
    plan = {"plan": _plan(random)} | _fallback_plans(random)
    return _common(random) | plan | _council(random, moods) | _place(random, moods)


def _place(random: Random, moods: Collection[str]) -> Ask:
    """Draw whose task it is; the small tenant has few places."""
    names = ("default", "other", "small", "small") if "bounds" in moods else ("default", "other")
    return {"tenant": random.choice(names)}


def _council(random: Random, moods: Collection[str]) -> Ask:
    """Draw who is asked about it beside those who do it."""
    asked: Ask = {}
    if "judges" in moods and happens(random, 0.3):
        asked["validators"] = random.choice((["judge"], ["judge", "critic"], ["referee"]))
        asked["compose"] = random.choice(("weakest", "mean", "product"))
    if "owners" in moods and happens(random, 0.3):
        asked["owner"] = random.choice(("chief", "chief", "mumbler", "failing"))
    if "plans" in moods and happens(random, 0.2):
        asked["planner"] = "architect"
    return asked


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
        "result_schema": random.choice((None, None, None, SCHEMA)),
    }


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
