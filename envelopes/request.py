"""What a caller submits: a goal, a plan, and the bounds without which nothing is accepted."""

import re
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Annotated, ClassVar, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    JsonValue,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from envelopes import limits
from envelopes.ledger import Limits
from envelopes.predicate import Predicate
from envelopes.strict import NAME_PATTERN, Frozen, Refused, refusal
from envelopes.until import FinishLine, Rounds, parts

Name = Annotated[
    str,
    Field(min_length=1, max_length=limits.NAME_CHARS_MAX, pattern=NAME_PATTERN),
]
"""An agent, a step, a tenant: it becomes part of a queue's or a key's name."""

Traceparent = Annotated[str, Field(pattern=r"^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$")]
"""Where the caller's trace goes on, as W3C writes it."""

_DOLLARS_ARE = 'an amount of US dollars is a number, such as 0.25 or "0.25"'
_CYCLE_SHOWN = 10  # enough to see which needs to break
_DURATION = r"\s*([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|d)\s*"
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


def _seconds(value: object) -> object:
    """Accept 90, 1.5, "90s", "5m", "2h": people write the unit."""
    if not isinstance(value, str):
        return value
    found = re.fullmatch(_DURATION, value)
    if found is None:
        raise ValueError('a duration is a number of seconds, or text such as "90s", "5m" or "2h"')
    return float(found[1]) * _UNITS[found[2]]


def _dollars(value: object) -> object:
    """Accept 0.25 and "0.25"; a float is read as the decimal that a person sees."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise ValueError(_DOLLARS_ARE)  # noqa: TRY004  pydantic catches no TypeError
    try:
        return Decimal(str(value))
    except InvalidOperation:
        raise ValueError(_DOLLARS_ARE) from None


_Span = Annotated[float, Field(ge=limits.TIMEOUT_FLOOR_S, le=limits.TIMEOUT_CEILING_S)]
_SpanText = Annotated[str, Field(pattern=f"^{_DURATION}$")]
Seconds = Annotated[_Span, BeforeValidator(_seconds, json_schema_input_type=_Span | _SpanText)]
_Long = Annotated[float, Field(ge=0, le=limits.RETENTION_MAX_S)]
Age = Annotated[_Long, BeforeValidator(_seconds)]
"""How old something is, or may become: longer than any task may run."""
Dollars = Annotated[
    Decimal,
    BeforeValidator(_dollars),
    Field(gt=0, le=limits.AMOUNT_CEILING // limits.MICROS_PER_USD, decimal_places=6),
]
Count = Annotated[int, Field(ge=1, le=limits.AMOUNT_CEILING)]


class Amount(Frozen):
    """A bound in tokens, US dollars and model calls; at least one of them is set."""

    tokens: Count | None = None
    """Input and output together."""
    usd: Dollars | None = None
    """US dollars, to six decimal places."""
    calls: Count | None = None
    """Calls of models."""

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

    ending_share: float = Field(
        default=limits.ENDING_SHARE_DEFAULT, ge=0, le=limits.ENDING_SHARE_MAX
    )
    """What of it only the owner, judges and synthesis may use, for the ending."""


class Step(Frozen):
    """One intended subtask: which agent (or anyone with this skill), with what, after which others.

    A step without a goal or an input of its own has the task's.
    """

    id: Name
    """Its name in the plan."""
    agent: Name | None = None
    """Who does it; else say skill."""
    skill: Name | None = None
    """Whoever has this skill does it."""
    goal: str | None = Field(default=None, min_length=1, max_length=limits.GOAL_CHARS_MAX)
    """What it is about; the task's goal where it has none."""
    input: JsonValue = None
    """Any JSON besides; the task's input where it has none."""
    needs: tuple[Name, ...] = ()
    """Steps whose results it needs, and receives."""
    fallbacks: tuple[Name, ...] = Field(default=(), max_length=limits.FALLBACKS_MAX)
    """Agents that are tried after the first one, in order."""
    optional: bool = False
    """Whether the task can do without it."""
    weight: int = Field(default=1, ge=1, le=limits.WEIGHT_MAX)
    """Its share of the budget beside those of the other steps."""
    allowance: Amount | None = None
    """What it may spend, where its share is not meant."""
    timeout: Seconds = limits.STEP_TIMEOUT_DEFAULT_S
    """What it may take once a worker has begun: seconds, or a text such as 90s."""

    @model_validator(mode="after")
    def _somebody_does_it(self) -> Self:
        if (self.agent is None) == (self.skill is None):
            raise Refused("agent", f'step {self.id!r}: say either "agent" or "skill", not both')
        return self


class AtCap(StrEnum):
    """What the owner tries first when a cap is hit; what is not possible falls to the next."""

    DELIVER = "deliver"
    ESCALATE = "escalate"
    ABORT = "abort"


