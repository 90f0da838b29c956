"""Whom the owner itself asks: planners, managers, judges, owner agents, each with one habit.

A planner is given what is known and answers with a plan; a manager delegates, round after round; a
judge says what it thinks of a result; an owner agent has the last word. Most of them are unreliable
in a way of their own. Any agent of cast.py can be asked as well, and will say nothing sensible.
"""

from collections.abc import Mapping
from random import Random
from typing import Any, Final

from envelopes import Delegate, Envelope, Replan, Step
from orchestrator.sim.dice import happens
from orchestrator.sim.script import Act, Character, Order, asking, calls, success, text_of

_HANDS: Final = ("steady", "steady", "brisk", "brisk", "shaky", "unsure", "failing", "twin")


def _says(random: Random, result: Any, confidence: float = 0.9) -> Act:
    return Act(calls(random, 1), text_of(Envelope.success(result, confidence)))


def _gives_up(random: Random) -> Act:
    return Act(calls(random, 1), text_of(Envelope.failed("nothing comes to mind")))


# --- plans ---------------------------------------------------------------------------------------


def _chain(agents: list[str], mark: str, **more: Any) -> list[dict[str, Any]]:
    """Plan one step after the other; the mark makes it another plan than the last one."""
    return [
        {
            "id": f"p{place}",
            "agent": agent,
            "needs": [f"p{place - 1}"] if place else [],
            "input": mark,
            "timeout": 30,
            **more,
        }
        for place, agent in enumerate(agents)
    ]


def _architect(random: Random, order: Order) -> Act:
    """Plan sensibly, most of the time."""
    if happens(random, 0.2):
        return random.choice((_stubborn, _dreamer, lambda r, _: _gives_up(r)))(random, order)
    plan = _chain(random.choices(_HANDS, k=random.randint(1, 3)), order.subtask)
    if happens(random, 0.3):
        plan.append({"id": "more", "skill": "copy", "optional": True, "input": order.subtask})
    if happens(random, 0.2):
        plan[0]["fallbacks"] = ["brisk"]
    return _says(random, plan)


def _stubborn(random: Random, _order: Order) -> Act:
    """Have one idea, and it does not work."""
    return _says(random, _chain(["failing"], "the same"))


def _tidy(random: Random, order: Order) -> Act:
    """Keep what is done, and change the rest."""
    last = random.choice(("failing", "brisk", "halfway"))
    return _says(random, [*_chain(["brisk"], "kept"), *_tail(last, order)])


def _tail(agent: str, order: Order) -> list[dict[str, Any]]:
    return [{"id": "tail", "agent": agent, "needs": ["p0"], "input": order.subtask}]


def _dreamer(random: Random, order: Order) -> Act:
    """Plan what cannot be done."""
    mark = order.subtask
    circle = _chain(["steady", "brisk"], mark)
    circle[0]["needs"] = ["p1"]
    return _says(
        random,
        random.choice(
            (
                circle,
                _chain(["nobody"], mark),
                _chain(["steady"] * 15, mark),
                [{"id": f"w{n}", "agent": "brisk"} for n in range(300)],
                [{"id": "a", "skill": "flying"}],
                _chain(["steady"], mark, allowance={"calls": 10**6}),
                _chain(["judge", "steady"], mark),
                "first we think, then we act",
                [],
            )
        ),
    )


# --- rounds --------------------------------------------------------------------------------------


def _boss(random: Random, order: Order) -> Act:
    """Delegate for a few rounds, build on what came of them, and be done."""
    given = order.payload["input"]
    if given["round"] > random.randint(1, 3):
        return Act(calls(random, 1), success(order, random.uniform(0.6, 1)))
    known = [name for name, one in given["results"].items() if one["final"]]
    steps = [
        _delegated(order, n, agent, known[-1:])
        for n, agent in enumerate(random.choices(_HANDS, k=random.randint(1, 3)))
    ]
    if happens(random, 0.3):
        steps.append(_delegated(order, 9, "brisk", [steps[0].id]))
    return asking(random, Delegate(steps=tuple(steps)), **_so_far(random, order))


def _delegated(order: Order, number: int, agent: str, needs: list[str]) -> Step:
    given = {"round": order.payload["input"]["round"], "asked": order.subtask}
    return Step(id=f"d{number}", agent=agent, needs=tuple(needs), input=given, timeout=30)


def _so_far(random: Random, order: Order) -> dict[str, Any]:
    """Say, now and then, what the answer is so far."""
    if not happens(random, 0.3):
        return {}
    return {"result": {"by": order.subtask, "ok": True}, "confidence": 0.5}


def _tireless(random: Random, order: Order) -> Act:
    """Never be done."""
    agent = random.choice(("brisk", "brisk", "parrot", "staller"))
    return asking(random, Delegate(steps=(_delegated(order, 0, agent, []),)))


def _aviary(random: Random, order: Order) -> Act:
    """Ask a parrot."""
    return asking(random, Delegate(steps=(_delegated(order, 0, "parrot", []),)))


def _becalmed(random: Random, order: Order) -> Act:
    """Have things done that bring nothing."""
    return asking(random, Delegate(steps=(_delegated(order, 0, "staller", []),)))


def _fickle(random: Random, order: Order) -> Act:
    """Change the plan, now and then to one that it has had before."""
    given = "again" if happens(random, 0.4) else order.subtask
    step = Step(id="f", agent="brisk", input={"round": given}, timeout=30)
    return asking(random, Replan(steps=(step,)))


def _hasty(random: Random, order: Order) -> Act:
    """Call it done at once."""
    return Act((), success(order, random.choice((0.5, 0.95))))


def _lost(random: Random, order: Order) -> Act:
    """Delegate to whom there is not, or what cannot be."""
    agent, needs = random.choice((("nobody", []), ("brisk", ["yesterday"]), ("judge", [])))
    return asking(random, Delegate(steps=(_delegated(order, 0, agent, needs),)))


# --- judges and owners ---------------------------------------------------------------------------


def _judge(random: Random, _order: Order) -> Act:
    return _says(random, _verdict(random, ok=True))


def _critic(random: Random, _order: Order) -> Act:
    return _says(random, _verdict(random, ok=False))


def _referee(random: Random, _order: Order) -> Act:
    return _says(random, _verdict(random, ok=happens(random, 0.6)))


def _verdict(random: Random, *, ok: bool) -> dict[str, Any]:
    sure = round(random.choice((0.1, 0.75, 0.95, random.random())), 2)
    return {"ok": ok, "confidence": sure, "reason": "so it seems"}


def _mumbler(random: Random, _order: Order) -> Act:
    """Say what is neither a verdict nor a word."""
    kinds = ({"decision": "perhaps"}, "well", {"ok": "yes"}, 7, {"ok": True, "confidence": 3})
    return _says(random, random.choice(kinds))


def _chief(random: Random, _order: Order) -> Act:
    word = random.choice(("complete", "complete", "escalate", "abort"))
    return _says(random, {"decision": word, "why": "it had to be"})


COUNCIL: Final[Mapping[str, Character]] = {
    "architect": Character(_architect),
    "stubborn": Character(_stubborn),
    "tidy": Character(_tidy),
    "dreamer": Character(_dreamer),
    "boss": Character(_boss),
    "tireless": Character(_tireless),
    "aviary": Character(_aviary),
    "becalmed": Character(_becalmed),
    "fickle": Character(_fickle),
    "hasty": Character(_hasty),
    "lost": Character(_lost),
    "judge": Character(_judge),
    "critic": Character(_critic),
    "referee": Character(_referee),
    "mumbler": Character(_mumbler),
    "chief": Character(_chief),
}
