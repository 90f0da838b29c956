"""`buckstop broker`: where Celery clients of other services connect."""

import click

from orchestrator.cli.options import json_option, settings, url_option, write_json


@click.command()
@url_option
@json_option
def broker(url: str | None, *, as_json: bool) -> None:
    """Print the URL that a Celery client connects to, with its password: `-b "$(buckstop broker)"`.

    The client sends the task "buckstop.submit" to the queue that --json names.
    """
    chosen = settings(url)
    if as_json:
        write_json({"broker": chosen.url, "queue": chosen.keys.submissions})
    else:
        print(chosen.url)
