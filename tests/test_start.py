"""What a process imports before it does anything: a command is typed often, and waits for it.

By name and not by time. Whoever needs one of these on top of a module that everybody imports moves
the lines that need it to a module of their own, or imports it where it is used.
"""

import json
import subprocess
import sys

import pytest

from orchestrator.cli.commands import COMMANDS
from tests.pages import ROOT

SLOW = frozenset(
    {
        *("apprise", "celery", "fastapi", "flower", "genai_prices", "httpx", "jsonschema"),
        *("kombu", "mcp"),
        *("opentelemetry.exporter", "prometheus_client", "requests", "rich.progress", "starlette"),
        *("tornado", "uvicorn"),
    }
)
"""None is needed to say what a command takes, or to ask a server and show what it said."""
STREAMED = SLOW - {"celery", "kombu"}
SERVED = SLOW - {"fastapi", "prometheus_client", "starlette", "uvicorn"}


def loaded(code: str) -> set[str]:
    """Return the names of all modules that a fresh process has loaded after some code."""
    told = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport json, sys\nprint(json.dumps(list(sys.modules)))"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    return set(json.loads(told.stdout.splitlines()[-1]))


def test_no_command_waits_for_what_it_does_not_use() -> None:
    """A command is loaded without the parts that only servers, couriers or other commands need."""
    every = [name for name in COMMANDS if name not in {"simulate", "demo"}]
    ask = f"import click\nfor name in {every}: buckstop.get_command(click.Context(buckstop), name)"
    assert loaded(f"from orchestrator.cli.commands import buckstop\n{ask}") & SLOW == set()


@pytest.mark.parametrize(
    ("module", "slow"),
    [
        ("orchestrator.client", SLOW | {"rich", "yaml"}),
        ("orchestrator.serve", STREAMED | {"rich"}),
        ("workers.app", STREAMED | {"rich", "orchestrator"}),
        ("orchestrator.http.__main__", SERVED | {"rich", "orchestrator.cli"}),
        ("orchestrator.courier.__main__", SLOW - {"apprise", "httpx", "requests", "rich.progress"}),
    ],
)
def test_no_process_starts_with_what_another_one_needs(module: str, slow: set[str]) -> None:
    """Workers, orchestrators, the API and the courier load what they work with, and not more."""
    assert loaded(f"import {module}") & slow == set()
