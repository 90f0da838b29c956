"""The commands, and what becomes of a command line that fails.

A command's module is imported when the command is called, and not before: `--help` reads this file
and click, nothing else.
"""

import json
import os
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

import click

from orchestrator.cli.exits import MEANING, Exit
from orchestrator.cli.interrupts import let_finish

COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "up": ("run", "Run server, orchestrator, console and workers on this machine."),
    "console": ("login", "Make a link that opens the console."),
    "serve": ("run", "Run one orchestrator."),
    "worker": ("run", "Run a Celery worker with the agents of some modules."),
    "keys": ("run", "Make a pair of signing keys."),
    "submit": ("submit", "Submit a task, and follow it with --wait."),
    "show": ("show", "Show a task: state, ledger and timeline."),
    "tasks": ("show", "List tasks, newest first."),
    "cancel": ("act", "Ask for a task to be stopped."),
    "letters": ("desk", "List, count, show or watch what waits for a person."),
    "decide": ("desk", "Decide a letter, or all of one cause."),
    "calibration": ("crew", "Show what each agent's confidence is worth."),
    "agents": ("crew", "List agents; cap one, or close its breaker."),
    "tenants": ("crew", "List tenants; cap one."),
    "http": ("web", "Serve the HTTP API and the console."),
    "mcp": ("mcp", "Serve MCP to the editor or agent that starts it."),
    "token": ("web", "Make, list and revoke bearer tokens."),
    "cells": ("cells", "List the cells of a deployment; make one as home is."),
    "hooks": ("hooks", "List who is told of news; make, try and remove them."),
    "courier": ("hooks", "Run one courier, which tells them."),
    "broker": ("door", "Print the URL that Celery clients connect to."),
    "check": ("doctor", "Look whether the server can keep what Buckstop promises."),
    "doctor": ("doctor", "Look at a running deployment, and say what to do."),
    "purge": ("purge", "Forget finished tasks before their time."),
    "backup": ("backup", "Write a snapshot of the running server to a file."),
    "restore": ("backup", "Make a data directory from a snapshot."),
    "simulate": ("act", "Run many small worlds with faults, and audit them."),
    "demo": ("act", "See the promises kept, live."),
}
"""Each command's module in this package, and its line in the overview."""


class Commands(click.Group):
    """The commands, imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- click's signature
        """Name them in the order in which a newcomer meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"{__package__}.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is meant; for one that is misspelt, name the nearest."""
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches  # noqa: PLC0415 -- only who mistypes needs it

            near = get_close_matches(args[0], COMMANDS, 1)
            meant = f"Did you mean {near[0]!r}?" if near else "They are listed by: buckstop --help"
            raise click.UsageError(f"No such command {args[0]!r}. {meant}", ctx)
        found = super().resolve_command(ctx, args)
        let_finish()  # now it is loaded
        return found

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; a reader that has seen enough, such as `head`, is no failure."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return Exit.OK

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the overview without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write down what the exit codes mean."""
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code.value), text) for code, text in MEANING.items()])


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="buckstop")
def buckstop() -> None:
    """Run teams of LLM agents with one owner, hard budgets and a person at the end.

    Commands find the server that `buckstop up` started in this directory or one above it, unless
    --url or BUCKSTOP_URL names another. Each takes --json.
    """


def run() -> int:
    """Run the command line; return its exit code, once a failure has been put in a sentence."""
    try:
        code = buckstop.main(standalone_mode=False)
    except click.ClickException as wrong:
        _tell(wrong.format_message(), Exit.REFUSED, usage=wrong)
        code = Exit.REFUSED
    except (click.Abort, KeyboardInterrupt):
        code = Exit.INTERRUPTED
    except Exception as error:  # noqa: BLE001 -- told apart, and raised again where it is a bug
        from orchestrator.cli.failures import explained  # noqa: PLC0415 -- slow, and rarely needed

        code, message, fields = explained(error)
        _tell(message, code, **fields)
    return int(code or 0)


def _tell(
    message: str, code: Exit, usage: click.ClickException | None = None, **fields: Any
) -> None:
    """Say what went wrong, on stderr: as JSON where JSON was asked for."""
    if "--json" in sys.argv:
        print(json.dumps({"error": message, "exit": int(code), **fields}), file=sys.stderr)
    elif isinstance(usage, click.UsageError):
        usage.show()
    else:
        print(f"buckstop: {message}", file=sys.stderr)
