"""The command that forgets finished tasks before their time: purge."""

import click
from pydantic import TypeAdapter

from envelopes.request import Age
from envelopes.scripts import connect
from orchestrator.cli.options import complain, json_option, settings, url_option, write_json
from orchestrator.purge import OVER, Purge, PurgeFound, PurgeWanted
from orchestrator.wanted import Stage

_SAMPLE = 5


@click.command()
@click.argument("tasks", nargs=-1, metavar="[TASK]...")
@click.option("--older", metavar="TIME", help="Only what ended so long ago, such as 30d.")
@click.option("--tenant", help="Only of this tenant.")
@click.option("--state", type=click.Choice([each.value for each in OVER]), help="Only these.")
@click.option("--yes", is_flag=True, help="Do it; without, only show what it would be.")
@click.option("--rewrite", is_flag=True, help="Then let the server write its file anew.")
@url_option
@json_option
def purge(
    tasks: tuple[str, ...],
    older: str | None,
    tenant: str | None,
    state: str | None,
    url: str | None,
    *,
    yes: bool,
    rewrite: bool,
    as_json: bool,
) -> None:
    """Forget finished tasks, and every mention of them, before their time; not to be undone.

    Each TASK by its whole id, or all that fit the options. What is not over stays: cancel it first.
    It needs a user of the server who may SCAN, such as admin.
    """
    if not (tasks or older or tenant or state):
        raise click.UsageError(
            "say which: tasks by id, --older 30d, --tenant NAME or --state STATE"
        )
    wanted = PurgeWanted(tasks, tenant, Stage(state) if state else None, _ms(older))
    chosen = settings(url)
    with connect(chosen.url) as client:
        purging = Purge(client, chosen.keys)
        found = purging.find(wanted)
        if not yes:
            _preview(found, as_json=as_json)
            return
        done = purging.run([*found.over, *found.unknown])
        if rewrite:
            purging.rewrite()
    if as_json:
        write_json({"purged": done, "open": found.open})
    else:
        print(
            f"gone: {done.tasks:,} tasks, {done.letters:,} letters, {done.news:,} lines of news, "
            f"{done.deliveries:,} deliveries"
        )
        _say_open(found)


def _ms(older: str | None) -> int:
    if older is None:
        return 0
    try:
        return int(TypeAdapter(Age).validate_python(older) * 1000)
    except ValueError:
        raise click.UsageError("--older is a time, such as 12h or 30d") from None


def _preview(found: PurgeFound, *, as_json: bool) -> None:
    if as_json:
        write_json({"tasks": len(found.over), "sample": found.over[:_SAMPLE], "open": found.open})
        return
    for task in found.over[:_SAMPLE]:
        print(task)
    again = "; say it again with --yes to do it" if found.over or found.unknown else ""
    complain(f"{len(found.over):,} tasks would be gone for good{again}")
    _say_unknown(found)
    _say_open(found)


def _say_unknown(found: PurgeFound) -> None:
    if found.unknown:
        complain(
            f"there is no task {found.unknown[0]!r}: it is gone already, or that "
            "is not its whole id, which buckstop show tells; with --yes, mentions of it would go"
        )


def _say_open(found: PurgeFound) -> None:
    if found.open:
        complain(
            f"{len(found.open):,} tasks are not over and stay; end them first, such as: "
            f"buckstop cancel {found.open[0]}"
        )
