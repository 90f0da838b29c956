"""The replay agents: whoever spoke in the recorded runs, as agents of an ordinary worker.

Imported by the workers that replay_real.py starts. `REPLAY` names the file with the runs; a task's
goal says which run it is and for which guard, and its hop how far it has got.
"""

import os
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from bench.replay_core import WITH_ORACLE
from bench.replay_script import PLANNER, SURE, Script
from bench.replay_traces import read_traces
from envelopes.limits import MICROS_PER_USD
from workers import Context, Envelope, agent

SCRIPTS: Final[dict[str, Script]] = {
    guard.goal(trace): guard.read(trace)
    for trace in read_traces(Path(os.environ["REPLAY"]))
    for guard in WITH_ORACLE
}
NAMES: Final = sorted({hop.agent for script in SCRIPTS.values() for hop in script.hops})


def replayed(ctx: Context, goal: str, input: Any) -> Envelope:  # noqa: A002 - the payload's own name
    """Pay what the recorded agent cost, and say what it said."""
    script = SCRIPTS[goal]
    place = script.at(ctx.headers.hop)
    hop = script.hops[place]
    assert (ctx.headers.agent, input) == (hop.agent, hop.given), "not the recorded message"
    usd = Decimal(hop.cost.usd_micros) / MICROS_PER_USD
    ctx.meter.charge(tokens=hop.cost.tokens, usd=usd, calls=hop.cost.calls)
    return script.envelope(place)


@agent(PLANNER)
def planner(_: Context, goal: str) -> Envelope:
    """Have the same plan as ever."""
    return Envelope.success(list(SCRIPTS[goal].plan), SURE)


for name in NAMES:
    agent(name, handoffs=NAMES)(replayed)
