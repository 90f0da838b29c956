"""What replay agents do: a recorded run, told as messages and envelopes.

A recording knows turns. Here a task is handed from agent to agent, so a run is a row of `Hop`s:
whom the task is handed to, with which words, what that agent then answers, and what it costs. There
are three ways to read a run, and each guard is measured on the one that has what it looks at:

    calls      every invocation is a message: each dispatch where the run has any, else each turn
               of work. All that is recorded up to the next one is what that agent did.
    turns      every dispatch is a message and every piece of work an answer of its own. Work that
               nobody was sent for is a message too: its agent had seen the talk go on.
    attempts   as `calls`, but each time the run was started again a planner is asked anew, and
               has the same plan: to give the same task to the same agent.

What no reading keeps: messages of tools and simulated users, which are nobody's answer to the
owner, and what was never delivered to another agent. Their tokens are in the context that others
paid for. An attempt without a paid turn was never begun.

Used by both paths, so that a replay agent in a worker does what the fast path says it does. Not
here: any guard. Where a run stops is for the core to say (replay_core.py, replay_real.py).
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, groupby, pairwise
from operator import attrgetter
from typing import Any, Final

from bench.replay_traces import Trace, Turn
from envelopes import Amounts, Envelope, Handoff, Status, limits

SURE: Final = 0.9
"""Recordings say nothing of it; above the bar, so that a cap can deliver what is kept."""
NOBODY: Final = "nobody"
"""Who is given a run in which nothing is recorded."""
PLANNER: Final = "the-planner"
"""Is asked for the plan, and again whenever the run was started again."""
NOTHING: Final = Amounts()


@dataclass(frozen=True, slots=True)
class Hop:
    """One message, and what its agent does with it."""

    agent: str
    given: Any
    """The message's input, as JSON."""
    turn: int | None
    """The recorded turn that does not happen if this message is refused."""
    answer: Any = None
    answered: int | None = None
    """The recorded turn that is the answer."""
    cost: Amounts = NOTHING
    gives_up: bool = False
    """Whether the run was started again after it."""


@dataclass(frozen=True, slots=True)
class Script:
    """A run, told hop by hop."""

    hops: tuple[Hop, ...]
    plan: tuple[dict[str, str], ...] = ()
    """What a planner says whenever it is asked; empty where nobody is."""

    def at(self, hop: int) -> int:
        """Return which of `hops` travels at this hop of the task; a planner has the first one."""
        return hop - 1 - bool(self.plan)

    def envelope(self, place: int) -> Envelope:
        """Write what the agent at that place answers: another one is to go on, or this was all."""
        hop = self.hops[place]
        if hop.gives_up:
            return Envelope.failed("the run was started again")
        if place + 1 == len(self.hops):
            unsaid = Envelope.failed("no answer is recorded")
            return unsaid if hop.answer is None else Envelope.success(hop.answer, SURE)
        following = self.hops[place + 1]
        return Envelope(
            status=Status.PARTIAL,
            result=hop.answer,
            confidence=None if hop.answer is None else SURE,
            reason="another one goes on",
            ask=Handoff(to=following.agent, input=following.given),
        )


def calls(trace: Trace) -> Script:
    """Read a run as one message for each invocation."""
    return Script(_calls(trace, trace.paid) or _UNSAID)


def turns(trace: Trace) -> Script:
    """Read a run as one message or answer for each turn."""
    opens, sent_to = [], ""
    for turn in trace.paid:
        opens.append(turn.kind == "dispatch" or (turn.kind == "work" and turn.agent != sent_to))
        if turn.kind != "internal":
            sent_to = turn.to if turn.kind == "dispatch" else ""
    return Script(_told(trace, trace.paid, opens) or _UNSAID)


def attempts(trace: Trace) -> Script:
    """Read a run as plans: every attempt has the same one, and is given up for the next."""
    begun = [tuple(group) for _, group in groupby(trace.paid, key=attrgetter("attempt"))]
    if not begun:
        return Script(_UNSAID, _plan(NOBODY))
    told = [_attempt(trace, paid) for paid in begun]
    given_up = [(*hops[:-1], replace(hops[-1], gives_up=True)) for hops in told[:-1]]
    return Script(tuple(chain(*given_up, told[-1])), _plan(told[0][0].agent))


def liberties(trace: Trace) -> Counter[str]:
    """Count where `calls` cannot tell a run quite as it was: none of it moves a stop."""
    taken = Counter(dispatches_without_an_answer=0, answers_of_somebody_not_sent=0)
    taken["nothing_recorded"] = int(not trace.paid)
    sent_to, answered = "", True
    for turn in trace.paid:
        if turn.kind == "dispatch":
            taken["dispatches_without_an_answer"] += not answered
            sent_to, answered = turn.to, False
        elif turn.kind == "work":
            taken["answers_of_somebody_not_sent"] += bool(sent_to) and turn.agent != sent_to
            answered = True
    taken["dispatches_without_an_answer"] += not answered
    return taken


def name_of(recorded: str) -> str:
    """Return a recorded name as an agent may be called here."""
    return re.sub(r"[^a-zA-Z0-9_.-]+", "-", recorded)[: limits.NAME_CHARS_MAX]


def _plan(agent: str) -> tuple[dict[str, str], ...]:
    """Write the one plan there is: the task goes to whoever speaks first."""
    return ({"id": "run", "agent": agent},)


def _attempt(trace: Trace, paid: Sequence[Turn]) -> tuple[Hop, ...]:
    """Read one attempt: its first agent is given the task itself, whomever it then sends."""
    first, hops = paid[0], _calls(trace, paid)
    if first.kind != "dispatch":
        return (replace(hops[0], given=trace.id), *hops[1:])
    wrote = trace.costs()[first.i]
    entry = Hop(name_of(first.agent), trace.id, first.i, cost=wrote)
    return (entry, replace(hops[0], cost=hops[0].cost - wrote), *hops[1:])


def _calls(trace: Trace, paid: Sequence[Turn]) -> tuple[Hop, ...]:
    kind = "dispatch" if any(turn.kind == "dispatch" for turn in trace.turns) else "work"
    return _told(trace, paid, [turn.kind == kind for turn in paid])


def _told(trace: Trace, paid: Sequence[Turn], opens: Sequence[bool]) -> tuple[Hop, ...]:
    """Divide the paid turns among messages; the first one always opens one."""
    starts = [place for place, opened in enumerate(opens) if opened or place == 0]
    costs, hops = trace.costs(), []
    for start, end in pairwise([*starts, len(paid)]):
        spent = paid[_paid_from(paid, start) : _paid_from(paid, end)]
        hop = _hop(paid[start:end])
        hops.append(replace(hop, cost=sum((costs[turn.i] for turn in spent), NOTHING)))
    return tuple(hops)


def _paid_from(paid: Sequence[Turn], place: int) -> int:
    """Say where the costs of a message begin: whoever sends somebody has paid for the words."""
    sends = 0 < place < len(paid) and paid[place].kind == "dispatch"
    return place + 1 if sends else place


def _hop(done: Sequence[Turn]) -> Hop:
    first = done[0]
    said = [turn for turn in done if turn.kind == "work"]
    sent = first.kind == "dispatch"
    return Hop(
        agent=name_of(first.to if sent else first.agent),
        given={"from": first.agent, "text": first.nsha} if sent else {"after": first.i},
        turn=first.i,
        answer={"text": said[-1].nsha} if said else None,
        answered=said[-1].i if said else None,
    )


_UNSAID: Final = (Hop(NOBODY, None, None),)
"""A run in which nothing is recorded."""
