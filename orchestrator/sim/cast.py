"""The agents of the simulated worlds, each with one habit.

An agent's name is its character, so a plan reads like a story: `steady` does the work, `ping` and
`pong` hand the same thing to each other for ever, `deadly` takes its worker with it. Whom the owner
itself asks, planners and judges among them, stand in council.py.
"""

import json
from collections.abc import Mapping
from random import Random
from typing import Any, Final

from envelopes import Envelope, Fault, Handoff, Question, limits
from orchestrator.sim.council import COUNCIL
from orchestrator.sim.evidence import Json
from orchestrator.sim.script import (
    Act,
    Character,
    Order,
    asking,
    call,
    calls,
    result_of,
    success,
    text_of,
)

# --- the scripts ---------------------------------------------------------------------------------


def _steady(random: Random, order: Order) -> Act:
    return Act(calls(random), success(order, random.uniform(0.75, 1)))


def _brisk(_random: Random, order: Order) -> Act:
    return Act((), success(order, 0.95), thinks_ms=1)


def _slow(random: Random, order: Order) -> Act:
    return Act(calls(random), success(order, 0.9), thinks_ms=random.randint(5_000, 60_000))


def _unsure(random: Random, order: Order) -> Act:
    return Act(calls(random), success(order, random.uniform(0, 0.6)))


def _halfway(random: Random, order: Order) -> Act:
    part = Envelope.partial(result_of(order), round(random.uniform(0.3, 1), 2), "no time for more")
    return Act(calls(random), text_of(part))


def _failing(random: Random, _order: Order) -> Act:
    return Act(calls(random), text_of(Envelope.failed("it cannot be done")))


def _shaky(random: Random, order: Order) -> Act:
    scripts = (_steady, _steady, _steady, _failing, _halfway, _unsure, _raising)
    return random.choice(scripts)(random, order)


def _raising(random: Random, _order: Order) -> Act:
    return Act(calls(random), text_of(Envelope.failed("ValueError: no", Fault.RAISED)))


def _garbled(random: Random, _order: Order) -> Act:
    """Answer with what is no envelope; a worker that breaks the contract is not believed."""
    kinds = (b"done, it went well", b"{}", b'{"status":"success","confidence":NaN}', b"[1,")
    return Act(calls(random), random.choice(kinds))


def _wrong(random: Random, order: Order) -> Act:
    """Be sure of a result that breaks every schema there is."""
    return Act(calls(random), text_of(Envelope.success({"by": order.subtask}, 0.99)))


def _greedy(random: Random, _order: Order) -> Act:
    """Spend until refused."""
    return Act(
        tuple(call(random) for _ in range(40)),
        text_of(Envelope.failed("the budget is used up", Fault.BUDGET)),
    )


def _hung(random: Random, order: Order) -> Act:
    return Act(calls(random), success(order, 1), hangs=True)


def _deadly(random: Random, order: Order) -> Act:
    return Act(calls(random), success(order, 1), kills=True)


def _bulky(_random: Random, order: Order) -> Act:
    """Answer so much that two of these do not fit one message."""
    return Act((), success(order, 0.9, pad="x" * (limits.PAYLOAD_BYTES_MAX * 3 // 5)))


def _passer(random: Random, order: Order) -> Act:
    return asking(random, Handoff(to="steady", input={"from": order.subtask}))


def _ping(random: Random, order: Order) -> Act:
    return asking(random, Handoff(to="pong", input=order.payload["input"]))


def _pong(random: Random, order: Order) -> Act:
    return asking(random, Handoff(to="ping", input=order.payload["input"]))


def _tit(random: Random, order: Order) -> Act:
    return asking(random, _for_another("tat", order))


def _tat(random: Random, order: Order) -> Act:
    return asking(random, _for_another("tit", order))


def _relay(random: Random, order: Order) -> Act:
    """Never be satisfied, and never ask twice for the same."""
    return asking(random, _for_another("relay", order))


def _for_another(to: str, order: Order) -> Handoff:
    return Handoff(to=to, goal=f"go on from {order.subtask}", input={"after": order.subtask})


def _pushy(random: Random, order: Order) -> Act:
    return asking(
        random, Handoff(to=random.choice(("steady", "nobody")), input=order.payload["input"])
    )


def _parrot(random: Random, order: Order) -> Act:
    """Say the same for ever, whatever it is asked."""
    said: dict[str, Any] = {"result": {"by": "a parrot", "ok": True}, "confidence": 0.8}
    if _is_delegated(order):
        return Act(calls(random), text_of(Envelope.success(said["result"], said["confidence"])))
    return asking(random, _for_another("parrot", order), **said)


def _staller(random: Random, order: Order) -> Act:
    """Be busy, and get nowhere."""
    if _is_delegated(order):
        done = Envelope.success(result_of(order), 0.8, progress=False)
        return Act(calls(random), text_of(done))
    return asking(random, _for_another("staller", order), progress=False)


def _is_delegated(order: Order) -> bool:
    given = order.payload["input"]
    return isinstance(given, dict) and "round" in given


def _asker(random: Random, order: Order) -> Act:
    """Ask a person once, and go on with the answer."""
    if order.payload.get("answers"):
        return Act(calls(random), success(order, 0.9))
    choices = random.choice(((), ("yes", "no")))
    return asking(random, Question(text="shall I?", choices=choices))


def _nosy(random: Random, order: Order) -> Act:
    """Ask again whatever the answer."""
    return asking(random, Question(text=f"why is that so? ({order.subtask})"))


CAST: Final[Mapping[str, Character]] = {
    "steady": Character(_steady),
    "brisk": Character(_brisk),
    "slow": Character(_slow),
    "shaky": Character(_shaky),
    "unsure": Character(_unsure),
    "halfway": Character(_halfway),
    "failing": Character(_failing),
    "garbled": Character(_garbled),
    "wrong": Character(_wrong),
    "greedy": Character(_greedy),
    "hung": Character(_hung),
    "deadly": Character(_deadly),
    "bulky": Character(_bulky),
    "passer": Character(_passer, handoffs=("steady",)),
    "ping": Character(_ping, handoffs=("pong",)),
    "pong": Character(_pong, handoffs=("ping",)),
    "relay": Character(_relay, handoffs=("relay",)),
    "pushy": Character(_pushy, handoffs=("brisk",)),
    "tit": Character(_tit, handoffs=("tat",)),
    "tat": Character(_tat, handoffs=("tit",)),
    "parrot": Character(_parrot, handoffs=("parrot",)),
    "staller": Character(_staller, handoffs=("staller",)),
    "asker": Character(_asker),
    "nosy": Character(_nosy),
    # the same skill, and one of them always fails
    "twin": Character(_steady, skills=("copy",)),
    "evil_twin": Character(_raising, skills=("copy",)),
    "unsure_twin": Character(_unsure, skills=("copy", "guess")),
    # few at a time
    "capped": Character(_shaky, in_flight_max=2),
    "solo": Character(_steady, in_flight_max=1),
    **COUNCIL,
}


def about() -> dict[str, dict[str, Any]]:
    """Say of every agent what its worker registers."""
    return {
        name: {
            "handoffs": list(one.handoffs),
            "price": None,
            "skills": list(one.skills),
            "in_flight_max": one.in_flight_max,
        }
        for name, one in CAST.items()
    }


def opened(payload: str) -> Json:
    """Read a payload as an agent sees it."""
    read: Json = json.loads(payload)
    return read
