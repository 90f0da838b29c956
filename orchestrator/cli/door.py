"""`buckstop broker`: where Celery clients of other services connect."""

import click

from orchestrator.cli.options import complain, json_option, settings, url_option, write_json
from orchestrator.door.broker import Broker, celerys


@click.command()
@url_option
@json_option
def broker(url: str | None, *, as_json: bool) -> None:
    """Print the URL that a Celery client connects to, with its password: `-b "$(buckstop broker)"`.

    The client sends the task "buckstop.submit" to the queue that --json names. Behind Sentinels it
    has to be told the name of the server too; how is said beside.
    """
    chosen = settings(url)
    found = celerys(chosen.url)
    if as_json:
        options = {"transport_options": found.options, "use_ssl": found.tls}
        some = {name: told for name, told in options.items() if told}
        write_json({"broker": found.url, "queue": chosen.keys.submissions, **some})
    else:
        print(found.url, flush=True)
    _tell(found)


def _tell(found: Broker) -> None:
    """Say what a URL cannot, on stderr: the URL stays all that there is on stdout."""
    if found.options:
        complain(
            "a Celery client behind Sentinels also needs app.conf.broker_transport_options = "
            f"{dict(found.options)}, and the same as result_backend_transport_options"
        )
    if found.tls:
        complain(
            f"and, for TLS, app.conf.broker_use_ssl = {dict(found.tls)}, and the same as "
            "redis_backend_use_ssl"
        )
    if found.password_file:
        complain(
            f"the Sentinels have a password of their own, in {found.password_file}; add to both: "
            '"sentinel_kwargs": {"password": ...}'
        )
