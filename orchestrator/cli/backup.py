"""Commands about copies of everything: backup, restore."""

from pathlib import Path

import click

from envelopes.counted import counted
from envelopes.scripts import connect
from orchestrator.backup import restore as make_directory
from orchestrator.backup import take
from orchestrator.cli.options import json_option, settings, url_option, write_json


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@url_option
@json_option
def backup(file: Path, url: str | None, *, as_json: bool) -> None:
    """Write a snapshot of the running server to FILE; nothing stands still meanwhile.

    It needs a user of the server who may SYNC, such as admin. What is in it is as of one moment.
    """
    with connect(settings(url).url) as client:
        size = take(client, file)
    if as_json:
        write_json({"file": str(file), "bytes": size})
    else:
        print(
            f"{file}: {counted(size, 'byte')}; back to life with: buckstop restore {file} DIRECTORY"
        )


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@json_option
def restore(file: Path, directory: Path, *, as_json: bool) -> None:
    """Make a new data DIRECTORY from a snapshot FILE, for a server to start from."""
    keys = make_directory(file, directory)
    if as_json:
        write_json({"directory": str(directory), "keys": keys})
    else:
        print(
            f"{directory}: {counted(keys, 'key')}; copy the old signing.key and signing.pub into "
            f"it, then go on from there with: buckstop up MODULE --dir {directory}"
        )
