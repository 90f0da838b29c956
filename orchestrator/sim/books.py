"""The auditor's own books: a task's history, read line by line from its journal.

A line shows the task's books as they are after what it says has been done to them. Nothing here
calls the core. Where it seems to repeat it, that is the purpose: two independent accounts of the
same money must agree.
"""

import json
from dataclasses import dataclass, field
from decimal import Decimal
from math import ceil
from typing import Any, Final

from envelopes import Step
from orchestrator.sim.evidence import Bound, Json, Sum, TaskEvidence, amounts, bounds
from orchestrator.sim.sums import NOTHING, clamped, held, minus, plus, within

SETTLING: Final = frozenset(
    ("envelope", "lost", "poison", "step_timeout", "unclaimed", "revoked"),
)
"""Lines that end an open subtask."""
_SENT_AGAIN: Final = frozenset(("lost", "unclaimed", "revoked"))
"""Ends that say nothing against the step: it goes out again at the same hop."""
_READY: Final = frozenset(("waiting", "reopened"))
_OVER: Final = frozenset(("done", "dropped", "reopened"))
"""A reopened step is done, and yet a person's retry may send it out again."""
_CARRIED: Final = frozenset(("done", "reopened"))


@dataclass(slots=True)
class StepBook:
    """What is known of one step of the plan in force."""

    plan: Json
    agent: str
    state: str = "waiting"
    hop: int = 0
    next_hop: int = 1
    tried: list[str] = field(default_factory=list)
    """Who has held it, as far as a re-plan is concerned."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One message that went out."""

    subtask: int
    step: str
    agent: str
    hop: int
    hop_expected: int
    hops_max: int
    at_ms: int
    deadline_ms: int
    timeout_ms: int
    allowance: Bound
    fits: bool
    """Whether the ceiling, less the ending that is kept back, held it."""
    ready: bool
    """Whether the step was waiting and all its needs were there."""


@dataclass(frozen=True, slots=True)
class Settled:
    """One subtask that is over."""

    why: str
    at_ms: int
    allowance: Bound
    booked: Sum


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal beside what our own books said at that moment."""

    line: Json
    spent: Sum
    reserved: Sum
    ceiling: Bound


@dataclass(frozen=True, slots=True)
class Replan:
    """One new plan."""

    number: int
    """How many there have been since the task began or a person let it go on."""
    repeats: bool


@dataclass(slots=True)
class Book:
    """One task's history, accounted for."""

    task: TaskEvidence
    ceiling: Bound
    ending: Sum
    hops_max: int
    deadline_ms: int
    spent: Sum = NOTHING
    reserved: Sum = NOTHING
    open: dict[int, Sent] = field(default_factory=dict)
    sent: list[Sent] = field(default_factory=list)
    settled: dict[int, Settled] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    replans: list[Replan] = field(default_factory=list)
    escalated: list[Json] = field(default_factory=list)
    decided: list[Json] = field(default_factory=list)
    concluded: list[Json] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)
    """Lines that make no sense in this history."""
    makers: dict[str, set[str]] = field(default_factory=dict)
    """Which subtasks worked on each step, by step id."""
    dropped: set[str] = field(default_factory=set)
    """Steps that were ever given up."""
    steps: dict[str, StepBook] = field(default_factory=dict)
    in_force: list[str] = field(default_factory=list)
    since_granted: int = 0
    replanned: bool = False
    """Whether a re-plan is being written down, and not judged yet."""

    def states(self) -> dict[str, str]:
        """Say where each step of the plan in force stands."""
        return {name: step.state for name, step in self.steps.items()}


def read(task: TaskEvidence) -> Book:
    """Account for a task's whole journal."""
    request = task.request
    ceiling = _bound_of(request["budget"])
    book = Book(
        task=task,
        ceiling=ceiling,
        ending=_ending(ceiling, request["budget"]["ending_share"]),
        hops_max=request["hops_max"],
        deadline_ms=task.accepted_ms + int(request["timeout"] * 1000),
    )
    book.steps = {step["id"]: _fresh(step) for step in plans(request)[0]}
    book.in_force = [_identity(book)]
    for line in task.journal:
        _read_line(book, line)
    _judge_replan(book)
    return book


def _fresh(plan: Json) -> StepBook:
    return StepBook(plan, plan["agent"], tried=[plan["agent"]])


def plans(request: Json) -> list[list[Json]]:
    """List a request's plans, each step with the goal it really has."""
    first = request["plan"] or [_lone_step(request)]
    return [
        [{**step, "goal": step["goal"] or request["goal"]} for step in plan]
        for plan in (first, *request["fallback_plans"])
    ]


def _lone_step(request: Json) -> Json:
    """Write out the one step of a task that names an agent instead of a plan."""
    step = Step(id="only", agent=request["agent"], input=request["input"])
    lone: Json = step.model_dump(mode="json")
    return lone


def _bound_of(amount: Json) -> Bound:
    usd = amount["usd"]
    micros = None if usd is None else int(Decimal(str(usd)) * 1_000_000)
    return amount["tokens"], micros, amount["calls"]


def _ending(ceiling: Bound, share: float) -> Sum:
    tokens, usd, calls = (min(ceil(c * share), c - 1) if c else 0 for c in ceiling)
    return tokens, usd, calls


# --- one line ------------------------------------------------------------------------------------


