"""The reference of what a Python program imports: signatures, fields and docstrings."""

import ast
import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

from writing import laid_out, table, text_of

import workers
from envelopes import Refused
from orchestrator import aio, answers, checks, client
from orchestrator.view import TaskView


def python() -> str:
    """Write down what a Python program imports, with its docstrings."""
    agents = [getattr(workers, name) for name in workers.__all__]
    errors = [answers.NotFound, answers.TimedOut, checks.Unfit, Refused]
    values = [
        answers.Result,
        answers.TaskEvent,
        TaskView,
        answers.DecidedLetter,
        answers.DecidedAll,
    ]
    parts = ["# Python"]
    parts += _module("Submitting and following", client, [client.Buckstop, client.TaskHandle])
    parts += _module("The same, asynchronously", aio, [aio.AsyncBuckstop, aio.AsyncTaskHandle])
    parts += ["## What comes back", *(part for each in values for part in _class(each))]
    parts += ["## What is raised", *(part for each in errors for part in _class(each))]
    parts += _module("Writing agents", workers, [each for each in agents if _is_ours(each)])
    return "\n\n".join(parts)


def _module(title: str, module: ModuleType, members: Sequence[Any]) -> Iterator[str]:
    yield f"## {title}"
    yield laid_out(inspect.getdoc(module) or "")
    for each in members:
        yield from _class(each) if inspect.isclass(each) else _function(each, "###", each.__name__)


def _class(one: type) -> Iterator[str]:
    yield f"### {one.__name__}"
    yield text_of(inspect.getdoc(one) or "")
    if rows := list(_fields(one)):
        yield table(("field", "type", "meaning"), rows)
    for name, member in inspect.getmembers(one, _is_shown):
        if name[0] != "_" and member.__qualname__.partition(".")[0] in _names(one):
            yield from _function(member, "####", f"{one.__name__}.{name}")


def _fields(one: type) -> Iterator[tuple[str, str, str]]:
    """Yield a class's own fields, each with the text that stands below it."""
    body = ast.parse(inspect.getsource(one)).body[0]
    assert isinstance(body, ast.ClassDef)
    for node, after in zip(body.body, [*body.body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target)[0] != "_":
            said = after.value if isinstance(after, ast.Expr) else None
            text = said.value if isinstance(said, ast.Constant) else ""
            yield (
                f"`{ast.unparse(node.target)}`",
                f"`{ast.unparse(node.annotation)}`",
                text_of(text),
            )


def _names(one: type) -> set[str]:
    """Name the classes of ours that a class is made of."""
    return {each.__name__ for each in one.__mro__ if _is_ours(each)}


def _is_ours(one: Any) -> bool:
    return one.__module__.partition(".")[0] in {"envelopes", "orchestrator", "workers"}


def _is_shown(member: Any) -> bool:
    return inspect.isfunction(member) or inspect.ismethod(member)


def _function(one: Callable[..., Any], marks: str, name: str) -> Iterator[str]:
    yield f"{marks} {name}"
    signature = re.sub(r"\b(?:[a-z]\w*\.)+(?=[A-Z])", "", str(inspect.signature(one)))
    yield f"```text\n{name.rpartition('.')[2]}{signature}\n```"
    yield text_of(inspect.getdoc(one) or "")
