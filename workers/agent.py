"""Turn a function into an agent.

    @agent("research", handoffs=["write"], price="openai:gpt-5-mini")
    async def research(ctx: Context, goal: str, inputs: dict) -> Envelope: ...

The function takes a Context and whichever of these it names: `goal` (text), `input` (JSON),
`inputs` (the results of the steps it needs, by their ids), and `answers` (what people have said to
its questions). Plain functions and `async def` both work. What it is called by and what it takes is
checked here, when its module is imported, not when the first subtask arrives.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from envelopes.request import Name
from workers.prices import Price

PAYLOAD = ("goal", "input", "inputs", "answers")
"""What a payload carries, and so what an agent can ask for by name."""

Function = TypeVar("Function", bound=Callable[..., Any])
_NAME: TypeAdapter[str] = TypeAdapter(Name)
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True, slots=True)
class Agent:
    """A named skill with its own queue."""

    name: str
    run: Callable[..., Any]
    takes: tuple[str, ...]
    """Which of PAYLOAD it names."""
    is_async: bool
    handoffs: tuple[str, ...] = ()
    skills: tuple[str, ...] = ()
    in_flight_max: int | None = None
    price: Price | str | None = None

    @property
    def task_name(self) -> str:
        """Return the name of its Celery task."""
        return f"agent.{self.name}"

    def facts(self) -> dict[str, Any]:
        """Return what the orchestrator may know of it."""
        return {
            "handoffs": list(self.handoffs),
            "skills": list(self.skills),
            "in_flight_max": self.in_flight_max,
            "price": None if self.price is None else str(self.price),
        }


registry: dict[str, Agent] = {}
"""Every agent that has been declared in this process, by name."""


def agent(
    name: str,
    *,
    handoffs: Sequence[str] = (),
    skills: Sequence[str] = (),
    in_flight_max: int | None = None,
    price: Price | str | None = None,
) -> Callable[[Function], Function]:
    """Declare a function as the agent of this name; the function itself stays as it is.

    `handoffs` are the agents it may ask to hand over to, `skills` what steps can ask for instead of
    a name; agents that share one stand in for each other. `in_flight_max` is how many messages it
    may be sent at once, over all workers. `price` is what its model costs: a name that genai-prices
    knows, or a Price of its own.
    """
    for each in (name, *handoffs, *skills):
        _check_name(each)
    if in_flight_max is not None and in_flight_max < 1:
        raise ValueError(f"in_flight_max must be 1 or more, not {in_flight_max}")

    def declare(function: Function) -> Function:
        known = registry.get(name)
        if known is not None and not _same(known.run, function):
            raise ValueError(f"two agents are called {name!r}: {known.run!r} and {function!r}")
        registry[name] = Agent(
            name=name,
            run=function,
            takes=_takes(function),
            is_async=inspect.iscoroutinefunction(function),
            handoffs=tuple(handoffs),
            skills=tuple(skills),
            in_flight_max=in_flight_max,
            price=price,
        )
        return function

    return declare


def _check_name(name: str) -> None:
    try:
        _NAME.validate_python(name)
    except ValidationError:
        raise ValueError(
            "the name of an agent or a skill starts with a letter or digit and has at most 64 of "
            f"a-z A-Z 0-9 _ . -; {name!r} does not"
        ) from None


def _same(one: Callable[..., Any], other: Callable[..., Any]) -> bool:
    """Say whether both are the same line of code: a module may be imported again."""
    return (one.__module__, one.__qualname__) == (other.__module__, other.__qualname__)


def _takes(function: Callable[..., Any]) -> tuple[str, ...]:
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise TypeError(f"{function.__qualname__} yields; an agent returns one Envelope")
    parameters = list(inspect.signature(function).parameters.values())
    if not parameters or parameters[0].kind is inspect.Parameter.KEYWORD_ONLY:
        raise TypeError(f"{function.__qualname__} must take a Context first")
    for parameter in parameters[1:]:
        _check_parameter(function, parameter)
    return tuple(p.name for p in parameters[1:] if p.name in PAYLOAD)


def _check_parameter(function: Callable[..., Any], parameter: inspect.Parameter) -> None:
    if parameter.name in PAYLOAD and parameter.kind in _BY_NAME:
        return
    if parameter.default is inspect.Parameter.empty:
        raise TypeError(
            f"{function.__qualname__} takes {parameter.name!r}, but an agent is given a Context "
            f"and, by name, any of: {', '.join(PAYLOAD)}"
        )
