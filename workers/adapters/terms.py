"""The terms on which an existing agent is taken in, the same for every framework.

    confidence   how sure its answers are: a number, or a function of the output. It has no default:
                 what nobody said must not be made up.
    price        what its models cost; left out, each call costs what genai-prices says of its model
    handoffs, skills, in_flight_max   as for any other agent
    max_tokens   the longest answer of a call that names no bound of its own
    prompt       what the framework is given, made of goal, input and inputs
    result       what of the output is handed to the owner; left out, all of it, as JSON. It may
                 be an Envelope: then that is the answer, and can ask for a handoff
    deps         what its tools are given, made of the Context anew for each subtask, so that a tool
                 that costs something can say `await ctx.meter.acharge(...)` first

An adapter adds one function: `run(ctx, tap, prompt, deps)`, which returns the output. Where the
framework itself ended the run (turns used up, a guardrail, approval wanted) it raises `Unfinished`.
That is a word about the work and becomes a failed envelope, or a partial one where something was
kept. Every other exception is the agent's fault, for the runtime to name.
"""

import inspect
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Required, TypedDict

from pydantic_core import PydanticSerializationError, to_jsonable_python

from envelopes.envelope import Envelope
from envelopes.limits import LLM_TOKENS_DEFAULT, REASON_CHARS_MAX
from envelopes.strict import Refused
from workers.adapters.tap import Tap
from workers.agent import agent
from workers.context import Context
from workers.prices import Price

Prompt = Callable[[str | None, Any, Mapping[str, Any]], Any]
"""Make what a framework is given of goal, input and inputs."""
Runner = Callable[[Context, Tap, Any, Any], Awaitable[Any]]
"""Run the framework's agent under a tap, on a prompt, with deps; return its output."""


class Unfinished(Exception):
    """The framework ended the run itself, before there was an answer."""


class Terms(TypedDict, total=False):
    """What every adapter takes by name; the module says what each is for."""

    confidence: Required[float | Callable[[Any], float]]
    price: Price | str | None
    handoffs: Sequence[str]
    skills: Sequence[str]
    in_flight_max: int | None
    max_tokens: int
    prompt: Prompt
    result: Callable[[Any], Any]
    deps: Callable[[Context], Any]


def as_text(goal: str | None, input: Any, inputs: Mapping[str, Any]) -> str:  # noqa: A002 - payloads' word
    """Write a payload as one message: the goal, then what it is about, as JSON."""
    given = {"Input": input, "Results of earlier steps": inputs or None}
    parts = [f"{title}:\n{_json(what)}" for title, what in given.items() if what is not None]
    return "\n\n".join([*([goal] if goal else []), *parts])


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapted:
    """An existing agent, and the terms it was taken in on."""

    name: str
    run: Runner
    confidence: float | Callable[[Any], float]
    price: Price | str | None = None
    handoffs: Sequence[str] = ()
    skills: Sequence[str] = ()
    in_flight_max: int | None = None
    max_tokens: int = LLM_TOKENS_DEFAULT
    prompt: Prompt = as_text
    result: Callable[[Any], Any] | None = None
    deps: Callable[[Context], Any] = field(default=lambda _: None)

    def __post_init__(self) -> None:
        if not callable(self.confidence) and not 0 <= self.confidence <= 1:
            raise ValueError(f"confidence is a number from 0 to 1, not {self.confidence!r}")

    async def answer(
        self, ctx: Context, goal: str | None, given: Any, inputs: Mapping[str, Any]
    ) -> Envelope:
        """Run the agent once, and put what came of it into an envelope."""
        tap = Tap(ctx.meter, self.max_tokens)
        try:
            output = await self.run(ctx, tap, self.prompt(goal, given, inputs), self.deps(ctx))
        except Unfinished as why:
            tap.raise_refusal(why)
            return _without_an_answer(ctx, str(why))
        except Exception as error:
            # Frameworks wrap what passes through them, or say something else in its place.
            tap.raise_refusal(error)
            raise
        return self._envelope(output)

    def _envelope(self, output: Any) -> Envelope:
        result = output if self.result is None else self.result(output)
        if isinstance(result, Envelope):
            return result
        sure = self.confidence(output) if callable(self.confidence) else self.confidence
        return Envelope.success(as_json(result), sure)


def register(adapted: Adapted, declared_in: str) -> Callable[..., Awaitable[Envelope]]:
    """Declare it as the agent of its name; return the function, for other agents to call."""

    async def adapter(
        ctx: Context,
        goal: str | None = None,
        input: Any = None,  # noqa: A002 - the word that payloads use
        inputs: Mapping[str, Any] | None = None,
    ) -> Envelope:
        return await adapted.answer(ctx, goal, input, inputs or {})

    # The registry takes two functions from the same place for one that was imported again.
    adapter.__qualname__ = f"{adapted.name} at {declared_in}"
    declare = agent(
        adapted.name,
        handoffs=adapted.handoffs,
        skills=adapted.skills,
        in_flight_max=adapted.in_flight_max,
        price=adapted.price,
    )
    return declare(adapter)


def caller() -> str:
    """Return the file and line that called the function which calls this."""
    frame = inspect.currentframe()
    for _ in range(2):
        frame = frame.f_back if frame else None
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame else "?"


def as_json(output: Any) -> Any:
    """Return an output as JSON: models dumped, text as it is; raise Refused where it is none."""
    try:
        return to_jsonable_python(output)
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise Refused("result", f"is no JSON: {error}; say what to keep with result=") from None


def _without_an_answer(ctx: Context, reason: str) -> Envelope:
    if ctx.kept is None:
        return Envelope.failed(reason)
    return ctx.kept.model_copy(update={"reason": reason[:REASON_CHARS_MAX]})


def _json(what: Any) -> str:
    return json.dumps(what, ensure_ascii=False)
