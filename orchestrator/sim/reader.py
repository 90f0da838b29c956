"""Read a task's history into the auditor's own books, line by line, from its journal.

A line shows the task's books as they are after what it says has been done to them. Nothing here
calls the core. Where it seems to repeat it, that is the purpose: two independent accounts of the
same money must agree.

What the owner itself asks of agents (a plan, a round, a verdict, the last word) is a step in these
books too, from the line that asks to the line that says what came of it.
"""

from collections.abc import Iterable, Mapping
from math import ceil
from typing import Any, Final

from envelopes import limits
from orchestrator.sim.books import CAPS, Book, Ending, Entry, Replan, Sent, Settled, StepBook
from orchestrator.sim.evidence import Bound, Json, Sum, TaskEvidence, amounts, bounds
from orchestrator.sim.plans import (
    AT_THE_END,
    MAKERS,
    PlanStep,
    bound_of,
    identity,
    last_steps,
    noted,
    question,
    requested,
)
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


def read(task: TaskEvidence, agents: Mapping[str, Json]) -> Book:
    """Account for a task's whole journal."""
    request = task.request
    ceiling = bound_of(request["budget"])
    book = Book(
        task=task,
        agents=agents,
        ceiling=ceiling,
        ending=_ending(ceiling, request["budget"]["ending_share"]),
        hops_max=request["hops_max"],
        deadline_ms=task.accepted_ms + int(request["timeout"] * 1000),
    )
    book.steps = {step.id: _fresh(step) for step in requested(request)[0]}
    book.in_force = [_identity(book)] if book.steps else []
    for line in task.journal:
        _read_line(book, line)
    _judge_replan(book)
    return book


def _fresh(plan: PlanStep, next_hop: int = 1) -> StepBook:
    tried = [plan.agent] if plan.agent else []
    return StepBook(plan, plan.agent, next_hop=next_hop, tried=tried)


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
    elif why in CAPS:
        book.endings.append(Ending(why, line["at_ms"]))
    elif why in _READERS:
        _READERS[why](book, line)
    book.entries.append(Entry(line, book.spent, book.reserved, book.ceiling))


def _send(book: Book, line: Json) -> None:
    subtask, allowance = line["subtask"], bounds(line["allowance"])
    step = book.steps.get(line["step"])
    if subtask != len(book.sent) + 1 or step is None:
        book.strays.append(f"subtask {subtask} of step {line['step']} was published out of order")
        return
    needs = [book.steps[need] for need in step.plan.needs]
    book.reserved = plus(book.reserved, held(allowance))
    sent = Sent(
        subtask=subtask,
        step=line["step"],
        role=step.plan.role,
        needs=step.plan.needs,
        agent=line["agent"],
        meant_for=frozenset(_meant_for(book, step)),
        hop=line["hop"],
        hop_expected=_hop_expected(book, step, needs),
        hops_max=book.hops_max,
        at_ms=line["at_ms"],
        deadline_ms=_deadline_ms(book, step),
        timeout_ms=step.plan.timeout_ms,
        allowance=allowance,
        answers=step.answers,
        fits=_fits(book, step),
        ready=step.state in _READY and all(n.state in _OVER for n in needs),
        ending=book.judging is not None,
    )
    book.open[subtask] = sent
    book.sent.append(sent)
    book.makers.setdefault(line["step"], set()).add(f"{book.task.id}/{subtask}")
    step.state, step.hop, step.agent = "open", line["hop"], line["agent"]
    book.hop = max(book.hop, step.hop)
    _note_tried(step, step.agent)


def _meant_for(book: Book, step: StepBook) -> Iterable[str]:
    anybody = bool(step.plan.skill) and not step.hop
    return _skilled(book, step.plan.skill) if anybody else [step.agent]


def _skilled(book: Book, skill: str) -> list[str]:
    return [name for name, about in book.agents.items() if skill in about.get("skills", ())]


def _hop_expected(book: Book, step: StepBook, needs: list[StepBook]) -> int:
    """Say which hop it must have: a question has that of what it is about, and a round its own."""
    if step.plan.role in MAKERS:
        return max([step.next_hop, *(need.hop + 1 for need in needs)])
    return max(book.hop, book.rounds + 1 if step.plan.role == "manager" else 1)


def _deadline_ms(book: Book, step: StepBook) -> int:
    judging = book.judging
    if judging is not None and step.plan.role in AT_THE_END:
        return judging.at_ms + limits.LAST_WORDS_MS
    return book.deadline_ms


