"""The command that lets somebody into the console: console."""

import click

from orchestrator import login
from orchestrator.cli.options import json_option, settings_of_all, url_option, write_json
from orchestrator.cli.web import issuing
from orchestrator.settings import SettingsError, person


@click.command()
@url_option
@json_option
def console(url: str | None, *, as_json: bool) -> None:
    """Make a link that opens the console, logged in as you. It is good once, for ten minutes."""
    chosen = settings_of_all(url)
    if chosen.console is None:
        raise SettingsError(
            "no console is known here; start one with: buckstop up, or buckstop http; where it "
            "runs elsewhere, set BUCKSTOP_PUBLIC_URL to its address"
        )
    with issuing(url) as tokens:
        link = login.link(tokens, f"{chosen.console.rstrip('/')}/", person())
    write_json({"link": link}) if as_json else print(link)
