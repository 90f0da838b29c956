"""Python functions as tools of a model.

    async def weather(ctx: Context, city: str, days: int = 1) -> dict:
        '''Say what the weather will be.'''

A function is offered by its name, its docstring and a JSON Schema of its parameters. What the model
sends is validated against their types before the function sees it. A parameter that is annotated
as Context is not the model's: it gets the agent's own, so that a tool can charge what it costs.

Arguments that do not fit, a tool that does not exist and a ToolError are told to the model, which
may try again in its next answer, at its own expense. Every other exception ends the run.
"""

import asyncio
import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic_core import to_json

from workers.context import Context
from workers.llm.answer import ToolCall
from workers.llm.errors import ToolError

_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_NAMED: Final = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that a model may call."""

    name: str
    function: Callable[..., Any]
    takes: type[BaseModel]
    context_as: str | None
    """The parameter that gets the agent's context."""

    @classmethod
    def of(cls, function: Callable[..., Any]) -> "Tool":
        """Read a function's name and parameters."""
        name, hints = function.__name__, get_type_hints(function, include_extras=True)
        if not _NAME.fullmatch(name):
            raise ValueError(f"a tool's name has 1 to 64 of a-z A-Z 0-9 _ -; {name!r} does not")
        fields: dict[str, Any] = {}
        context_as = None
        for each in inspect.signature(function).parameters.values():
            if hints.get(each.name) is Context:
                context_as = each.name
                continue
            fields[_field(each.name)] = (_hint(name, each, hints), _default(each))
        takes = create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
        return cls(name, function, takes, context_as)

    @property
    def schema(self) -> dict[str, Any]:
        """Describe it to a model."""
        described = {"name": self.name, "parameters": self.takes.model_json_schema()}
        if text := inspect.getdoc(self.function):
            described["description"] = text
        return {"type": "function", "function": described}

    async def call(self, ctx: Context, arguments: str) -> str:
        """Call it with the model's arguments; return what the model is told."""
        try:
            taken = self.takes.model_validate_json(arguments or "{}")
        except ValidationError as error:
            return f"the arguments are wrong, and nothing was done: {_wrong(error)}"
        fields = self.takes.model_fields
        given = {str(each.alias): getattr(taken, name) for name, each in fields.items()}
        if self.context_as is not None:
            given[self.context_as] = ctx
        try:
            return _text(await self._run(given))
        except ToolError as error:
            return f"the tool failed: {error}"

    async def _run(self, given: dict[str, Any]) -> object:
        """Wait for the function; a plain one runs on a thread and holds nobody up."""
        if inspect.iscoroutinefunction(self.function):
            return await self.function(**given)
        return await asyncio.to_thread(self.function, **given)


@dataclass(frozen=True, slots=True)
class Toolbox:
    """All tools of one run."""

    tools: dict[str, Tool]

    @classmethod
    def of(cls, functions: Iterable[Callable[..., Any]]) -> "Toolbox":
        """Read all functions; no two may share a name."""
        tools: dict[str, Tool] = {}
        for tool in map(Tool.of, functions):
            if tool.name in tools:
                raise ValueError(f"two tools are called {tool.name!r}")
            tools[tool.name] = tool
        return cls(tools)

    async def results(self, ctx: Context, calls: Sequence[ToolCall]) -> list[dict[str, Any]]:
        """Do what a model asked for, in its order; return the messages that tell it."""
        return [
            {"role": "tool", "tool_call_id": call.id, "content": await self._result(ctx, call)}
            for call in calls
        ]

    async def _result(self, ctx: Context, call: ToolCall) -> str:
        tool = self.tools.get(call.name)
        if tool is None:
            return f"there is no tool {call.name!r}, only: {', '.join(self.tools)}"
        return await tool.call(ctx, call.arguments)


def described(tool: Callable[..., Any] | Mapping[str, Any]) -> Mapping[str, Any]:
    """Describe a tool to a model, unless somebody has already done so."""
    return tool if isinstance(tool, Mapping) else Tool.of(tool).schema


def _hint(tool: str, parameter: inspect.Parameter, hints: dict[str, Any]) -> Any:
    if parameter.kind not in _NAMED or parameter.name not in hints:
        raise TypeError(
            f"tool {tool}: parameter {parameter.name!r} must have a name and a type, so that a "
            "model can be told of it"
        )
    return hints[parameter.name]


def _field(name: str) -> str:
    """Name a parameter's field so that it hides nothing of pydantic's: `copy`, `json`, `_x`."""
    return f"a_{name}"


def _default(parameter: inspect.Parameter) -> Any:
    required = parameter.default is inspect.Parameter.empty
    return Field(... if required else parameter.default, alias=parameter.name)


def _wrong(error: ValidationError) -> str:
    """Say what does not fit, for the model to read."""
    wrong = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, each['loc'])) or 'all'}: {each['msg']}" for each in wrong)


def _text(result: object) -> str:
    return result if isinstance(result, str) else to_json(result).decode()