class Compose(StrEnum):
    """How sure a result is that was made from several."""

    WEAKEST = "weakest"
    """As sure as the least sure part."""
    MEAN = "mean"
    PRODUCT = "product"
    """As sure as all parts at once, were they independent."""


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
    """What it is about, in words."""
    input: JsonValue = None
    """Any JSON besides; a step without an input of its own has this."""
    agent: Name | None = None
    """The one agent that does it; else say plan, planner or manager."""
    plan: Plan | None = None
    """The steps. Independent ones run in parallel; a step receives the results it needs."""
    planner: Name | None = None
    """Makes the plan, and every plan after one that broke."""
    manager: Name | None = None
    """Is asked in rounds what to do next, with everything learned so far."""
    fallback_plans: tuple[Plan, ...] = Field(default=(), max_length=limits.FALLBACKS_MAX)
    """What to do when the plan cannot be done; no plan is ever taken twice."""
    budget: Budget
    """The ceiling, in tokens, US dollars, calls, or any of them together."""
    timeout: Seconds
    """The wall clock of the whole task: seconds, or a text such as 90s, 5m, 2h."""
    until: FinishLine
    """The finish line: when the task is done."""
    hops_max: int = Field(default=limits.HOPS_DEFAULT, ge=1, le=limits.HOPS_CEILING)
    """Transfers of control, before the owner judges."""
    subtasks_max: int = Field(default=limits.SUBTASKS_DEFAULT, ge=1, le=limits.SUBTASKS_CEILING)
    """Messages ever sent to agents, before the owner judges."""
    replans_max: int = Field(default=limits.REPLANS_DEFAULT, ge=0, le=limits.REPLANS_CEILING)
    """Plans after the first one."""
    confidence_min: float = Field(default=limits.CONFIDENCE_DEFAULT, ge=0, le=1)
    """The bar: how sure a result must be to leave without a person."""
    result_schema: dict[str, JsonValue] | None = None
    """JSON Schema that a result must fit. Its patterns are in RE2's syntax: no look-around, no
    reference back. Only "$ref" inside it are followed."""
    predicates: tuple[Predicate, ...] = Field(default=(), max_length=limits.PREDICATES_MAX)
    """Rules that a result must keep."""
    validators: tuple[Name, ...] = Field(default=(), max_length=limits.VALIDATORS_MAX)
    """Agents that judge the result before it leaves; never one that made part of it."""
    compose: Compose = Compose.WEAKEST
    """How sure a result is that is made of several."""
    synthesis: Name | None = None
    """Makes one result of what the last steps produced, and says how sure that is."""
    owner: Name | None = None
    """Is asked at every cap what becomes of the task."""
    repeat_max: int = Field(default=limits.REPEAT_MAX, ge=0, le=limits.HOPS_CEILING)
    """The same message, or the same answer, this often is a loop; 0 for never."""
    holders_window: int = Field(default=limits.HOLDERS_WINDOW, ge=0, le=limits.HOPS_CEILING)
    """How far back it is looked who has held a step."""
    holders_min: int = Field(default=limits.HOLDERS_MIN, ge=0, le=limits.HOPS_CEILING)
    """Fewer different agents among the last `holders_window` holders is a loop; 0 for never."""
    stalls_max: int = Field(default=limits.STALLS_MAX, ge=0, le=limits.HOPS_CEILING)
    """So many more answers without progress than with it, and the plan changes; 0 for never."""
    at_cap: AtCap = AtCap.DELIVER
    """What the owner tries first when a cap is hit."""
    desk_timeout: Seconds = limits.DESK_TIMEOUT_DEFAULT_S
    """How long a letter waits for a person."""
    desk_default: Literal["abort", "approve"] = "abort"
    """What happens when nobody has decided by then."""
    tenant: Name = "default"
    """On whose account it runs; tenants are served in turn."""
    idempotency_key: str | None = Field(default=None, min_length=1, max_length=limits.KEY_CHARS_MAX)
    """Submitting twice with the same key is submitting once."""
    labels: dict[str, str] = Field(default={}, max_length=limits.LABELS_MAX)
    """For finding it again."""
    traceparent: Traceparent | None = None
    """The trace it belongs to (W3C Trace Context)."""

    @field_validator("labels")
    @classmethod
    def _labels_are_short(cls, labels: dict[str, str]) -> dict[str, str]:
        for key, value in labels.items():
            if len(key) > limits.NAME_CHARS_MAX or len(value) > limits.LABEL_CHARS_MAX:
                raise ValueError(f"label {key[:20]!r} is too long")
        return labels

    @field_validator("repeat_max")
    @classmethod
    def _once_is_no_loop(cls, repeat_max: int) -> int:
        if repeat_max == 1:
            raise ValueError("the first message is no repetition; say 2 or more, or 0 for never")
        return repeat_max

    @model_validator(mode="after")
    def _the_plans_are_sound(self) -> Self:
        self._check_pattern()
        for number, plan in enumerate(self.plans):
            _check_plan(plan, "plan" if number == 0 else f"fallback_plans.{number - 1}", self)
        self._check_validators()
        self._check_finish_line()
        return self

    def _check_pattern(self) -> None:
        """Refuse a task that says in two ways who is to begin, or in none."""
        if self.manager is not None and self._also("agent", "plan", "planner", "synthesis"):
            raise Refused(
                "manager", "it decides who does what: say no agent, plan, planner or synthesis"
            )
        if self.agent is not None and self._also("plan", "planner"):
            raise Refused("plan", 'say either "agent" (one step) or "plan" (several), not both')
        if not self._also("agent", "plan", "planner", "manager"):
            raise Refused(
                "plan", 'say who is to begin: "agent" (one step), "plan", "planner" or "manager"'
            )
        if self.manager is not None and self.fallback_plans:
            raise Refused("fallback_plans", "a manager makes its own plans")

    def _also(self, *names: str) -> bool:
        return any(getattr(self, name) is not None for name in names)

    def _check_validators(self) -> None:
        """Refuse a judge in its own cause, as far as that can be seen before anybody has worked."""
        makers = {agent for plan in self.plans for s in plan for agent in (s.agent, *s.fallbacks)}
        makers |= {self.manager, self.synthesis}
        for place, name in enumerate(self.validators):
            if name in makers:
                raise Refused(f"validators.{place}", f"{name} makes part of what it would judge")
            if name in self.validators[:place]:
                raise Refused(f"validators.{place}", f"{name} is named twice")

    def _check_finish_line(self) -> None:
        if self.manager is None and any(isinstance(each, Rounds) for each in parts(self.until)):
            raise Refused("until", "only a task with a manager has rounds")

    @property
    def plans(self) -> tuple[tuple[Step, ...], ...]:
        """Return the plan in force at first, then its fallbacks; a lone agent is one step.

        The first is empty where a planner or a manager has to say what is to be done.
        """
        lone = () if self.agent is None else (Step(id="only", agent=self.agent),)
        return (self.plan or lone, *self.fallback_plans)


