"""Build the app: what it is made of, in the order in which a request meets it.

    Traced      the caller's trace goes on                                    (traced.py)
    Shield      security headers, the access log, a net under our bugs       (shield.py)
    CORS        only where BUCKSTOP_CORS_ORIGINS names somebody
    Methods     405, OPTIONS and HEAD                                         (methods.py)
    the route   access.py says who calls, bodies.py reads, the client library does it
    problems    whatever is raised becomes problem details                    (problems.py)

Endpoints are plain functions on the synchronous client, each in a thread: one round trip of Redis
is what they wait for. Live events are the exception (live.py).

BUCKSTOP_CORS_ORIGINS   pages of these origins may call with a bearer token; none unless said
BUCKSTOP_PUBLIC_URL     where people reach this, for addresses that are given away
BUCKSTOP_A2A_DEFAULTS   a file with what A2A messages may leave out  (../a2a/declared.py)
"""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, Final

import anyio
import anyio.to_thread
from fastapi import Depends, FastAPI
from fastapi.middleware.cors import CORSMiddleware

from envelopes import limits
from envelopes.exports import exporting
from orchestrator.a2a.declared import read_defaults
from orchestrator.http import (
    a2a,
    admin,
    crew,
    health,
    letters,
    live,
    mcp,
    metrics,
    openapi,
    problems,
    session,
    spend,
    static,
    tasks,
    waits,
)
from orchestrator.http.asked import Asked, asked
from orchestrator.http.methods import Methods, queries_of, require_known_query
from orchestrator.http.missing import Noted
from orchestrator.http.shield import Shield
from orchestrator.http.traced import Traced
from orchestrator.settings import Settings

ROUTERS: Final = (
    *(tasks.router, letters.router, waits.router, crew.router, spend.router, admin.router),
    *(session.router, health.router, metrics.router, mcp.router, a2a.router),
)


def build(settings: Settings, environ: Mapping[str, str] = os.environ) -> FastAPI:
    """Build the app of one deployment."""
    app = FastAPI(
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # it would lead to whatever Host says
        lifespan=_lifespan,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # ours tells no query
        dependencies=[Depends(require_known_query)],
    )
    _connect(app, settings)
    app.state.a2a_defaults = read_defaults(environ)
    app.state.public_url = environ.get("BUCKSTOP_PUBLIC_URL", "").rstrip("/")
    console = static.routes()
    routers = [*ROUTERS, openapi.router, console]
    for router in (*routers, live.router):
        app.include_router(router)
    app.openapi = document  # type: ignore[method-assign]  # FastAPI's documented way
    app.state.queries = queries_of(document())
    problems.install(app)
    if settings.cells is not None:
        app.add_middleware(Noted)
    app.add_middleware(Methods, routers=routers, streams=live.router)
    _allow_origins(app, environ.get("BUCKSTOP_CORS_ORIGINS", "").split())
    app.add_middleware(Shield, meters=app.state.meters)
    app.add_middleware(Traced)
    return app


@cache
def document() -> dict[str, Any]:
    """Return the OpenAPI document, which is the same for every deployment."""
    bare = FastAPI()
    for router in (*ROUTERS, live.router):
        bare.include_router(router)
    return openapi.described(bare.routes)


def _connect(app: FastAPI, settings: Settings) -> None:
    """Make what all requests of this process share; nothing is asked of the server yet."""
    app.state.settings = settings
    app.state.asked = one = asked(settings)
    app.state.buckstop, app.state.tokens, app.state.waits = one.buckstop, one.tokens, one.waits
    app.state.subscriptions = one.subscriptions
    app.state.live = live.Live(one.buckstop)
    app.state.meters = metrics.Meters(one.figures, app.state.live.seats.count)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = limits.HTTP_THREADS
    app.state.patience, app.state.deciding = anyio.CapacityLimiter(limits.DECIDING_MAX), 0
    with exporting("buckstop.http"):
        async with app.state.live:
            yield
    everything: Asked = app.state.asked
    everything.close()


def _allow_origins(app: FastAPI, origins: list[str]) -> None:
    """Let pages of these origins call with a bearer token; a cookie is never taken from them."""
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=[
                *("Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID"),
                *("A2A-Version", "MCP-Protocol-Version", "Mcp-Method", "Mcp-Name"),
            ],
            expose_headers=["Location", "Retry-After"],
        )
