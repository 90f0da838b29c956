"""Replay a recorded run through the real core, with nothing around it: the fast path.

`play` is the shell of one task that never fails: it hands every message to its replay agent and the
envelope back to `decide`, until the core ends the task. Where it was stopped, and by which rule, is
read off the core's own task and journal; no guard is computed here.

Used by replay.py. The same through a server, orchestrators and workers: replay_real.py.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from msgspec.structs import replace

from bench.replay_script import PLANNER, SURE, Script, attempts, calls, turns
from bench.replay_traces import Trace
from envelopes import Amounts, Envelope, TaskRequest, limits
from envelopes.strict import parse
from orchestrator.core import state
from orchestrator.core.commands import Decision, Publish
from orchestrator.core.decide import decide
from orchestrator.core.facts import Agent, Mail, Report, Sight
from orchestrator.core.task import Outcome, Phase, Task

NEVER: Final = 10**6
"""More hops than any recording has: the hop cap is off."""
ALL_OFF: Final = {"hops_max": NEVER, "repeat_max": 0, "holders_window": 0, "stalls_max": 0}
HOP_CAP: Final = {"hops_max": limits.HOPS_DEFAULT}
REPEAT: Final = {"repeat_max": limits.REPEAT_MAX}
PING_PONG: Final = {"holders_window": limits.HOLDERS_WINDOW, "holders_min": limits.HOLDERS_MIN}
STALLS: Final = {"stalls_max": limits.STALLS_MAX}
WIDE: Final = {"tokens": limits.AMOUNT_CEILING, "usd": 10**6, "ending_share": 0}
"""No recording costs as much: the budget is off too."""
DAY_S: Final = 24 * 3600

STOPS: Final = frozenset(
    ("hop_cap", "repetition", "same_answer", "ping_pong", "stalled", "plan_refused")
)
"""Rules that stop a run which goes nowhere. Whatever else ends a task is no stop."""
ON_AN_ANSWER: Final = "same_answer"
"""Looks at what has come back; all others at what is about to go out."""
_NOW_MS: Final = 1


@dataclass(frozen=True, slots=True)
class Guard:
    """What is switched on, and how a run is read for it."""

    name: str
    read: Callable[[Trace], Script]
    on: Mapping[str, int]

    @property
    def bounds(self) -> dict[str, int]:
        """Return all guards off but those that are on."""
        return {**ALL_OFF, **self.on}

    def goal(self, trace: Trace) -> str:
        """Name the run and the guard, so that a replay agent knows what to say."""
        return f"{self.name} {trace.id}"

    def request(self, trace: Trace, script: Script) -> dict[str, Any]:
        """Write the task that this run was; a letter on the desk is due at once."""
        return {
            "goal": self.goal(trace),
            "input": script.hops[0].given,
            **({"planner": PLANNER} if script.plan else {"agent": script.hops[0].agent}),
            **self.bounds,
            "hops_max": min(self.bounds["hops_max"], limits.HOPS_CEILING),
            "subtasks_max": limits.SUBTASKS_CEILING,
            "budget": WIDE,
            "timeout": DAY_S,
            "desk_timeout": limits.TIMEOUT_FLOOR_S,
            "until": {"kind": "plan_done"},
        }


FREE: Final = Guard("none", calls, {})
"""Nothing is switched on: what a run costs when it is let go to its end."""
GUARDS: Final = (
    Guard("hop_invocation>12", calls, HOP_CAP),
    Guard("repeat>=3", turns, REPEAT),
    Guard("restart>=2", attempts, {}),
)
"""Those that the oracle knows, by its names."""
WITH_ORACLE: Final = (FREE, *GUARDS)
MORE: Final = (
    Guard("ping_pong", calls, PING_PONG),
    Guard("all_defaults", calls, {**HOP_CAP, **REPEAT, **PING_PONG, **STALLS}),
)
"""Those that it does not know: reported, and compared with nothing."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a replay ended, as the core tells it."""

    why: str
    """The rule that stopped it; empty where it was let go to its end."""
    stop: int | None
    """The recorded turn at which it was stopped."""
    spent: Amounts
    lost: bool = False
    """Whether it has neither an outcome nor a letter on the desk."""
    delivered: int | None = None
    """The recorded turn that was delivered, whole or part."""


def play(trace: Trace, guard: Guard, script: Script) -> Ending:
    """Run one task to its end."""
    task, sight = _begun(trace, guard, script), _sight(script)
    whys: list[str] = []
    mail: list[Mail] = []
    while task.phase is Phase.WORKING:
        decision = decide(task, mail, sight, _NOW_MS)
        assert isinstance(decision, Decision), "no claim can run out: no time passes"
        task, mail = decision.task, _answers(script, decision)
        whys += [note.why for note in decision.notes]
        if not mail:
            break
    return Ending(
        *stopped(script, task.hop, whys),
        spent=task.ledger.spent,
        lost=task.phase is Phase.WORKING,
        delivered=_delivered(script, task),
    )


def stopped(script: Script, hop: int, whys: Sequence[str]) -> tuple[str, int | None]:
    """Say which rule stopped a task that got as far as this hop, and at which recorded turn."""
    why = next((why for why in whys if why in STOPS), "")
    place = script.at(hop)
    if why == ON_AN_ANSWER:
        return why, script.hops[place].answered
    refused = script.hops[place + 1].turn if why and place + 1 < len(script.hops) else None
    return why, refused


def _begun(trace: Trace, guard: Guard, script: Script) -> Task:
    """Begin a task; what is switched off may be beyond what a caller can ask for."""
    text = json.dumps(guard.request(trace, script))
    request = parse(TaskRequest, text, bytes_max=limits.REQUEST_BYTES_MAX, what="request")
    task = state.begin("t", request, 0)
    bound = guard.bounds["hops_max"]
    return replace(task, hops_max=bound, terms=replace(task.terms, hops_max=bound))


def _sight(script: Script) -> Sight:
    """Let everybody hand over to everybody: a recording says what they did, not what they could."""
    names = tuple({hop.agent for hop in script.hops} | {PLANNER})
    return Sight(agents=dict.fromkeys(names, Agent(handoffs=names)))


def _answers(script: Script, decision: Decision) -> list[Mail]:
    """Let the replay agents answer what was published."""
    return [_answer(script, each) for each in decision.commands if isinstance(each, Publish)]


def _answer(script: Script, message: Publish) -> Report:
    if message.agent == PLANNER:
        return Report(message.subtask, Amounts(), Envelope.success(list(script.plan), SURE))
    place = script.at(message.hop)
    hop = script.hops[place]
    assert (message.agent, json.loads(message.payload)["input"]) == (hop.agent, hop.given)
    return Report(message.subtask, hop.cost, script.envelope(place))


def _delivered(script: Script, task: Task) -> int | None:
    if task.outcome not in {Outcome.COMPLETED, Outcome.PARTIAL} or script.plan:
        return None
    [step] = task.steps
    assert step.kept is not None
    return script.hops[step.kept.subtask - 1].answered
