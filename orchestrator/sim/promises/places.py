"""Breakers, caps and tenants: nothing is sent where there is no place for it.

What is in flight is counted here, from what was published and settled; the store's own counters are
not read.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from envelopes import limits
from orchestrator.sim.books import Settled
from orchestrator.sim.evidence import Move
from orchestrator.sim.promises.case import Case, Checks

_HALF_MS: Final = limits.BREAKER_WINDOW_MS // 2
_FAULTS: Final = frozenset(("raised", "contract", "timeout", "lost"))
"""Faults of an agent: what else an envelope may have as a fault, it could not help."""


def an_agent_has_no_more_in_flight_than_it_may(case: Case) -> Checks | None:
    """Count what every agent had in flight whenever something was sent to it."""
    moves = case.evidence.moves
    return None if moves is None else _in_flight(case, moves)


def _in_flight(case: Case, moves: Sequence[Move]) -> Checks:
    agents = case.evidence.agents
    caps = {n: a["in_flight_max"] for n, a in agents.items() if a.get("in_flight_max") is not None}
    caps |= case.evidence.caps
    flying: Counter[str] = Counter()
    for move in moves:
        flying.subtract(agent for _, agent, _ in move.settled)
        flying.update(agent for _, agent in move.sent)
        for agent in {agent for _, agent in move.sent if agent in caps}:
            over = flying[agent] > caps[agent]
            told = f"{move.task}: {agent} has {flying[agent]} in flight, of {caps[agent]}"
            yield told if over else None


# --- breakers ------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Breaker:
    """What is known against one agent, and since when."""

    heard: list[tuple[int, bool]] = field(default_factory=list)
    """(when, a fault) of all it was heard to do since the breaker last moved."""
    known: bool = False
    """Whether it ever had a fault; before that nobody counts."""
    opened_ms: int | None = None
    probe: str | None = None

    def hear(self, subtask: str, verdict: str, at_ms: int) -> None:
        """Take a verdict down; while it is open, that of the probe and no other."""
        fault = verdict == "fault"
        if self.opened_ms is None:
            self.known |= fault
            if verdict and self.known:
                self.heard.append((at_ms, fault))
            if fault and self._trips(at_ms):
                self._move(at_ms)
        elif self.probe == subtask:
            self.probe = None
            if verdict:
                self._move(at_ms if fault else None)

    def _trips(self, at_ms: int) -> bool:
        row = [fault for _, fault in self.heard[-limits.BREAKER_FAULTS :]]
        recent = [fault for at, fault in self.heard if at >= at_ms - at_ms % _HALF_MS - _HALF_MS]
        often = sum(recent) * 100 >= len(recent) * limits.BREAKER_RATE_PERCENT
        in_a_row = len(row) == limits.BREAKER_FAULTS and all(row)
        return in_a_row or (len(recent) >= limits.BREAKER_CALLS_MIN and often)

    def _move(self, opened_ms: int | None) -> None:
        self.opened_ms, self.heard = opened_ms, []

    def lets_out(self, at_ms: int) -> int:
        """Say how many subtasks may go out together."""
        if self.opened_ms is None:
            return limits.SUBTASKS_CEILING
        early = at_ms < self.opened_ms + limits.BREAKER_OPEN_MS
        return int(not early and self.probe is None)

    def let_out(self, subtasks: Sequence[str], at_ms: int) -> None:
        """Remember the one that goes out while it is open: it is the probe."""
        if self.opened_ms is not None and len(subtasks) == self.lets_out(at_ms):
            [self.probe] = subtasks


def an_open_breaker_lets_one_probe_out_and_nothing_else(case: Case) -> Checks | None:
    """Keep a breaker of our own for every agent, and look at what was sent while it was open."""
    moves = case.evidence.moves
    return None if moves is None else _let_out(moves)


def _let_out(moves: Sequence[Move]) -> Checks:
    breakers: defaultdict[str, _Breaker] = defaultdict(_Breaker)
    for move in moves:
        sent = _by_agent(move)
        for agent, subtasks in sent.items():  # what the same commit says of it comes after
            shut = breakers[agent].opened_ms is not None
            if len(subtasks) > breakers[agent].lets_out(move.at_ms):
                yield f"{subtasks} went to {agent}, whose breaker is open"
            elif shut:
                yield None
        for number, agent, verdict in move.settled:
            breakers[agent].hear(f"{move.task}/{number}", verdict, move.at_ms)
        for agent, subtasks in sent.items():
            breakers[agent].let_out(subtasks, move.at_ms)


def _by_agent(move: Move) -> dict[str, list[str]]:
    sent: defaultdict[str, list[str]] = defaultdict(list)
    for number, agent in move.sent:
        sent[agent].append(f"{move.task}/{number}")
    return sent


def an_agent_answers_for_its_own_faults_only(case: Case) -> Checks | None:
    """Compare what was counted against every agent with what had become of its subtask."""
    moves = case.evidence.moves
    return None if moves is None else _blamed(case, moves)


def _blamed(case: Case, moves: Sequence[Move]) -> Checks:
    for move in moves:
        book = case.books.get(move.task)
        for number, agent, verdict in move.settled if book is not None else ():
            settled = book.settled.get(number) if book is not None else None
            if settled is None or settled.agent != agent:
                yield f"{move.task}/{number} was settled at {agent}, and in no line"
            elif (wanted := _verdict(settled)) != verdict:
                yield f"{move.task}/{number}: {settled.why} counts {wanted!r}, not {verdict!r}"
            else:
                yield None


def _verdict(settled: Settled) -> str:
    if settled.why == "envelope":
        return "fault" if settled.fault in _FAULTS else "" if settled.fault else "ok"
    gone = settled.text.startswith("its record is gone")
    return "fault" if settled.why in {"lost", "poison", "step_timeout"} and not gone else ""


# --- tenants -------------------------------------------------------------------------------------


def a_tenant_has_no_more_at_work_than_it_may(case: Case) -> Checks | None:
    """Look at how many were at work whenever one more was let in."""
    admissions = case.evidence.admissions
    if admissions is None:
        return None
    return (
        f"{a.task} is number {a.at_work} of {a.tenant}, which may have {a.most}"
        if a.at_work > a.most
        else None
        for a in admissions
    )


def nothing_goes_out_for_a_task_that_waits_for_its_place(case: Case) -> Checks | None:
    """Look at every commit of a task that was not admitted yet."""
    moves = case.evidence.moves
    if moves is None:
        return None
    waiting = (move for move in moves if move.waiting)
    return (f"{move.task} waits, and sent {move.sent}" if move.sent else None for move in waiting)