def _fits(book: Book, step: StepBook) -> bool:
    kept = NOTHING if step.plan.role in AT_THE_END else book.ending
    return within(plus(plus(book.spent, book.reserved), kept), book.ceiling)


def _note_tried(step: StepBook, agent: str) -> None:
    if agent not in step.tried:
        step.tried.append(agent)


def _settle(book: Book, line: Json) -> None:
    sent = book.open.pop(line["subtask"], None)
    if sent is None:
        book.strays.append(f"subtask {line['subtask']} was settled and was not open")
        return
    booked = clamped(amounts(line["charged"]), sent.allowance)
    book.spent = plus(book.spent, booked)
    book.reserved = minus(book.reserved, held(sent.allowance))
    book.settled[sent.subtask] = Settled(
        *(line["why"], line["text"], line["fault"], line["at_ms"]),
        *(sent.agent, sent.allowance, booked),
    )
    step = book.steps[sent.step]
    step.state = _state_after(book, line, step)
    step.next_hop = step.hop if step.state == "waiting" else step.hop + 1


def _state_after(book: Book, line: Json, step: StepBook) -> str:
    if line["why"] in _SENT_AGAIN or line["fault"] == "stopped":
        return "waiting"
    if line["status"] != "success":
        return "broken"
    unsure = line["confidence"] < book.task.request["confidence_min"]
    if step.plan.skill:
        return "done"  # if others are to try, the next line says so
    return "broken" if unsure and _others(book, step) else "done"


def _others(book: Book, step: StepBook) -> list[str]:
    """List who could still try a step: declared, or of the same skill."""
    wanted = set(_skills(book, step.plan.agent))
    able = [n for n in book.agents if wanted and wanted.issubset(_skills(book, n))]
    return [agent for agent in (*step.plan.fallbacks, *able) if agent not in step.tried]


def _skills(book: Book, agent: str) -> Iterable[str]:
    skills: Iterable[str] = book.agents.get(agent, {}).get("skills", ())
    return skills


# --- new plans -----------------------------------------------------------------------------------


def _next_agent(book: Book, line: Json) -> None:
    step = book.steps[line["step"]]
    step.agent, step.state, step.next_hop = line["agent"], "waiting", step.hop + 1
    step.tried.append(step.agent)
    book.replanned = True


def _next_plan(book: Book, line: Json) -> None:
    _put_in_force(book, requested(book.task.request)[line["plan"]], 0)
    book.replanned = True


def _planned(book: Book, line: Json) -> None:
    first = not book.in_force and not any(each.in_force for each in book.replans)
    _heard(book, line)
    _put_in_force(book, noted(line["steps"]), line["hop"])
    if first:
        book.in_force.append(_identity(book))
    else:
        book.replanned = True


def _put_in_force(book: Book, plan: list[PlanStep], cause: int) -> None:
    """Let this be the plan. What is done stays done, if all that it was made from does."""
    old = book.steps
    cause = max([cause, *(step.hop for step in old.values())])
    done = {s.plan.id: s.plan for s in old.values() if s.state in _CARRIED}
    stays = {step.id for step in plan if done.get(step.id) == step}
    while gone := {s.id for s in plan if s.id in stays and not stays.issuperset(s.needs)}:
        stays -= gone
    book.steps = {
        step.id: old[step.id] if step.id in stays else _fresh(step, cause + 1) for step in plan
    }


def _round(book: Book, line: Json) -> None:
    """Take down what a manager has said."""
    book.rounds += 1
    _heard(book, line)
    if line["why"] == "round_refused":
        _count(book, repeats=False, in_force=False)
    if line["steps"] is not None:
        _add_round(book, noted(line["steps"]), line)


def _add_round(book: Book, steps: list[PlanStep], line: Json) -> None:
    name = identity([(step, step.agent) for step in steps])
    book.steps |= {step.id: _fresh(step, line["hop"] + 1) for step in steps}
    if line["why"] == "replanned":
        _count(book, repeats=name in book.in_force)
    book.in_force.append(name)


def _plan_refused(book: Book, line: Json) -> None:
    _heard(book, line)
    _count(book, repeats=False, in_force=False)


def _refused(book: Book, _line: Json) -> None:
    """What the gate has refused is made otherwise: by a manager's word, or a planner's."""
    if book.task.request["manager"] is not None:
        _count(book, repeats=False, in_force=False)
        return
    for last in last_steps([step.plan for step in book.steps.values()]):
        if book.steps[last.id].state in _CARRIED:
            book.steps[last.id].state = "broken"


