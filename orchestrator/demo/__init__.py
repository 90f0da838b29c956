"""The demo: what kills agent systems in production, done to this one, live.

Everything is real: an embedded server, two orchestrators, three Celery workers, the API and the
console, all started by `buckstop up`. Only the agents are scripted (workers/demo/agents.py), and
the last act is yours. What is claimed at the end is read from the ledgers and journals, not from
what this script expects.
"""

import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from orchestrator.demo.acts import crash, overspend, ping_pong
from orchestrator.demo.person import below_the_bar, look_around
from orchestrator.demo.promises import closing_table, promises
from orchestrator.demo.stage import everything


def main(*, as_json: bool = False) -> int:
    """Play the demo; return 0 if every promise was kept. As JSON, the story goes to stderr."""
    width = None if sys.stdout.isatty() else 120
    console = Console(highlight=False, width=width, stderr=as_json)
    with tempfile.TemporaryDirectory(prefix="buckstop-demo-") as folder:
        console.print("[bold]Buckstop[/]: starting a server, 2 orchestrators and 3 workers ...")
        with everything(Path(folder), console) as stage:
            kept = promises(*(act(stage) for act in (crash, overspend, ping_pong, below_the_bar)))
            if as_json:
                print(json.dumps([asdict(promise) for promise in kept]))  # noqa: T201
            else:
                console.print(closing_table(kept))
                look_around(stage)
    return 0 if all(promise.kept for promise in kept) else 1