def _read_line(book: Book, line: Json) -> None:
    why = line["why"]
    if why != "next_agent":
        _judge_replan(book)
    if why == "publish":
        _send(book, line)
    elif why in SETTLING:
        _settle(book, line)
    elif why in _READERS:
        _READERS[why](book, line)
    book.entries.append(Entry(line, book.spent, book.reserved, book.ceiling))


def _send(book: Book, line: Json) -> None:
    subtask, allowance = line["subtask"], bounds(line["allowance"])
    step = book.steps.get(line["step"])
    if subtask != len(book.sent) + 1 or step is None:
        book.strays.append(f"subtask {subtask} of step {line['step']} was published out of order")
        return
    needs = [book.steps[need] for need in step.plan["needs"]]
    expected = max([step.next_hop, *(need.hop + 1 for need in needs)])
    book.reserved = plus(book.reserved, held(allowance))
    sent = Sent(
        subtask=subtask,
        step=line["step"],
        agent=line["agent"],
        hop=line["hop"],
        hop_expected=expected,
        hops_max=book.hops_max,
        at_ms=line["at_ms"],
        deadline_ms=book.deadline_ms,
        timeout_ms=int(step.plan["timeout"] * 1000),
        allowance=allowance,
        fits=within(plus(plus(book.spent, book.reserved), book.ending), book.ceiling),
        ready=step.state in _READY and all(n.state in _OVER for n in needs),
    )
    book.open[subtask] = sent
    book.sent.append(sent)
    book.makers.setdefault(line["step"], set()).add(f"{book.task.id}/{subtask}")
    step.state, step.hop, step.agent = "open", line["hop"], line["agent"]


def _settle(book: Book, line: Json) -> None:
    sent = book.open.pop(line["subtask"], None)
    if sent is None:
        book.strays.append(f"subtask {line['subtask']} was settled and was not open")
        return
    booked = clamped(amounts(line["charged"]), sent.allowance)
    book.spent = plus(book.spent, booked)
    book.reserved = minus(book.reserved, held(sent.allowance))
    ended = Settled(line["why"], line["at_ms"], sent.allowance, booked)
    book.settled[sent.subtask] = ended
    step = book.steps[sent.step]
    step.state = _state_after(line, step, book.task.request["confidence_min"])
    step.next_hop = step.hop if step.state == "waiting" else step.hop + 1


def _state_after(line: Json, step: StepBook, confidence_min: float) -> str:
    if line["why"] in _SENT_AGAIN or line["fault"] == "stopped":
        return "waiting"
    if line["status"] != "success":
        return "broken"
    others = [agent for agent in step.plan["fallbacks"] if agent not in step.tried]
    return "broken" if others and line["confidence"] < confidence_min else "done"


def _next_agent(book: Book, line: Json) -> None:
    step = book.steps[line["step"]]
    step.agent, step.state, step.next_hop = line["agent"], "waiting", step.hop + 1
    step.tried.append(step.agent)
    book.replanned = True


def _next_plan(book: Book, line: Json) -> None:
    old = book.steps
    cause = max(step.hop for step in old.values())
    book.steps = {}
    for plan in plans(book.task.request)[line["plan"]]:
        before = old.get(plan["id"])
        carried = before is not None and before.plan == plan and before.state in _CARRIED
        fresh = before if before is not None and carried else _fresh(plan)
        fresh.next_hop = cause + 1
        book.steps[plan["id"]] = fresh
    book.replanned = True


def _handed_over(book: Book, line: Json) -> None:
    step = book.steps[line["step"]]
    step.state, step.next_hop = "waiting", step.hop + 1
    to = line["text"].partition(" → ")[2].partition(":")[0]
    step.tried.append(to)


def _granted(book: Book, line: Json) -> None:
    granted = line["granted"]
    book.ceiling = bounds(granted["ceiling"])
    book.hops_max = granted["hops_max"]
    book.deadline_ms = granted["deadline_ms"]
    for step in book.steps.values():
        if step.state in {"broken", "done"}:
            again = "waiting" if step.state == "broken" else "reopened"
            step.state, step.tried, step.next_hop = again, [step.agent], step.hop + 1
    book.since_granted, book.in_force = 0, []


def _broken(book: Book, line: Json) -> None:
    book.steps[line["step"]].state = "broken"


def _dropped(book: Book, line: Json) -> None:
    book.steps[line["step"]].state = "dropped"
    book.dropped.add(line["step"])


def _escalated(book: Book, line: Json) -> None:
    book.escalated.append(line)


def _decided(book: Book, line: Json) -> None:
    book.decided.append(line)


def _concluded(book: Book, line: Json) -> None:
    book.concluded.append(line)


_READERS: Final = {
    "next_agent": _next_agent,
    "next_plan": _next_plan,
    "handoff": _handed_over,
    "handoff_refused": _broken,
    "payload_too_large": _broken,
    "dropped": _dropped,
    "granted": _granted,
    "escalate": _escalated,
    "decided": _decided,
    "conclude": _concluded,
}


def _judge_replan(book: Book) -> None:
    """Compare a plan that has just been put in force with all that were."""
    if not book.replanned:
        return
    book.replanned = False
    book.since_granted += 1
    name = _identity(book)
    book.replans.append(Replan(book.since_granted, repeats=name in book.in_force))
    book.in_force.append(name)


def _identity(book: Book) -> str:
    steps: list[Any] = [(step.plan, step.agent) for step in book.steps.values()]
    return json.dumps(steps, sort_keys=True)
