"""`buckstop`: run it, submit to it, see what happened, decide.

One small file per group of commands; commands.py lists them all. Here a command line begins and
ends. Nothing is imported before Ctrl-C has been seen to (interrupts.py), nor unless it is needed.
"""

import os
import sys


def main() -> None:
    """Run the command line; every failure ends in a sentence and an exit code."""
    try:
        from orchestrator.cli.interrupts import end_at_once  # noqa: PLC0415 -- it may be interrupted

        end_at_once()
        from orchestrator.cli.commands import run  # noqa: PLC0415 -- it too

        try:
            code = run()
        finally:
            end_at_once()
    except KeyboardInterrupt:
        os._exit(130)  # Exit.INTERRUPTED, which may not be loaded yet
    sys.exit(code)
