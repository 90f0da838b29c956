"""Commands that look: show, tasks."""

import click
from rich.console import Console

from orchestrator.cli.options import connected, json_option, url_option, write_json
from orchestrator.cli.screen import story, task_table


@click.command()
@click.argument("task", metavar="ID")
@url_option
@json_option
def show(task: str, url: str | None, *, as_json: bool) -> None:
    """Show task ID: state, ledger, steps, and the timeline with every hop, envelope and why.

    The beginning of an id is enough where it fits one task only.
    """
    with connected(url) as buckstop:
        told = buckstop.task(task).show()
    if as_json:
        write_json(told.as_json())
    else:
        Console().print(story(told))


@click.command()
@click.option(
    "--count", "-n", default=20, show_default=True, type=click.IntRange(1, 1000), help="How many."
)
@click.option(
    "--offset", default=0, show_default=True, type=click.IntRange(0), help="Skip so many."
)
@url_option
@json_option
def tasks(count: int, offset: int, url: str | None, *, as_json: bool) -> None:
    """List tasks, newest first."""
    with connected(url) as buckstop:
        found = buckstop.tasks(count, offset)
    if as_json:
        write_json([one.as_json() for one in found])
    elif found:
        Console().print(task_table(found))
    else:
        print("no tasks; submit one with: buckstop submit")
