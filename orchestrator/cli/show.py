"""Commands that look: show, tasks."""

import click

from orchestrator.cli.options import connected, json_option, url_option, write_json
from orchestrator.cli.screen import console, story, task_table
from orchestrator.cli.waits import waits


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
        why = [] if told.task.final else waits(told.task, buckstop.agents())
    if as_json:
        write_json({**told.as_json(), "waits": why})
    else:
        console().print(story(told, why))


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
        console().print(task_table(found))
    else:
        print("no tasks; submit one with: buckstop submit")
