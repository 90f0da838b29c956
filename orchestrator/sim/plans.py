"""Plans as the auditor reads them: from the request, and from the journal where agents made them.

Both come to the same plain record of a step, so that a plan is recognised wherever it comes from.
Nothing here calls the core.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from envelopes import limits
from orchestrator.sim.evidence import Bound, Json, bounds

SYNTHESIS: Final = "_synthesis"
MAKERS: Final = frozenset(("work", "delegated", "synthesis"))
"""What a step can be for; all others are questions that the owner itself asks."""
JUDGES: Final = frozenset(("predicate", "validator", "owner"))
AT_THE_END: Final = JUDGES | {"synthesis"}
"""May use what is held back for the ending."""
_STEP_MS: Final = limits.STEP_TIMEOUT_DEFAULT_S * 1000


@dataclass(frozen=True, slots=True)
class PlanStep:
    """One step as somebody has planned it."""

    id: str
    agent: str
    goal: str = ""
    input: str = "null"
    needs: tuple[str, ...] = ()
    fallbacks: tuple[str, ...] = ()
    optional: bool = False
    weight: int = 1
    allowance: Bound | None = None
    timeout_ms: int = _STEP_MS
    skill: str = ""
    role: str = "work"


def requested(request: Json) -> list[list[PlanStep]]:
    """List a request's plans; the first is empty where an agent has to make it."""
    first = request["plan"] or _lone(request)
    return [_whole(plan, request) for plan in (first, *request["fallback_plans"])]


def _lone(request: Json) -> list[Json]:
    if request["agent"] is None:
        return []
    return [{"id": "only", "agent": request["agent"], "input": request["input"]}]


def _whole(plan: Iterable[Json], request: Json) -> list[PlanStep]:
    steps = [_asked_for(step, request) for step in plan]
    agent = request.get("synthesis")
    if agent is None or not steps:
        return steps
    goal, given = request["goal"], _text(request["input"])
    timeout_ms = max(step.timeout_ms for step in steps)
    last = tuple(step.id for step in last_steps(steps))
    more = PlanStep(SYNTHESIS, agent, goal, given, last, timeout_ms=timeout_ms, role="synthesis")
    return [*steps, more]


def last_steps(steps: Sequence[PlanStep]) -> list[PlanStep]:
    """Return the steps that no other one needs."""
    needed = {need for step in steps for need in step.needs}
    return [step for step in steps if step.id not in needed]


def _asked_for(step: Json, request: Json) -> PlanStep:
    own, seconds, allowance = step.get("input"), step.get("timeout"), step.get("allowance")
    return PlanStep(
        id=step["id"],
        agent=step.get("agent") or "",
        goal=step.get("goal") or request["goal"],
        input=_text(request["input"] if own is None else own),
        needs=tuple(step.get("needs", ())),
        fallbacks=tuple(step.get("fallbacks", ())),
        optional=step.get("optional", False),
        weight=step.get("weight", 1),
        allowance=None if allowance is None else bound_of(allowance),
        timeout_ms=_STEP_MS if seconds is None else int(seconds * 1000),
        skill=step.get("skill") or "",
    )


def noted(steps: Iterable[Json]) -> list[PlanStep]:
    """Read steps that an agent has made up, as the journal has them."""
    return [PlanStep(**dict(_noted_fields(step))) for step in steps]


def _noted_fields(step: Json) -> Iterator[tuple[str, Any]]:
    for name, value in step.items():
        if name == "allowance":
            yield name, None if value is None else bounds(value)
        else:
            yield name, tuple(value) if isinstance(value, list) else value


def question(name: str, agent: str) -> PlanStep:
    """Make the step that a question of the owner itself is; its name says what it is about."""
    role = name[1:].partition(".")[0]
    timeout_ms = limits.JUDGE_MS if role in JUDGES else _STEP_MS
    return PlanStep(name, agent, timeout_ms=timeout_ms, role=role)


def bound_of(amount: Json) -> Bound:
    """Read an amount as callers write it: in dollars."""
    usd = amount["usd"]
    micros = None if usd is None else int(Decimal(str(usd)) * 1_000_000)
    return amount["tokens"], micros, amount["calls"]


def identity(steps: Sequence[tuple[PlanStep, str]]) -> tuple[object, ...]:
    """Name a plan by its steps and who is to do each, whatever the steps are called."""
    places = {step.id: place for place, (step, _) in enumerate(steps)}
    return tuple(_content(step, agent, places) for step, agent in steps)


def _content(step: PlanStep, agent: str, places: Mapping[str, int]) -> tuple[object, ...]:
    needs = sorted(places.get(need, -1) for need in step.needs)
    about = (agent, step.skill, step.goal, step.input, tuple(needs), step.fallbacks)
    return (*about, step.optional, step.weight, step.allowance, step.timeout_ms)


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