def _unstuck(book: Book, _line: Json) -> None:
    if book.task.request["manager"] is not None:
        _count(book, repeats=False, in_force=False)


def _count(book: Book, *, repeats: bool, in_force: bool = True) -> None:
    book.since_granted += 1
    book.replans.append(Replan(book.since_granted, repeats, in_force))


def _judge_replan(book: Book) -> None:
    """Compare a plan that has just been put in force with all that were."""
    if book.replanned:
        book.replanned = False
        name = _identity(book)
        _count(book, repeats=name in book.in_force)
        book.in_force.append(name)


def _identity(book: Book) -> object:
    return identity([(step.plan, step.agent) for step in book.working()])


# --- what agents ask, and what they are asked ----------------------------------------------------


def _ask(book: Book, line: Json) -> None:
    book.steps[line["step"]] = _fresh(question(line["step"], line["agent"]))


def _heard(book: Book, line: Json) -> None:
    if book.steps.pop(line["step"], None) is None:
        book.strays.append(f"{line['why']}: nobody had asked {line['step']}")


def _verdict(book: Book, line: Json) -> None:
    _heard(book, line)
    book.verdicts.append(line)


def _last_word(book: Book, line: Json) -> None:
    _heard(book, line)
    if book.judging is None:
        book.strays.append(f"{line['step']} had the last word, and there was no end in sight")
    else:
        book.judging.word, book.judging.asked = line["text"].partition(":")[0], line["step"]


def _handed_over(book: Book, line: Json) -> None:
    step = book.steps[line["step"]]
    step.state, step.next_hop = "waiting", step.hop + 1
    step.agent = line["text"].partition(" → ")[2].partition(":")[0]
    _note_tried(step, step.agent)


def _rerouted(book: Book, line: Json) -> None:
    step = book.steps[line["step"]]
    step.agent = line["text"].partition("; ")[2].removesuffix(" does it")
    _note_tried(step, step.agent)


def _answered(book: Book, line: Json) -> None:
    """Let the step go on; the time on the desk was not the task's."""
    step = book.steps[line["step"]]
    step.state, step.next_hop = "waiting", step.hop + 1
    step.answers = (*step.answers, line["text"].partition(": ")[2])
    book.deadline_ms += line["at_ms"] - book.escalated[-1]["at_ms"]
    book.answered.append(line)


def _broken(book: Book, line: Json) -> None:
    book.steps[line["step"]].state = "broken"


def _dropped(book: Book, line: Json) -> None:
    book.steps[line["step"]].state = "dropped"
    book.dropped.add(line["step"])


# --- the desk, and the end -----------------------------------------------------------------------


def _granted(book: Book, line: Json) -> None:
    granted = line["granted"]
    book.ceiling = bounds(granted["ceiling"])
    book.hops_max = granted["hops_max"]
    book.deadline_ms = granted["deadline_ms"]
    for step in () if book.task.request["manager"] is not None else book.working():
        if step.state in {"broken", "done"}:
            again = "waiting" if step.state == "broken" else "reopened"
            step.agent = line["text"].partition(" lets the task go on with ")[2] or step.agent
            step.state, step.tried, step.next_hop = again, [step.agent], step.hop + 1
    book.since_granted, book.in_force = 0, []


def _escalated(book: Book, line: Json) -> None:
    book.escalated.append(line)
    _ended(book, line)


def _concluded(book: Book, line: Json) -> None:
    book.concluded.append(line)
    _ended(book, line)


def _ended(book: Book, line: Json) -> None:
    if book.judging is not None:
        book.judging.end = line


def _decided(book: Book, line: Json) -> None:
    book.decided.append(line)


_READERS: Final[Mapping[str, Any]] = {
    "next_agent": _next_agent,
    "next_plan": _next_plan,
    "planned": _planned,
    "plan_refused": _plan_refused,
    **dict.fromkeys(("delegated", "replanned", "satisfied", "round_refused"), _round),
    "refused": _refused,
    "unstuck": _unstuck,
    "ask": _ask,
    "verdict": _verdict,
    "last_word": _last_word,
    "handoff": _handed_over,
    "rerouted": _rerouted,
    "answered": _answered,
    **dict.fromkeys(("handoff_refused", "payload_too_large", "no_such_skill"), _broken),
    **dict.fromkeys(("dropped", "given_up"), _dropped),
    "granted": _granted,
    "escalate": _escalated,
    "decided": _decided,
    "conclude": _concluded,
}