_PLAN: TypeAdapter[tuple[Step, ...]] = TypeAdapter(Plan)


def read_plan(text: str, what: str) -> tuple[Step, ...]:
    """Read a plan that an agent has made, or raise Refused with the field."""
    try:
        return _PLAN.validate_json(text)
    except ValidationError as error:
        raise refusal(error, Step, what) from None


# --- plans ---------------------------------------------------------------------------------------


def _check_plan(plan: tuple[Step, ...], where: str, request: TaskRequest) -> None:
    """Refuse a plan that cannot be run inside the task's own caps."""
    if len(plan) > request.subtasks_max:
        raise Refused(where, f"{len(plan)} steps, but subtasks_max is {request.subtasks_max}")
    deepest = check_steps(plan, where) + (request.synthesis is not None)
    if deepest > request.hops_max:
        raise Refused(where, f"{deepest} stages deep, but hops_max is {request.hops_max}")


def check_steps(plan: Sequence[Step], where: str, known: Iterable[str] = ()) -> int:
    """Refuse steps that do not fit together; return how many stages deep they are.

    `known` are steps outside of these that they may need.
    """
    known = set(known)
    steps: dict[str, Step] = {}
    for place, step in enumerate(plan):
        if step.id in known or steps.setdefault(step.id, step) is not step:
            raise Refused(f"{where}.{place}.id", f"two steps are called {step.id!r}")
    there = known | steps.keys()
    for place, step in enumerate(plan):
        _check_needs(step, there, f"{where}.{place}.needs")
    stage = stages(plan)
    if len(stage) < len(plan):
        raise Refused(where, f"the needs form a cycle: {_cycle(steps, stage)}")
    return max(stage.values(), default=0)


def _check_needs(step: Step, steps: AbstractSet[str], where: str) -> None:
    seen = set()
    for need in step.needs:
        if need not in steps:
            raise Refused(where, f"step {step.id!r} needs {need!r}, which is no step")
        if need in seen:
            raise Refused(where, f"step {step.id!r} needs {need!r} twice")
        seen.add(need)


def stages(plan: Sequence[Step]) -> dict[str, int]:
    """Say at which stage each step runs, from 1; steps on a cycle or behind one have none."""
    users: dict[str, list[str]] = {step.id: [] for step in plan}
    missing = {step.id: sum(need in users for need in step.needs) for step in plan}
    for step in plan:
        for need in step.needs:
            if need in users:  # else it is there already
                users[need].append(step.id)
    ready = [name for name, needs in missing.items() if not needs]
    stage = dict.fromkeys(ready, 1)
    for name in ready:  # which grows while it is read
        for user in users[name]:
            missing[user] -= 1
            if not missing[user]:
                stage[user] = stage[name] + 1  # the last of its needs is the deepest
                ready.append(user)
    return stage


def _cycle(steps: Mapping[str, Step], stage: Mapping[str, int]) -> str:
    """Walk along needs that can never be met until a step comes round again."""
    name = next(name for name in steps if name not in stage)
    path: dict[str, None] = {}
    while name not in path:
        path[name] = None
        name = next(n for n in steps[name].needs if n in steps and n not in stage)
    walked = list(path)
    circle = [*walked[walked.index(name) :], name]
    shown = circle if len(circle) <= _CYCLE_SHOWN else [*circle[:_CYCLE_SHOWN], "…"]
    return " → ".join(shown)
