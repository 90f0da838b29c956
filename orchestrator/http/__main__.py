"""Run the app: `python -m orchestrator.http --host 127.0.0.1 --port 8780`, or `buckstop http`.

One process, one event loop; to have more, run more. Behind a proxy, name it with --proxy: only then
is its word taken for a caller's address, and for whether they came by https.
"""

import os
import socket
from collections.abc import Mapping
from pathlib import Path

import click
import uvicorn

from orchestrator import log as log_lines
from orchestrator.http.app import build
from orchestrator.http.connection import Protocol, allow_many
from orchestrator.settings import Settings

HOST_DEFAULT = "127.0.0.1"
PORT_DEFAULT = 8780


def run(
    settings: Settings, host: str, port: int, proxy: str | None = None, fd: int | None = None
) -> None:
    """Serve until SIGTERM or SIGINT; with `fd`, on that socket, which listens already."""
    log_lines.start(process="http", pid=os.getpid())
    allow_many()
    listening = None if fd is None else [socket.socket(fileno=fd)]
    uvicorn.Server(configured(settings, host, port, proxy)).run(listening)


def configured(
    settings: Settings,
    host: str,
    port: int,
    proxy: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> uvicorn.Config:
    """Say how the HTTP server is to run; its own access log would tell what is secret."""
    return uvicorn.Config(
        build(settings, environ),
        host=host,
        port=port,
        http=Protocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=proxy is not None,
        forwarded_allow_ips=proxy,
        timeout_graceful_shutdown=int(settings.grace_s),
    )


@click.command()
@click.option("--host", default=HOST_DEFAULT, show_default=True, help="Address to listen on.")
@click.option("--port", default=PORT_DEFAULT, show_default=True, help="Port; 0 for a free one.")
@click.option("--proxy", metavar="ADDRESSES", help="Proxies whose X-Forwarded-* is believed.")
@click.option("--fd", type=int, help="A socket that listens already, in place of host and port.")
def main(host: str, port: int, proxy: str | None, fd: int | None) -> None:
    """Serve the API and the console."""
    run(Settings.of_all(os.environ, Path.cwd()), host, port, proxy, fd)


if __name__ == "__main__":
    main()
