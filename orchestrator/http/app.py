"""Build the app: what it is made of, in the order in which a request meets it.

    Shield      security headers, the access log, a net under our bugs       (shield.py)
    CORS        only where BUCKSTOP_CORS_ORIGINS names somebody
    the route   access.py says who calls, bodies.py reads, the client library does it
    problems    whatever is raised becomes problem details                    (problems.py)

Endpoints are plain functions on the synchronous client, each in a thread: one round trip of Redis
is what they wait for. Live events are the exception (live.py).
"""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import anyio.to_thread
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from redis import Redis

from envelopes import limits
from envelopes.scripts import connect
from orchestrator.client import Buckstop
from orchestrator.http import letters, problems, session, static, tasks
from orchestrator.http.shield import Shield
from orchestrator.settings import Settings
from orchestrator.tokens import Tokens


def build(settings: Settings, environ: Mapping[str, str] = os.environ) -> FastAPI:
    """Build the app of one deployment."""
    client = connect(settings.url)
    app = FastAPI(title="Buckstop", version="1", docs_url=None, redoc_url=None, lifespan=_lifespan)
    app.state.settings = settings
    app.state.buckstop = Buckstop(settings=settings)
    app.state.tokens = Tokens(client, settings.keys)
    app.state.redis = client
    for router in (session.router, tasks.router, letters.router):
        app.include_router(router)
    app.include_router(static.routes())
    problems.install(app)
    _allow_origins(app, environ.get("BUCKSTOP_CORS_ORIGINS", "").split())
    app.add_middleware(Shield)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = limits.HTTP_THREADS
    yield
    buckstop: Buckstop = app.state.buckstop
    client: Redis = app.state.redis
    buckstop.close()
    client.close()


def _allow_origins(app: FastAPI, origins: list[str]) -> None:
    """Let pages of these origins call with a bearer token; a cookie is never taken from them."""
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID"],
            expose_headers=["Location", "Retry-After"],
        )
