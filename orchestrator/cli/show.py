"""Commands that look: show, tasks."""

import os
import shlex

import click

from orchestrator.cells.facade import agents_of
from orchestrator.cli.options import complain, connected, json_option, url_option, write_json
from orchestrator.cli.screen import console, story, task_table
from orchestrator.client import Buckstop
from orchestrator.standstill import waits
from orchestrator.wanted import Place, Stage, TasksWanted


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
        why = [] if told.task.final else waits(told.task, agents_of(buckstop, told.task.id))
    if as_json:
        write_json({**told.as_json(), "waits": why})
    else:
        console().print(story(told, why))


@click.command()
@click.option(
    "--count", "-n", default=20, show_default=True, type=click.IntRange(1, 1000), help="How many."
)
@click.option("--before", metavar="ID", help="Only what was accepted before this task.")
@click.option("--state", type=click.Choice([each.value for each in Stage]), help="Only these.")
@click.option("--tenant", help="Only of this tenant.")
@url_option
@json_option
def tasks(
    count: int,
    before: str | None,
    state: str | None,
    tenant: str | None,
    url: str | None,
    *,
    as_json: bool,
) -> None:
    """List tasks, newest first. What is neither over nor on the desk is open."""
    wanted = TasksWanted(Stage(state) if state else None, tenant)
    with connected(url) as buckstop:
        page = buckstop.tasks(count, _place(buckstop, before) if before else None, wanted)
    if as_json:
        write_json([one.as_json() for one in page.items])
    elif page.items:
        console().print(task_table(page.items))
        if page.next:
            again = f"buckstop tasks {_said(state, tenant)}--before {page.next.id}"
            complain(f"there are more: {again}")
    elif wanted == TasksWanted():
        print("no tasks; submit one with: buckstop submit")
    else:
        print("no such tasks; see all: buckstop tasks")


def _said(state: str | None, tenant: str | None) -> str:
    """Return the filters as they were given, for whoever goes on with the list."""
    given = {"state": state, "tenant": tenant, "cell": os.environ.get("BUCKSTOP_CELL")}
    return "".join(f"--{name} {shlex.quote(value)} " for name, value in given.items() if value)


def _place(buckstop: Buckstop, task: str) -> Place:
    """Return where a task stands in the list."""
    last = buckstop.task(task).status()
    return Place(last.accepted_ms, last.id)
