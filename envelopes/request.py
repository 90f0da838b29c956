"""What a caller submits: a goal, a plan, and the bounds without which nothing is accepted."""

from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, JsonValue, field_validator, model_validator

from envelopes import limits
from envelopes.ledger import Limits
from envelopes.strict import Frozen
from envelopes.until import FinishLine

Name = Annotated[
    str,
    Field(min_length=1, max_length=limits.NAME_CHARS_MAX, pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.-]*$"),
]
"""An agent, a step, a tenant: it becomes part of a queue's or a key's name."""

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


def _seconds(value: object) -> object:
    """Accept 90, 1.5, "90s", "5m", "2h": people write the unit."""
    if isinstance(value, str):
        for unit, factor in _UNITS.items():
            digits = value.strip().removesuffix(unit)
            if digits != value.strip() and digits.replace(".", "", 1).isdecimal():
                return float(digits) * factor
        raise ValueError('a duration is a number of seconds, or text such as "90s", "5m" or "2h"')
    return value


def _dollars(value: object) -> object:
    """Accept 0.25 and "0.25"; a float is read as the decimal that a person sees."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return value
    try:
        return Decimal(str(value))
    except InvalidOperation:
        raise ValueError('an amount of US dollars is a number, such as 0.25 or "0.25"') from None


Seconds = Annotated[float, BeforeValidator(_seconds), Field(gt=0, le=limits.TIMEOUT_CEILING_S)]
Dollars = Annotated[
    Decimal,
    BeforeValidator(_dollars),
    Field(ge=0, le=limits.AMOUNT_CEILING // limits.MICROS_PER_USD, decimal_places=6),
]
Count = Annotated[int, Field(ge=1, le=limits.AMOUNT_CEILING)]


class Amount(Frozen):
    """A bound in tokens, US dollars and model calls; at least one of them is set."""

    tokens: Count | None = None
    usd: Dollars | None = None
    calls: Count | None = None

    @model_validator(mode="after")
    def _something_is_bounded(self) -> Self:
        if self.tokens is None and self.usd is None and self.calls is None:
            raise ValueError("set at least one of tokens, usd, calls")
        return self

    def limits(self) -> Limits:
        """Return the bound in integers."""
        usd_micros = None if self.usd is None else int(self.usd * limits.MICROS_PER_USD)
        return Limits(self.tokens, usd_micros, self.calls)


class Budget(Amount):
    """The ceiling of a task, and the share that is held back for its ending."""

    ending_share: float = Field(default=limits.ENDING_SHARE_DEFAULT, ge=0, le=0.9)


class Step(Frozen):
    """One intended subtask: which agent, with what, after which others."""

    id: Name
    agent: Name
    goal: str | None = Field(default=None, min_length=1, max_length=limits.GOAL_CHARS_MAX)
    input: JsonValue = None
    needs: tuple[Name, ...] = ()
    fallbacks: tuple[Name, ...] = Field(default=(), max_length=limits.FALLBACKS_MAX)
    optional: bool = False
    weight: int = Field(default=1, ge=1, le=1000)
    allowance: Amount | None = None
    timeout: Seconds = limits.STEP_TIMEOUT_DEFAULT_S


class AtCap(StrEnum):
    """What the owner tries first when a cap is hit; what is not possible falls to the next."""

    DELIVER = "deliver"
    ESCALATE = "escalate"
    ABORT = "abort"


Plan = Annotated[tuple[Step, ...], Field(min_length=1, max_length=limits.SUBTASKS_CEILING)]


class TaskRequest(Frozen):
    """A task as its caller asks for it."""

    hints: ClassVar[dict[str, str]] = {
        "until": "a task without a finish line is refused; say when it is done, for example "
        '"until": {"kind": "plan_done"}',
        "budget": 'a task without a ceiling is refused; for example "budget": {"tokens": 20000}',
        "timeout": 'a task without a deadline is refused; for example "timeout": "5m"',
    }

    goal: str = Field(min_length=1, max_length=limits.GOAL_CHARS_MAX)
    input: JsonValue = None
    agent: Name | None = None
    plan: Plan | None = None
    fallback_plans: tuple[Plan, ...] = Field(default=(), max_length=limits.FALLBACKS_MAX)
    budget: Budget
    timeout: Seconds
    until: FinishLine
    hops_max: int = Field(default=limits.HOPS_DEFAULT, ge=1, le=limits.HOPS_CEILING)
    subtasks_max: int = Field(default=limits.SUBTASKS_DEFAULT, ge=1, le=limits.SUBTASKS_CEILING)
    replans_max: int = Field(default=limits.REPLANS_DEFAULT, ge=0, le=limits.REPLANS_CEILING)
    confidence_min: float = Field(default=limits.CONFIDENCE_DEFAULT, ge=0, le=1)
    result_schema: dict[str, JsonValue] | None = None
    at_cap: AtCap = AtCap.DELIVER
    desk_timeout: Seconds = limits.DESK_TIMEOUT_DEFAULT_S
    desk_default: Literal["abort", "approve"] = "abort"
    tenant: Name = "default"
    idempotency_key: str | None = Field(default=None, min_length=1, max_length=200)
    labels: dict[str, str] = Field(default={}, max_length=limits.LABELS_MAX)
    traceparent: str | None = Field(
        default=None, pattern=r"^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$"
    )

    @field_validator("labels")
    @classmethod
    def _labels_are_short(cls, labels: dict[str, str]) -> dict[str, str]:
        for key, value in labels.items():
            if len(key) > limits.NAME_CHARS_MAX or len(value) > 4 * limits.NAME_CHARS_MAX:
                raise ValueError(f"label {key[:20]!r} is too long")
        return labels

    @model_validator(mode="after")
    def _the_plans_are_sound(self) -> Self:
        if (self.agent is None) == (self.plan is None):
            raise ValueError('say either "agent" (one step) or "plan" (several), not both')
        for number, plan in enumerate(self.plans):
            _check_plan(plan, "plan" if number == 0 else f"fallback_plans.{number - 1}", self)
        return self

    @property
    def plans(self) -> tuple[tuple[Step, ...], ...]:
        """Return the plan in force at first, then its fallbacks; a lone agent is a plan of one step."""
        first = self.plan or (Step(id="only", agent=self.agent or "", input=self.input),)
        return (first, *self.fallback_plans)


def _check_plan(plan: tuple[Step, ...], where: str, request: TaskRequest) -> None:
    """Refuse a plan that cannot be run inside the task's own caps."""
    steps = {step.id: step for step in plan}
    if len(steps) != len(plan):
        twice = next(s.id for i, s in enumerate(plan) if any(s.id == t.id for t in plan[:i]))
        raise ValueError(f"{where}: two steps are called {twice!r}")
    if len(plan) > request.subtasks_max:
        raise ValueError(f"{where}: {len(plan)} steps, but subtasks_max is {request.subtasks_max}")
    for step in plan:
        if unknown := [need for need in step.needs if need not in steps]:
            raise ValueError(f"{where}: step {step.id!r} needs {unknown[0]!r}, which is no step")
    deepest = depth(plan)
    if deepest is None:
        raise ValueError(f"{where}: the needs form a cycle")
    if deepest > request.hops_max:
        raise ValueError(f"{where}: {deepest} stages deep, but hops_max is {request.hops_max}")


def depth(plan: tuple[Step, ...]) -> int | None:
    """Count the stages of a plan, or return None where its needs form a cycle."""
    level: dict[str, int] = {}
    waiting = {step.id: step for step in plan}
    while waiting:
        ready = [s for s in waiting.values() if all(need in level for need in s.needs)]
        if not ready:
            return None
        for step in ready:
            level[step.id] = 1 + max((level[need] for need in step.needs), default=0)
            del waiting[step.id]
    return max(level.values(), default=0)
