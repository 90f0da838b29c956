"""Commands that run something, and the way to it: up, console, serve, worker, keys, check."""

import errno
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from envelopes.scripts import connect
from orchestrator import checks, children, flower, keyfile
from orchestrator import up as everything
from orchestrator.a2a.declared import read_defaults
from orchestrator.cli import up_screen
from orchestrator.cli.interrupts import loading
from orchestrator.cli.options import json_option, settings, url_option, write_json
from orchestrator.embedded import require_free
from orchestrator.running import DIRECTORY
from orchestrator.settings import Settings, named_server

_POOLS = click.Choice(["threads", "prefork", "solo"])
_SOME = click.IntRange(min=1)
_AT_ONCE = "Steps at once"
_PORT = 8780
_PORTS_TRIED = 100


@click.command()
@click.argument("modules", nargs=-1, metavar="[MODULE]...")
@click.option("--workers", default=1, type=_SOME, show_default=True, help="Worker processes.")
@click.option(
    *("--concurrency", "-c"),
    default=8,
    type=_SOME,
    show_default=True,
    help=f"{_AT_ONCE} per worker.",
)
@click.option("--pool", type=_POOLS, default="threads", show_default=True, help="Celery's pool.")
@click.option(
    "--orchestrators", default=1, type=_SOME, show_default=True, help="Orchestrator processes."
)
@click.option("--http/--no-http", default=True, help="Run the API and the console, or not.")
@click.option("--port", type=click.IntRange(1, 65535), help=f"Theirs; {_PORT}, or the next free.")
@click.option("--flower", "with_flower", is_flag=True, help="Run Flower, Celery's own window, too.")
@click.option("--flower-port", type=click.IntRange(1, 65535), help=f"Its; {flower.PORT} or so.")
@click.option("--dir", "directory", type=Path, help=f"Where state lives; {DIRECTORY}/ here.")
@click.option(
    *("--grace",),
    default=25.0,
    type=click.FloatRange(min=0),
    show_default=True,
    help="Seconds to finish in when stopped.",
)
@url_option
@json_option
def up(
    modules: tuple[str, ...],
    *,
    workers: int,
    concurrency: int,
    pool: str,
    orchestrators: int,
    http: bool,
    port: int | None,
    with_flower: bool,
    flower_port: int | None,
    directory: Path | None,
    grace: float,
    url: str | None,
    as_json: bool,
) -> None:
    """Run a server, an orchestrator, the console, and workers with the agents of each MODULE.

    Ctrl-C stops everything; state stays in .buckstop/ and is there again next time. With --url or
    BUCKSTOP_URL, that server is used and none is started.
    """
    _check_modules(modules)
    directory = (directory or Path(DIRECTORY)).absolute()
    url = _fit(named_server(os.environ, url))
    if url is None:
        require_free(directory)  # before a word about ports: they are taken by who runs here
    if http:
        read_defaults(os.environ)  # what is wrong in it is said now, not by a process that dies
    say = up_screen.as_json if as_json else up_screen.as_text
    wanted = children.Wanted(
        directory=directory,
        modules=modules,
        url=url,
        orchestrators=orchestrators,
        workers=workers,
        concurrency=concurrency,
        pool=pool,
        grace_s=grace,
        http=_listening(port) if http else None,
        flower=_flower(directory, flower_port) if with_flower or flower_port else None,
    )
    if wanted.http is not None and port is None:
        _tell_of_another_port(wanted.http.getsockname()[1], say)
    everything.Up(wanted, say).run()


@click.command()
@url_option
@json_option
def serve(url: str | None, *, as_json: bool) -> None:
    """Run one orchestrator; any number may run. Its log is JSON lines in any case."""
    del as_json
    chosen = settings(url)
    chosen.require_signing_key()
    os.environ["BUCKSTOP_URL"] = chosen.url
    os.environ["BUCKSTOP_SIGNING_KEY"] = keyfile.encode(chosen.require_signing_key())
    with loading():
        from orchestrator.serve import main  # noqa: PLC0415 -- it imports Celery, which is slow

    main()


