"""Commands that start something else, or stop it: cancel, simulate, demo."""

from importlib import import_module

import click

from orchestrator.cli.interrupts import loading
from orchestrator.cli.options import (
    complain,
    connected,
    json_option,
    url_option,
    write_json,
)
from orchestrator.settings import person

_PASS_ON = {"ignore_unknown_options": True, "help_option_names": []}


@click.command()
@click.argument("task", metavar="ID")
@click.option("--why", default="", help="For the record.")
@url_option
@json_option
def cancel(task: str, why: str, url: str | None, *, as_json: bool) -> None:
    """Ask the owner of task ID to stop it. What was produced is kept; nothing more is spent."""
    with connected(url) as buckstop:
        found = buckstop.task(task)
        asked = found.cancel(why, by=person())
        if as_json:
            write_json({"task": found.id, "asked": asked, "state": found.status().state})
        elif asked:
            print(f"{found.id}: asked to stop; see: buckstop show {found.id}")
        else:
            complain(f"{found.id} has ended already: {found.status().state}")


@click.command(context_settings=_PASS_ON)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def simulate(arguments: tuple[str, ...]) -> int:
    """Run many small worlds with faults; ARGUMENTS as in `buckstop simulate --help`."""
    with loading():
        simulation = import_module("orchestrator.sim.main")
    code: int = simulation.main(arguments)
    return code


@click.command()
@json_option
def demo(*, as_json: bool) -> int:
    """See the promises kept, live: real processes, killed while you watch."""
    with loading():
        played = import_module("orchestrator.demo")
    code: int = played.main(as_json=as_json)
    return code
