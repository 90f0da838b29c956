"""The reference of each way in: the command line and the API."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import click
from writing import table, text_of

from orchestrator.cli.commands import COMMANDS, buckstop
from orchestrator.cli.exits import MEANING
from orchestrator.http import app
from orchestrator.settings import Settings


def cli() -> str:
    """Write down every command with its options."""
    context = click.Context(buckstop, info_name="buckstop")
    parts = ["# The command line", inspect.cleandoc(buckstop.help or "")]
    for name in COMMANDS:
        command = buckstop.get_command(context, name)  # type: ignore[attr-defined]
        parts += _command(command, click.Context(command, info_name=name, parent=context), 2)
    codes = [(str(code.value), text) for code, text in MEANING.items()]
    return "\n\n".join([*parts, "## Exit codes", table(("code", "meaning"), codes)])


def _command(command: click.Command, context: click.Context, level: int) -> Iterator[str]:
    yield f"{'#' * level} {context.command_path}"
    yield text_of(inspect.cleandoc(command.help or ""))
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"```text\n{context.command_path} {usage}\n```"
    options = [each for each in command.params if isinstance(each, click.Option)]
    if rows := [row for each in options if (row := each.get_help_record(context))]:
        yield table(("option", "meaning"), [(f"`{name}`", text_of(said)) for name, said in rows])
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from _command(
                below, click.Context(below, info_name=name, parent=context), level + 1
            )


def http() -> str:
    """Write down every path of the API, from its OpenAPI."""
    told = app.build(Settings("redis://127.0.0.1:1/0", "the reference"), {}).openapi()
    parts = ["# The HTTP API", "What holds for all of it: [over HTTP](../HTTP.md). The same, for"]
    parts[-1] += " programs, is served as `/openapi.json`."
    for tag in told["tags"]:
        parts += [f"## {tag['name']}", tag.get("description", "")]
        for path, method, operation in _operations(told):
            if tag["name"] in operation.get("tags", ()):
                parts += _operation(path, method, operation)
    return "\n\n".join(parts)


def _operations(told: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for path, methods in told["paths"].items():
        for method, operation in methods.items():
            if isinstance(operation, dict) and "responses" in operation:
                yield path, method.upper(), operation


def _operation(path: str, method: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"### {method} {path}".replace("{", "\\{")
    yield text_of(operation.get("description") or operation.get("summary", ""))
    given = operation.get("parameters", ())
    if rows := [(f"`{p['name']}`", p["in"], text_of(p.get("description", ""))) for p in given]:
        yield table(("parameter", "in", "meaning"), rows)
    said = operation["responses"].items()
    answered = [(code, text_of(each.get("description", ""))) for code, each in said]
    yield table(("status", "meaning"), answered)