@click.command()
@click.argument("modules", nargs=-1, required=True, metavar="MODULE...")
@click.option(
    *("--concurrency", "-c"), default=8, type=_SOME, show_default=True, help=f"{_AT_ONCE}."
)
@click.option("--pool", type=_POOLS, default="threads", show_default=True, help="Celery's pool.")
@click.option("--name", default="worker", show_default=True, help="Its name before the @host.")
@url_option
@json_option
def worker(
    modules: tuple[str, ...],
    concurrency: int,
    pool: str,
    name: str,
    url: str | None,
    *,
    as_json: bool,
) -> None:
    """Run an ordinary Celery worker with the agents of each MODULE.

    The same as `celery -A workers.app worker` with BUCKSTOP_AGENTS set. Threads suit agents that
    wait on models; prefork can kill code that hangs. Its log is JSON lines in any case.
    """
    del as_json
    _check_modules(modules)
    command, agents = children.worker_command(modules, concurrency, pool, name)
    os.environ.update(_for_worker(settings(url)), **agents)
    python, option, _celery, *arguments = command
    become = [python, option, "orchestrator.cli.celery_worker", *arguments]
    os.execv(python, become)  # noqa: S606 -- this process becomes the worker


@click.command()
@click.option("--dir", "directory", type=Path, default=Path(), help="Where to; here.")
@json_option
def keys(directory: Path, *, as_json: bool) -> None:
    """Make a pair of signing keys: the private one for orchestrators, the public for workers."""
    pair = keyfile.make(directory)
    if as_json:
        write_json({"private": str(pair.private), "public": str(pair.public)})
        return
    print(f"{pair.private}  for orchestrators: BUCKSTOP_SIGNING_KEY_FILE={pair.private}")
    print(f"{pair.public}  for workers:       BUCKSTOP_PUBLIC_KEYS_FILE={pair.public}")


def _fit(url: str | None) -> str | None:
    """Return the URL of a server that is fit, or raise Unfit; None where none is named."""
    if url is not None:
        with connect(url) as client:
            checks.require_fit(client)
    return url


def _check_modules(modules: tuple[str, ...]) -> None:
    """Refuse a module that a worker could not import, before anything is started."""
    sys.path.insert(0, str(Path.cwd()))  # where Celery looks for it too
    for module in modules:
        if not _exists(module):
            meant = module.removesuffix(".py").removeprefix("./").replace("/", ".")
            raise click.UsageError(
                f"there is no module {module!r} in {Path.cwd()} or among what is installed; write "
                f"it as for import: {meant if meant != module else 'package.module'}"
            )


def _flower(directory: Path, port: int | None) -> flower.Flower:
    """Find a port for Flower, which it binds itself: it takes over no socket."""
    with _listening(port, flower.PORT, "--flower-port") as free:
        port = free.getsockname()[1]
    return flower.Flower(port, flower.ensure_login(directory))


def _listening(named: int | None, first: int = _PORT, option: str = "--port") -> socket.socket:
    """Listen on the port that is named, else on the one people know, or the next free.

    A port is only ours once it is bound: of two that start at once, one goes on to the next.
    """
    tried = range(first, first + _PORTS_TRIED) if named is None else range(named, named + 1)
    for port in tried:
        try:
            return socket.create_server((children.HTTP_HOST, port))
        except OSError as error:
            if error.errno not in {errno.EADDRINUSE, errno.EACCES}:
                raise
    if named is not None:
        raise click.UsageError(f"port {named} is taken; name another, or none for the next free")
    raise click.UsageError(f"ports {tried[0]} to {tried[-1]} are all taken; name one with {option}")


def _tell_of_another_port(port: int, say: everything.Say) -> None:
    """Say that it is not the one in all examples: there somebody else would answer."""
    if port != _PORT:
        say("port", {"port": port, "taken": _PORT})


def _exists(module: str) -> bool:
    """Look for a module without importing anything: its packages are the workers' business."""
    path: Sequence[str] | None = None
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        name = ".".join(parts[:depth])
        specs = (finder.find_spec(name, path) for finder in sys.meta_path)
        if (spec := next(filter(None, specs), None)) is None:
            return False
        path = spec.submodule_search_locations
        if path is None and depth < len(parts):
            return False
    return True


def _for_worker(chosen: Settings) -> dict[str, str]:
    """Tell a worker where the server is, and whom to trust where only the note says so."""
    environ = {"BUCKSTOP_URL": chosen.url}
    named = {"BUCKSTOP_PUBLIC_KEYS", "BUCKSTOP_PUBLIC_KEYS_FILE"} & os.environ.keys()
    if chosen.signing_key is not None and not named:
        environ["BUCKSTOP_PUBLIC_KEYS"] = keyfile.encode(keyfile.public_of(chosen.signing_key))
    return environ
