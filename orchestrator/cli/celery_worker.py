"""What `buckstop worker` becomes: Celery's command line, quiet about a Ctrl-C while it loads.

Celery and the agents' modules take a second to import. A Ctrl-C in that time ends the process on
the spot, as nothing has been taken from a queue yet; then Celery asks for the signal itself.
Nothing else of the orchestrator is imported with this.
"""

import runpy

from orchestrator.cli.interrupts import end_at_once

if __name__ == "__main__":
    end_at_once()
    runpy.run_module("celery", run_name="__main__", alter_sys=True)
